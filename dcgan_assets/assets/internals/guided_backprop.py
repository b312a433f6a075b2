"""Figure 5: what filters of D's last convolution respond to, beside filters that never learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcgan_assets.assets.pictures.shards import shard_facts
from dcgan_assets.assets.training.training_set import TRAIN, require_current
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.internals import GuidedBackprop
from dcgan_models.grids import above, beside, tile, write_png
from dcgan_models.pixels import Pixels

FILTER_CHECKS = (Check("filters_fire", "Every filter that is shown responds to some picture."),)
RANDOM, TRAINED = "random D", "trained D"
# On so many training pictures D's statistics are fixed, for both networks.
_PICTURES = 4096
_GAP = 8


def show_filters(work: Work) -> Outcome:
    """Find the pictures that fire each filter, and send those activations back to the pixels."""
    from dcgan_models import load_discriminator
    from dcgan_models.data import PixelStore
    from dcgan_models.internals.attribution import visualise_filters
    from dcgan_models.networks import fix_statistics, untrained_discriminator

    require_current(work)
    section: GuidedBackprop = work.section
    store = PixelStore.open(work.input(work.sibling("training_set")), TRAIN)
    some = np.linspace(0, len(store) - 1, min(len(store), _PICTURES)).astype(int)
    pictures = store.gather(some)
    discriminator = load_discriminator(work.input(work.sibling("discriminator")))
    fix_statistics(discriminator, pictures)
    baseline = untrained_discriminator(discriminator.preset, pictures, section.seed)
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
        stand_in=shard_facts(work)["stand_in"],
        rows=_rows(found),
        notes=(
            "Likeness: mean cosine of all pairs of a filter's tiles, levels counted from the row's "
            "grey; mean of the filters. Guided tiles of one filter are alike by its own weights, "
            "trained or not: what was learnt shows in the crops, the pictures that fired."
        ),
    ).write(work.out())
    figure = _draw(found, section)
    write_png(work.out() / "figure.png", figure)
    highest = found[TRAINED].hits.values[:, 0]
    return Outcome(
        metadata={
            "figure": shown.picture(figure, "guided backpropagation; random left, trained right"),
            "pictures": len(store),
            **{row.name: row.value for row in _rows(found)},
        },
        verdicts=(
            Verdict(
                "filters_fire",
                bool((highest > 0).all()),
                {"lowest of the highest activations": round(float(highest.min()), 4)},
            ),
        ),
    )


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
