"""`GROUP/explorer`: the group's generator in one web page, with all that is known of its latents.

What a person or the judge picked becomes words to reckon with; what the judges read becomes a
slider a factor, with how far it is true; Figures 6 and 8 give the maps to forget and the turn
vector. A group without a judge has the words that a rule can measure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dcgan_assets.annotate.files import Subject, concepts_path, read_concepts
from dcgan_assets.assets.internals.explorer import page
from dcgan_assets.assets.internals.explorer.sliders import Slider, find_sliders
from dcgan_assets.assets.internals.picks import (
    by_whom,
    concepts_file,
    concepts_version,
    open_picker,
    open_samples,
)
from dcgan_assets.assets.internals.window_dropout import MAPS_FILE
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, StepMaker, Verdict
from dcgan_assets.params.internals import Explorer, LookingInside
from dcgan_models.files import read_json
from dcgan_models.internals.expressions import concepts_of, parse_expression

if TYPE_CHECKING:
    from dcgan_models.portable.folded import RoundingCost

PAGE_FILE = "explorer.html"
# What a browser opens at once, and a letter carries.
MOST_BYTES = 6_000_000
MOST_LEVELS = 2
CHECKS = (
    Check("small", "The page has at most 6 MB, so that it can be sent and opens at once."),
    Check("faithful", "The page's pictures are the network's own, to two grey levels at most."),
)


@dataclass(frozen=True)
class Words:
    """Concepts to reckon with.

    Attributes:
        picks: Rows of fixed_z by concept.
        spoken: How each is said.
        listed: Those to choose from; others are of an example alone.
        picked_by: `person`, `judge` or `auto`.
    """

    picks: Mapping[str, Sequence[int]]
    spoken: Mapping[str, str]
    listed: frozenset[str]
    picked_by: str


def make_explorer(work: Work) -> Outcome:
    """Fold the generator, find what the page can be played with, and write the page."""
    from dcgan_models.portable.folded import fold, rounding_cost

    generator, subject = open_samples(work)
    folded = fold(generator)
    cost = rounding_cost(generator, folded)
    words = _find_words(work, generator, subject)
    sliders = find_sliders(work, generator)
    text = _page(work, generator, folded, words, sliders)
    (work.out() / PAGE_FILE).write_text(text, encoding="utf-8")
    rows = [*_cost_rows(cost), *(row for slider in sliders for row in slider.rows())]
    work.result(
        paper_ref="section 6.3, to be tried out",
        stand_in=stand_in(work),
        rows=rows,
        notes=(
            "Weights are in half precision in the page; rounding is held to the network as it is. "
            "A slider is a direction of a linear regression of what the picking judge read on z; "
            "the reporting judge saw both ends of it in new samples."
        ),
    ).write(work.out())
    size = len(text.encode())
    return Outcome(
        metadata={
            "page": dg.MetadataValue.text(f"results/{work.step.key}/{PAGE_FILE}"),
            "page_bytes": size,
            "words": len(words.picks),
            "sliders": len(sliders),
            **{row.name: row.value for row in rows},
        },
        verdicts=(
            Verdict("small", size <= MOST_BYTES, {"bytes": size, "allowed": MOST_BYTES}),
            Verdict("faithful", cost.most <= MOST_LEVELS, {"grey_levels": cost.most}),
        ),
    )


def explorer_step(
    step: StepMaker, inside: LookingInside | None = None, pictures: str = "training_set"
) -> Step:
    """A group's `explorer`; `pictures` is what says whether the group's stand in for others."""
    figures = () if inside is None else inside.figures()
    read = [name for name in ("judge", "window_dropout", "turn_vector") if name in figures]
    return step(
        "explorer",
        inputs=(pictures, "generator", *read),
        kind="results",
        compute=make_explorer,
        source_version=_version,
        files=concepts_file,
        checks=CHECKS,
        derived=True,
        kinds=frozenset({"html", "javascript"}),
        shows=("result.json",),
        description=(
            "The generator in one web page, to be played with (sections 6.1 and 6.3): samples, "
            "walks, arithmetic, a slider for each factor, forgetting, and all numbers of z. Opened "
            f"with `dcgan explore {step.group}`, or from disk, without a network."
        ),
    )


def _version(reading: Reading) -> str:
    """What the page is made of beside its inputs: its own sources, and a person's picks."""
    texts = [*map(page.own_text, page.SOURCES), concepts_version(reading)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _cost_rows(cost: RoundingCost) -> list[Row]:
    named = {"mean": round(cost.mean, 4), "largest": cost.most}
    return [
        Row(
            name=f"half precision: {name} change of a value",
            measure="change",
            value=value,
            unit="grey levels",
            n=cost.n,
        )
        for name, value in named.items()
    ]


# --- Words ------------------------------------------------------------------------------------


def _find_words(work: Work, generator: Any, subject: Subject) -> Words:
    """A person's picks where there are any, else those of the judge or the rule.

    A conditional generator has none: a mean of samples of several labels has no label.
    """
    if generator.preset.classes:
        return Words({}, {}, frozenset(), "auto")
    from dcgan_models.internals.arithmetic import EXEMPLARS

    try:
        concepts = read_concepts(concepts_path(work.root, subject.group), subject)
    except FileNotFoundError:
        pass
    else:
        picked = {name: rows for name, rows in concepts.picks.items() if rows}
        spoken = {name: name.replace("_", " ") for name in picked}
        return Words(picked, spoken, frozenset(picked), concepts.picked_by)
    section: Explorer = work.section
    picker = open_picker(work)
    asked = [name for e in section.expressions for name in concepts_of(parse_expression(e))]
    single = picker.words(generator.preset.image[0])
    spoken = {name: ", ".join(single.get(w, w) for w in name.split("_")) for name in asked}
    found = picker.concepts(generator.draw(generator.fixed_z), [*(single | spoken)], EXEMPLARS)
    return Words(found, single | spoken, frozenset(single), picker.name)


def _known_expressions(section: Explorer, words: Words) -> list[list[dict[str, Any]]]:
    """The section's expressions whose concepts there are: a person may have picked others."""
    read = [parse_expression(expression) for expression in section.expressions]
    return [
        [{"sign": term.sign, "word": term.concept} for term in terms]
        for terms in read
        if all(term.concept in words.picks for term in terms)
    ]


# --- The page ---------------------------------------------------------------------------------


def _page(work: Work, generator: Any, folded: Any, words: Words, sliders: Sequence[Slider]) -> str:
    from dcgan_models.portable.payload import encoded, network_payload

    section: Explorer = work.section
    preset = generator.preset
    count = min(section.samples, len(generator.fixed_z))
    rows = list(
        dict.fromkeys([*range(count), *(r for picks in words.picks.values() for r in picks)])
    )
    labels = generator.fixed_labels
    network = network_payload(folded)
    expressions = _known_expressions(section, words)
    data = {
        "group": work.step.group,
        "network": network,
        "samples": count,
        "latents": encoded(generator.fixed_z[rows]),
        "labels": None if labels is None else labels[rows].tolist(),
        "words": [
            {
                "name": name,
                "label": words.spoken[name],
                "listed": name in words.listed,
                "rows": [rows.index(row) for row in picks],
            }
            for name, picks in words.picks.items()
        ],
        "expressions": expressions,
        "moves": [slider.payload() for slider in sliders],
        "forget": _forgetting(work),
    }
    side = preset.image[1:]
    return page.build_page(
        data,
        title=f"Explore {work.step.group}",
        group=work.step.group,
        weights=f"{network['weights']:,}",
        numbers=preset.z_dim,
        normal=preset.z_distribution == "normal",
        classes=preset.classes,
        pixels=f"{side[1]} × {side[0]}",  # noqa: RUF001  (a sign of multiplication)
        words=bool(words.picks),
        picked_by=by_whom(words.picked_by),
        about=_about(work),
    )


def _about(work: Work) -> str:
    version = work.input_meta(work.sibling("generator")).data_version
    if work.step.section.startswith("groups."):
        kind = f"pictures of {work.step.group}"
    elif stand_in(work):
        kind = "pictures that stand in for the paper's"
    else:
        kind = "the paper's pictures"
    return (
        f"{work.step.group}/generator {version[:12]}, a DCGAN (Radford, Metz and Chintala, 2016) "
        f"trained on {kind}; made with dcgan-assets."
    )


def _forgetting(work: Work) -> dict[str, Any] | None:
    """The maps that Figure 6 drops, where the group has it."""
    key = work.sibling("window_dropout")
    if key not in work.step.inputs:
        return None
    found = read_json(work.input(key) / MAPS_FILE)
    maps = found["maps"]
    return {
        "layer": found["layer"],
        "maps": maps,
        "words": f"every {found['category']}".replace("_", " "),
        "about": (
            f"Of the {found['of']} feature maps of layer {found['layer']}, {len(maps)} speak for a "
            f"{found['category'].replace('_', ' ')} by logistic regression. They are turned down "
            "wherever they fire, and the network fills the place with something else (Figure 6)."
        ),
    }
