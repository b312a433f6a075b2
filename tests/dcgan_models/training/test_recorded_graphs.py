"""Compiled updates: recorded graphs, whose results lie where the next run writes its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from recorded_graphs import graphs_recorded
from test_updates import learn, make_updates, minibatches, tiny

from dcgan_models.training.updates import Updates


@pytest.fixture
def recorded_graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    with graphs_recorded(monkeypatch) as runs:
        yield runs


def pair(name: str, compiled: str | None) -> Updates:
    eager = make_updates(tiny(name))
    if compiled is None:
        return eager
    return Updates(eager.generator, eager.discriminator, compiled=compiled)


@pytest.mark.parametrize(
    "name",
    [
        "mnist28",
        pytest.param("lsun64", marks=pytest.mark.slow),
        pytest.param("torch64", marks=pytest.mark.slow),
    ],
)
def test_updates_by_recorded_graphs_are_the_eager_ones(
    recorded_graphs: list[Any], name: str
) -> None:
    updates, eager = pair(name, "reduce-overhead"), pair(name, None)
    for step, found in zip(range(4), minibatches(tiny(name)), strict=False):
        learn(updates, step, found)
        learn(eager, step, found)
        assert updates.culprit() is None
    assert len(recorded_graphs) >= 4 * 3, "nothing was recorded, so that this test tells nothing"
    assert updates.mean_losses() == pytest.approx(eager.mean_losses(), rel=1e-4)
    for ours, theirs in (
        (updates.generator, eager.generator),
        (updates.discriminator, eager.discriminator),
    ):
        for (label, weight), expected in zip(
            ours.named_parameters(), theirs.parameters(), strict=True
        ):
            torch.testing.assert_close(weight, expected, atol=1e-4, rtol=1e-4, msg=label)


def test_what_the_graphs_overwrite_is_refused(
    recorded_graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above would see it: an update that does not say where it begins."""
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    updates = pair("mnist28", "reduce-overhead")
    steps = list(zip(range(4), minibatches(tiny("mnist28")), strict=False))

    def learn_all() -> None:
        for step, found in steps:
            learn(updates, step, found)

    with pytest.raises(RuntimeError, match="overwritten by a subsequent run"):
        learn_all()
