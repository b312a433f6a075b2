"""Locations that do to a worker process what the worst pictures do. Workers import this module."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from dcgan_models.errors import UserError


@dataclass(frozen=True)
class Given:
    """Hands over its bytes."""

    data: bytes

    def read(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class Killed:
    """As the system does to a process that takes too much memory."""

    def read(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def die(data: bytes) -> bytes:
    """As `Killed`, whatever the picture."""
    return Killed().read()


@dataclass(frozen=True)
class Segfault:
    """As a decoder with a bug."""

    def read(self) -> bytes:
        return ctypes.string_at(0)


@dataclass(frozen=True)
class Greedy:
    """Asks for more memory than a worker may have."""

    def read(self) -> bytes:
        return bytes(2 << 30)


@dataclass(frozen=True)
class Endless:
    """Never comes back; tells a file or a named pipe the number of the process that began."""

    began: Path

    def read(self) -> bytes:
        descriptor = os.open(self.began, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        os.close(descriptor)
        threading.Event().wait()
        raise AssertionError


@dataclass(frozen=True)
class Broken:
    """Belongs to a source that cannot be read at all."""

    def read(self) -> bytes:
        raise UserError("bedrooms.mdb: the disk is gone")


@dataclass(frozen=True)
class Faulty:
    """Has a bug of ours."""

    def read(self) -> bytes:
        raise ZeroDivisionError("a bug")
