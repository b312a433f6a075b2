"""What another host has made and is not seen yet is waited for, and nothing else."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import pytest
from small_graph import SmallGraph

from dcgan_assets.engine import stale_folders
from dcgan_assets.engine.instance import HOST_TAG
from dcgan_assets.engine.stale_folders import place_order_when_seen
from dcgan_assets.engine.store import MissingError

_WAITS = "toy/images[01]: made on another host, and not seen here yet"


class Heard(io.StringIO):
    """What is said; once it says that it waits, something is done."""

    def __init__(self, do: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._do = do

    def write(self, text: str) -> int:
        written = super().write(text)
        if _WAITS in text:
            self._do()
        return written


@pytest.fixture
def made(small: SmallGraph) -> SmallGraph:
    """Both shards of `toy/images`."""
    assert small.only("images", "mean").run("toy/images").code == 0
    return small


def elsewhere(graph: SmallGraph) -> None:
    """All that was made so far another host has made."""
    with graph.instance() as instance:
        for run in instance.get_runs():
            instance.add_run_tags(run.run_id, {HOST_TAG: "another-host"})


def order_of_mean(graph: SmallGraph, heard: Heard) -> list[str]:
    """The inputs of `toy/mean`, as a run places its order."""
    catalogue = graph.catalogue()
    with graph.instance() as instance, contextlib.redirect_stdout(heard):
        step = catalogue.by_key["toy/mean"]
        order = place_order_when_seen(catalogue, step, None, None, instance, afresh=False)
    return sorted(order.inputs)


def test_what_another_host_made_is_waited_for(made: SmallGraph) -> None:
    elsewhere(made)
    place = made.root / "data/toy/images/01"
    hidden = place.rename(made.root / "hidden")
    heard = Heard(lambda: hidden.rename(place))
    assert order_of_mean(made, heard) == ["toy/images[00]", "toy/images[01]"]
    assert heard.getvalue().count(_WAITS) == 1


def test_it_is_not_waited_for_for_ever(made: SmallGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_folders, "PATIENCE_SECONDS", 0.0)
    elsewhere(made)
    (made.root / "data/toy/images/01").rename(made.root / "hidden")
    with pytest.raises(MissingError, match=r"^missing: toy/images\[01\]; run"):
        order_of_mean(made, Heard())


def test_what_this_host_made_and_somebody_removed_is_missing_at_once(made: SmallGraph) -> None:
    (made.root / "data/toy/images/01").rename(made.root / "hidden")
    heard = Heard()
    with pytest.raises(MissingError, match=r"^missing: toy/images\[01\]"):
        order_of_mean(made, heard)
    assert not heard.getvalue()


def test_what_nobody_made_is_missing_at_once(small: SmallGraph) -> None:
    assert small.only("images", "mean").run("toy/images", partition="00").code == 0
    elsewhere(small)
    heard = Heard()
    with pytest.raises(MissingError, match=r"^missing: toy/images\[01\]"):
        order_of_mean(small, heard)
    assert not heard.getvalue()
