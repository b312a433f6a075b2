"""Loaded by every Python process that has it on its path: only this machine can be spoken to.

The file DCGAN_TEST_CALLS gets a line for each process that began so, and for each call refused.
"""

import ipaddress
import os
import socket
import sys

LOCAL_NAMES = {None, "", "localhost", b"localhost"}


def note(line):
    """Add a line; many processes write into this file at once."""
    with open(os.environ["DCGAN_TEST_CALLS"], "a", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write(f"{line}\n")


def refuse(what):
    note(what)
    raise OSError(f"the guard refuses {what}")


def check_host(host, what):
    try:
        local = host in LOCAL_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        refuse(f"{what} {host}")


def guard_method(name):
    real = getattr(socket.socket, name)

    def guarded(self, *arguments):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            address = arguments[0] if name.startswith("connect") else arguments[-1]
            check_host(address[0], name)
        return real(self, *arguments)

    setattr(socket.socket, name, guarded)


def guard_lookup(name):
    real = getattr(socket, name)

    def guarded(host, *arguments, **options):
        check_host(host, name)
        return real(host, *arguments, **options)

    setattr(socket, name, guarded)


for name in ("connect", "connect_ex", "sendto"):
    guard_method(name)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    guard_lookup(name)
note(f"began {' '.join(sys.orig_argv)!r}")
