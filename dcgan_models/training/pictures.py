"""Minibatches of pictures: which ones, in what order, and how they reach the device.

The order is a function of seed and step alone, so a run that goes on needs no state for it.
Pictures that fit stay on the device as uint8 and are picked out there; others are read ahead by a
thread, through pinned memory where there is a GPU.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import psutil
import torch
from torch import Tensor

from dcgan_models.data import PixelStore
from dcgan_models.machine import memory_named
from dcgan_models.training.config import Loading
from dcgan_models.training.streams import random_stream
from dcgan_models.training.team import Team

_SHARE_OF_MEMORY = 0.5
_READ_AHEAD = 4


class Order:
    """Pictures without replacement, in an order of their own for each epoch.

    The last pictures of an epoch that fill no minibatch are left out; others each time.
    """

    def __init__(
        self, n: int, batch: int, seed: int, team: Team, device: torch.device | str = "cpu"
    ) -> None:
        self.n, self.batch, self.seed, self.team, self.device = n, batch, seed, team, device
        self.share = team.share(batch)
        self.steps_per_epoch = n // batch
        self._epoch, self._rows = -1, torch.empty(0)

    def rows(self, step: int) -> Tensor:
        """This process's rows of the minibatch of a step: int64 (batch / processes,)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = random_stream(self.seed, f"order/{epoch}")
            # Drawn on the processor, so that every device has the same, and moved once an epoch.
            rows = torch.randperm(self.n, generator=rng).to(self.device)
            self._epoch, self._rows = epoch, rows
        return self._rows[position * self.batch :][: self.batch][self.share]

    def on(self, device: torch.device | str) -> Order:
        """The same order, to be walked on its own, its rows on a device."""
        return Order(self.n, self.batch, self.seed, self.team, device)

    def copies(self, device: torch.device) -> int:
        """How many processes hold pictures in one memory: each GPU has its own."""
        return 1 if device.type == "cuda" else self.team.size


class Pictures(Protocol):
    """Minibatches of real pictures, asked for step by step."""

    def labels(self, step: int) -> Tensor:
        """Labels of a step's minibatch: int64 (b,)."""

    def pixels(self, step: int) -> Tensor:
        """Pixels of the minibatch of a step at which D learns: uint8 (b, height, width, c)."""

    def close(self) -> None:
        """Let go of threads."""


class ResidentPictures:
    """The whole split on the device, and the order of an epoch: at a step nothing moves."""

    def __init__(self, store: PixelStore, order: Order, device: torch.device) -> None:
        self.order = order.on(device)
        with memory_named(device, "all pictures of the split: set `loading: streamed`"):
            self._pixels = store.to_device(device)
        self._labels = torch.from_numpy(store.labels).to(device)

    def labels(self, step: int) -> Tensor:
        """See `Pictures`."""
        return self._labels[self.order.rows(step)]

    def pixels(self, step: int) -> Tensor:
        """See `Pictures`."""
        return self._pixels[self.order.rows(step)]

    def close(self) -> None:
        """See `Pictures`."""


class StreamedPictures:
    """Minibatches read ahead from memory-mapped shards by a thread."""

    def __init__(
        self, store: PixelStore, order: Order, device: torch.device, steps: Iterable[int]
    ) -> None:
        """Begin to read.

        Args:
            steps: Those whose pixels will be asked for, in order.
        """
        self.store, self.order, self.device = store, order, device
        self._label_order = order.on(device)
        self._labels = torch.from_numpy(store.labels).to(device)
        self._ready: queue.Queue[Tensor | Exception] = queue.Queue(_READ_AHEAD)
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(steps,), daemon=True)
        self._reader.start()

    def labels(self, step: int) -> Tensor:
        """See `Pictures`."""
        return self._labels[self._label_order.rows(step)]

    def pixels(self, step: int) -> Tensor:
        """See `Pictures`; raises what the reading thread met."""
        found = self._ready.get()
        if isinstance(found, Exception):
            raise found
        return found.to(self.device, non_blocking=True)

    def close(self) -> None:
        """See `Pictures`."""
        self._closing.set()
        self._reader.join()

    def _read(self, steps: Iterable[int]) -> None:
        order = self.order.on("cpu")  # epochs change here before they do where labels are asked for
        try:
            for step in steps:
                pixels = torch.from_numpy(self.store.gather(order.rows(step).numpy()))
                self._hand_over(pixels.pin_memory() if self.device.type == "cuda" else pixels)
                if self._closing.is_set():
                    return
        except Exception as error:
            self._hand_over(error)

    def _hand_over(self, content: Tensor | Exception) -> None:
        while not self._closing.is_set():
            try:
                return self._ready.put(content, timeout=0.1)
            except queue.Full:
                continue


def open_pictures(
    store: PixelStore,
    order: Order,
    device: torch.device,
    loading: Loading,
    steps: Iterable[int],
) -> Pictures:
    """Choose how pictures reach the device; `auto` keeps them there when they fit.

    Args:
        steps: Those whose pixels will be asked for, in order.
    """
    if loading == "auto":
        needed = len(store) * int(np.prod(store.shape)) * order.copies(device)
        loading = "resident" if needed < _SHARE_OF_MEMORY * _free_memory(device) else "streamed"
    if loading == "resident":
        return ResidentPictures(store, order, device)
    return StreamedPictures(store, order, device, steps)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
