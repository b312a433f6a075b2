"""`claims`: what the paper claims of Figures 2 to 8, counted in what the judges see.

Beside every share stand the same of an untrained generator, which a judge alone may take for
something, what is left of the share once the judge's own errors are taken off it, and the distance
of the pictures from real ones in the extractor's features.
"""

from __future__ import annotations

from collections.abc import Callable

from dcgan_assets.assets.internals.concept_claims import (
    count_arithmetic,
    count_forgotten,
    count_turned,
)
from dcgan_assets.assets.internals.looking import Counted, Looking
from dcgan_assets.assets.internals.sample_claims import count_samples, count_walks, name_them
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker
from dcgan_assets.params.internals import Claims

_ALWAYS = (
    Check(
        "better_than_untrained",
        "Samples lie where real pictures do rather than where an untrained generator's do.",
    ),
    Check("judge_reads", "The judge that counts is right as far as the asset `judge` asks."),
)
# The parts that a section may ask for: what each claims, and what counts it.
_PARTS: dict[str, tuple[Check, Callable[[Looking], Counted]]] = {
    "walks": (
        Check(
            "walk_is_gradual",
            "No step of a walk is as large as the walk or changes every flag, fewer are undecided "
            "than on a fade, and it leads through pictures near real ones.",
        ),
        count_walks,
    ),
    "filters": (
        Check("filters_mean_more", "What fires a filter has more in common than with a random D."),
        name_them,
    ),
    "forget": (
        Check(
            "object_is_forgotten",
            "Fewer have it than without as many random maps, in pictures near real ones.",
        ),
        count_forgotten,
    ),
    "expressions": (
        Check(
            "arithmetic_adds_up",
            "More results are right than by chance, and they lie near real pictures.",
        ),
        count_arithmetic,
    ),
    "turn": (
        Check(
            "samples_turn",
            "What turns follows the place along the vector in most rows, near real pictures.",
        ),
        count_turned,
    ),
}


def count_claims(work: Work) -> Outcome:
    """Count what a group's section asks for; a claim that it does not ask for is no check."""
    looking = Looking(work)
    asked = [count for part, (_, count) in _PARTS.items() if getattr(looking.section, part)]
    found = [count(looking) for count in (count_samples, *asked)]
    work.result(
        paper_ref="Figures 2 to 8, counted",
        stand_in=stand_in(work),
        rows=[row for part in found for row in part.rows],
        notes=(
            "A judge counts: it is right of drawn pictures as far as the asset `judge` says, and "
            "was not shown what picked exemplars and boxes. Corrected: by how often it is right of "
            "held-out pictures that were made half as sharp, as samples are soft. Distance: to the "
            f"nearest of {looking.realism.count:,} real pictures in the extractor's features; a "
            "share of pictures that lie far away means nothing, and no check passes on them: far "
            "is nearer to an untrained generator's distance than to that of real pictures."
        ),
    ).write(work.out())
    return Outcome(
        verdicts=tuple(verdict for part in found for verdict in part.verdicts),
        figures={file: words for part in found for file, words in part.figures.items()},
    )


def claims_step(step: StepMaker, *, claims: Claims | None, manifest: bool) -> Step:
    """A group's `claims`, checked as its section asks; `manifest` as for the judge."""
    asked = [check for part, (check, _) in _PARTS.items() if getattr(claims, part, None)]
    named = claims is not None and claims.filters
    return step(
        "claims",
        inputs=(
            step.pictures,
            *(("manifest",) if manifest else ()),
            *("training_set", "extractor", "judge", "generator"),
            *(("discriminator",) if named else ()),
        ),
        kind="results",
        compute=count_claims,
        checks=(*_ALWAYS, *asked),
        kinds=frozenset({"pytorch"}),
        shows=("result.json",),
        description=(
            "The claims of sections 4 and 6 as numbers: what two judges see in samples, along "
            "walks, in what fires filters, and in what comes of forgetting, vector arithmetic and "
            "the turn vector, beside an untrained generator and with the distance from real "
            "pictures."
        ),
    )
