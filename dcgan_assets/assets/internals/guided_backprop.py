"""Figure 5: what filters of D's last convolution respond to, beside filters that never learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.assets.training.training_set import open_training_set
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.internals import GuidedBackprop
from dcgan_models.grids import above, beside, tile, write_png
from dcgan_models.metrics.intervals import mean_interval
from dcgan_models.pixels import Pixels

FILTER_CHECKS = (
    Check(
        "fired_by_like_things",
        "What fires a trained filter is more alike than what fires one with random weights.",
    ),
)
RANDOM, TRAINED = "random D", "trained D"
# On so many training pictures D's statistics are fixed, for both networks.
_PICTURES = 4096
_GAP = 8


def show_filters(work: Work) -> Outcome:
    """Find the pictures that fire each filter, and send those activations back to the pixels."""
    from dcgan_models import load_discriminator
    from dcgan_models.internals.attribution import visualise_filters
    from dcgan_models.machine import choose_device
    from dcgan_models.networks import fix_statistics, untrained_discriminator

    section: GuidedBackprop = work.section
    store = open_training_set(work)
    some = np.linspace(0, len(store) - 1, min(len(store), _PICTURES)).astype(int)
    pictures = store.gather(some)
    discriminator = load_discriminator(
        work.input(work.sibling("discriminator")), device=work.params.machine.device
    )
    fix_statistics(discriminator, pictures)
    baseline = untrained_discriminator(
        discriminator.preset, pictures, section.seed, choose_device(work.params.machine.device)
    )
    with work.progress(2 * len(store), "pictures") as bar:
        found = {
            name: visualise_filters(
                network,
                store,
                section.filters,
                k=section.hits,
                rule=section.rule,
                on_batch=bar.update,
            )
            for name, network in ((RANDOM, baseline), (TRAINED, discriminator))
        }
    work.result(
        paper_ref="Figure 5 and section 6.2",
        stand_in=stand_in(work),
        rows=_rows(found),
        notes=(
            "Likeness: mean cosine of all pairs of a filter's tiles, levels counted from the row's "
            "grey; mean of the filters. Guided tiles of one filter are alike by its own weights, "
            "trained or not: what was learnt shows in the crops, the pictures that fired."
        ),
    ).write(work.out())
    figure = _draw(found, section)
    write_png(work.out() / "figure.png", figure)
    return Outcome(
        metadata={
            "pictures": len(store),
            **{row.name: row.value for row in _rows(found)},
        },
        verdicts=(judge_filters(found[TRAINED], found[RANDOM]),),
        figures={"figure.png": "guided backpropagation; random left, trained right"},
    )


def judge_filters(trained: Any, random: Any) -> Verdict:
    """Judge `FILTER_CHECKS` by the intervals of the mean likeness of crops, over filters."""
    from dcgan_models.internals.attribution import likeness

    spans = {
        name: mean_interval(likeness(responses.crops, responses.neutral))
        for name, responses in ((TRAINED, trained), (RANDOM, random))
    }
    facts = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in spans.items()}
    return Verdict("fired_by_like_things", spans[TRAINED][0] > spans[RANDOM][1], facts)


def guided_backprop_step(step: StepMaker) -> Step:
    """Figure 5 of a group."""
    return step(
        "guided_backprop",
        inputs=("images", "training_set", "discriminator"),
        kind="results",
        compute=show_filters,
        checks=FILTER_CHECKS,
        kinds=frozenset({"pytorch"}),
        shows=("result.json", "figure.png"),
        shows_pictures=True,
        description=(
            "Figure 5: the pictures that fire filters of D's last convolution most, and what "
            "guided backpropagation finds in them, beside filters that never learned (section 6.2)."
        ),
    )


def _rows(found: dict[str, Any]) -> list[Row]:
    from dcgan_models.internals.attribution import likeness

    rows = []
    for what in ("crops", "tiles"):
        for name, responses in found.items():
            alike = likeness(getattr(responses, what), responses.neutral)
            rows.append(
                Row(
                    name=f"{name}: likeness of {'guided tiles' if what == 'tiles' else what}",
                    measure="likeness",
                    value=round(float(alike.mean()), 4),
                    n=len(alike),
                    low=round(float(alike.min()), 4),
                    high=round(float(alike.max()), 4),
                    interval="lowest and highest filter",
                )
            )
    return rows


def _draw(found: dict[str, Any], section: GuidedBackprop) -> Pixels:
    """Random filters left and trained ones right, a row a filter; below, what fired them."""
    from dcgan_models.internals.captions import captioned

    def block(what: str) -> Pixels:
        sides = [getattr(found[name], what) for name in (RANDOM, TRAINED)]
        return beside([tile(s.reshape(-1, *s.shape[2:]), section.hits) for s in sides], _GAP)

    filters = ", ".join(map(str, section.filters))
    words = f"guided backpropagation of filters {filters}: random D left, trained D right"
    fired = "the same places of the pictures that fired them"
    return above([captioned(block("tiles"), words), captioned(block("crops"), fired)], _GAP)
