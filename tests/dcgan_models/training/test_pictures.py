"""Minibatches: who gets which pictures when, and how they come to where training is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dcgan_models.data import PixelStore
from dcgan_models.training import pictures as pictures_module
from dcgan_models.training.pictures import (
    Order,
    ResidentPictures,
    StreamedPictures,
    open_pictures,
)
from dcgan_models.training.streams import random_stream
from dcgan_models.training.team import Team

N, BATCH = 50, 12  # four minibatches and two pictures over
CPU = torch.device("cpu")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> PixelStore:
    pixels = np.random.default_rng(0).integers(0, 256, (N, 4, 5, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(N)  # a picture's number is its first pixel
    folder = write_pictures(tmp_path_factory.mktemp("data"), pixels, shards=3)
    return PixelStore.open(folder, "train")


# --- Order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_shares_are_disjoint_and_make_the_whole_minibatch(processes: int) -> None:
    """Whatever the number of processes, the same pictures in the same places."""
    whole = Order(N, BATCH, seed=3, team=Team())
    shares = [Order(N, BATCH, 3, Team(rank, processes)) for rank in range(processes)]
    assert whole.steps_per_epoch == shares[0].steps_per_epoch == N // BATCH
    for step in (0, 1, 3, 4, 11, 5):  # and back again
        rows = [share.rows(step) for share in shares]
        assert {len(part) for part in rows} == {BATCH // processes}
        assert torch.equal(torch.cat(rows), whole.rows(step))


def test_an_epoch_is_a_part_of_a_permutation_of_its_own() -> None:
    order = Order(N, BATCH, seed=3, team=Team())
    epochs = []
    for epoch in range(40):
        rows = torch.cat([order.rows(4 * epoch + position) for position in range(4)])
        assert len(set(rows.tolist())) == 4 * BATCH
        assert set(rows.tolist()) <= set(range(N))
        permutation = torch.randperm(N, generator=random_stream(3, f"order/{epoch}"))
        assert torch.equal(rows, permutation[: 4 * BATCH])
        epochs.append(tuple(rows.tolist()))
    assert len(set(epochs)) == 40
    left_out = {i for epoch in epochs for i in set(range(N)) - set(epoch)}
    assert len(left_out) > N / 2  # 80 of them drawn among 50
    other = Order(N, BATCH, seed=4, team=Team())
    assert tuple(torch.cat([other.rows(i) for i in range(4)]).tolist()) != epochs[0]


def test_a_batch_that_does_not_divide_is_refused(refused: Any) -> None:
    with refused("a batch of 12 does not divide among 5 processes"):
        Order(N, BATCH, seed=3, team=Team(0, 5))


# --- Resident or streamed -------------------------------------------------------------------

STEPS = [1, 2, 3, 4, 9, 17]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", [ResidentPictures, StreamedPictures])
def test_pixels_and_labels_are_those_of_the_rows(
    store: PixelStore, rank: int, kind: Callable[..., Any]
) -> None:
    order = Order(N, BATCH, seed=7, team=Team(rank, 2))
    plain = Order(N, BATCH, seed=7, team=Team())
    pictures = (
        ResidentPictures(store, order, CPU)
        if kind is ResidentPictures
        else StreamedPictures(store, order, CPU, STEPS)
    )
    try:
        for step in range(18):
            rows = plain.rows(step)[6 * rank : 6 * rank + 6].numpy()
            # Labels are asked for at each step, pixels where D learns: the reader is ahead.
            assert pictures.labels(step).tolist() == (rows % 10).tolist()
            if step in STEPS:
                pixels = pictures.pixels(step)
                assert pixels.dtype == torch.uint8
                assert pixels[:, 0, 0, 0].tolist() == rows.tolist()
                assert np.array_equal(pixels.numpy(), store.gather(rows))
    finally:
        pictures.close()


@pytest.mark.parametrize(("times", "kind"), [(2.1, ResidentPictures), (1.9, StreamedPictures)])
def test_pictures_stay_where_half_the_memory_holds_them(
    store: PixelStore, monkeypatch: pytest.MonkeyPatch, times: float, kind: type
) -> None:
    """Two processes on one processor hold two copies."""
    order = Order(N, BATCH, 0, Team(0, 2))
    free = int(times * 2 * N * 4 * 5 * 3)
    monkeypatch.setattr(pictures_module, "_free_memory", lambda device: free)
    pictures = open_pictures(store, order, CPU, "auto", [])
    pictures.close()
    assert type(pictures) is kind
    assert order.copies(torch.device("cuda")) == 1


# --- The reader -----------------------------------------------------------------------------


class Gate:
    """Stands in the reader's way: tells what it reads, and waits where it is told to."""

    def __init__(self, store: PixelStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[int] = []
        self.reached = threading.Semaphore(0)
        self.error: Exception | None = None
        self.fails_at = -1
        gather = PixelStore.gather

        def watched(own: PixelStore, rows: Any) -> Any:
            if len(self.read) == self.fails_at:
                raise OSError("the disk is gone")
            self.read.append(len(self.read))
            self.reached.release()
            return gather(own, rows)

        monkeypatch.setattr(PixelStore, "gather", watched)

    def wait_for(self, minibatches: int) -> None:
        for _ in range(minibatches):
            assert self.reached.acquire(timeout=PATIENCE_S)


@pytest.fixture
def gate(store: PixelStore, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(store, monkeypatch)


def readers() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if "_read" in t.name}


def stream(store: PixelStore, steps: Iterator[int] | range) -> StreamedPictures:
    return StreamedPictures(store, Order(N, BATCH, 0, Team()), CPU, steps)


def test_the_reader_reads_ahead_so_far_and_no_further(store: PixelStore, gate: Gate) -> None:
    pictures = stream(store, range(100))
    try:
        # Four wait ready, and the fifth in the reader's hand.
        gate.wait_for(pictures_module._READ_AHEAD + 1)
        assert not gate.reached.acquire(timeout=0.3)
        pictures.pixels(0)
        gate.wait_for(1)
    finally:
        pictures.close()


@pytest.mark.parametrize("taken", [0, 3])
def test_closing_ends_a_reader_that_waits_to_hand_over(
    store: PixelStore, gate: Gate, taken: int
) -> None:
    before = readers()
    pictures = stream(store, range(10**9))
    gate.wait_for(pictures_module._READ_AHEAD + 1)
    for step in range(taken):
        pictures.pixels(step)
    assert len(readers() - before) == 1
    closer = threading.Thread(target=pictures.close, daemon=True)
    closer.start()
    closer.join(PATIENCE_S)
    assert not closer.is_alive()
    assert readers() == before


def test_a_reader_that_has_read_all_ends_by_itself(store: PixelStore) -> None:
    before = readers()
    pictures = stream(store, range(6))
    found: list[Tensor] = [pictures.pixels(step) for step in range(6)]
    pictures._reader.join(PATIENCE_S)
    assert readers() == before
    assert len(found) == 6
    pictures.close()


def test_what_the_reader_meets_comes_out_where_its_minibatch_is_asked_for(
    store: PixelStore, gate: Gate
) -> None:
    """Not before: the minibatches that were read are trained on."""
    gate.fails_at = 2
    pictures = stream(store, range(10))
    try:
        for step in range(2):
            assert len(pictures.pixels(step)) == BATCH
        with pytest.raises(OSError, match="the disk is gone"):
            pictures.pixels(2)
    finally:
        pictures.close()


def test_an_error_is_no_reason_not_to_close(store: PixelStore, gate: Gate) -> None:
    before = readers()
    gate.fails_at = pictures_module._READ_AHEAD  # the queue is full when it comes
    pictures = stream(store, range(10))
    gate.wait_for(pictures_module._READ_AHEAD)
    pictures.close()
    assert readers() == before
