"""Sections on trainings: what a section says otherwise than its preset."""

from __future__ import annotations

from typing import Any

from edited_params import edited, params, refusal

from dcgan_assets.params.training import Candidate
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
