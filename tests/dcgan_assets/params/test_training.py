"""Sections on trainings: what is held out, and what is said otherwise than by the preset."""

from __future__ import annotations

from typing import Any

from edited_params import edited, params, refusal

from dcgan_assets.assets.training.training_set import deal_held_out
from dcgan_assets.params.training import Candidate, TrainingSet
from dcgan_models.presets import preset


def candidate(**changes: Any) -> Candidate:
    return params(edited(lambda c: c["mnist"]["candidate"].update(changes))).mnist.candidate


def test_overrides_reach_the_preset_and_its_identity() -> None:
    section = candidate(batch=16, learning_rate=0.003, epochs=2, decay_epochs=1, width=0.5)
    resolved = section.resolved()
    assert (resolved.batch, resolved.learning_rate) == (16, 0.003)
    assert (resolved.epochs, resolved.decay_epochs) == (2, 1)
    assert resolved.generator[0].out == preset("mnist28").generator[0].out // 2
    assert section.identity()["preset"] == resolved.to_dict()


def test_a_width_that_leaves_no_network_is_refused() -> None:
    assert "mnist.candidate.width" in refusal(
        edited(lambda c: c["mnist"]["candidate"].update(width=0))
    )


def test_at_least_so_many_are_held_out_where_half_is_enough() -> None:
    def held_out(n: int, share: float, people: int = 0, **bounds: int) -> int:
        dealt = [f"{number % people if people else number}" for number in range(n)]
        section = TrainingSet(held_out=share, **bounds)
        pictures = [f"{number}" for number in range(n)]
        return int((deal_held_out(dealt, [None] * n, section, pictures) == "held_out").sum())

    # As many as `quality` needs, of 40 pictures and more; fewer keep their share.
    assert [held_out(n, 0.1) for n in (40, 60, 120)] == [20, 20, 20]
    assert held_out(39, 0.1) < 12
    assert held_out(1_000, 0.1) > 70
    assert held_out(1_000, 0.0) == 0
    assert held_out(1_000, 0.001, held_out_least=50, held_out_most=30) == 30
    # People stay whole, so that there may be more, or none where it would be too many.
    assert held_out(120, 0.01, people=10) == 24
    assert held_out(120, 0.001, people=1) == 0
