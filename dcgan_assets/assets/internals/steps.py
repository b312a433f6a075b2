"""Steps that look inside a group's trained networks: Figures 5 to 8, for any group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dcgan_assets.annotate.files import boxes_path, concepts_path
from dcgan_assets.assets.internals import concept_figures, guided_backprop, picks, window_dropout
from dcgan_assets.engine.step import Step, StepMaker, where_there

_SHOWS = ("result.json", "figure.png")


def figure_steps(step: StepMaker, group: str, names: Sequence[str]) -> tuple[Step, ...]:
    """The named ones of `guided_backprop`, `window_dropout`, `vector_arithmetic`, `turn_vector`.

    Args:
        step: Makes a step of the group from a name and facts, as `image_group` does.
        group: Name of the group, whose annotations are read.
        names: What to make.
    """
    makers = {
        "guided_backprop": _guided_backprop,
        "window_dropout": _window_dropout,
        "vector_arithmetic": _vector_arithmetic,
        "turn_vector": _turn_vector,
    }
    return tuple(makers[name](step, group) for name in names)


def _guided_backprop(step: StepMaker, group: str) -> Step:
    return step(
        "guided_backprop",
        inputs=("images", "training_set", "discriminator"),
        kind="results",
        compute=guided_backprop.show_filters,
        checks=guided_backprop.FILTER_CHECKS,
        kinds=frozenset({"pytorch"}),
        shows=_SHOWS,
        shows_pictures=True,
        description=(
            "Figure 5: the pictures that fire filters of D's last convolution most, and what "
            "guided backpropagation finds in them, beside filters that never learned (section 6.2)."
        ),
    )


def _window_dropout(step: StepMaker, group: str) -> Step:
    return step(
        "window_dropout",
        inputs=("training_set", "generator"),
        kind="results",
        compute=window_dropout.drop_windows,
        source_version=partial(picks.boxes_version, group),
        files=lambda _, root: where_there(root, boxes_path(Path(), group)),
        checks=window_dropout.DROPOUT_CHECKS,
        kinds=frozenset({"pytorch", "scikitlearn"}),
        shows=_SHOWS,
        description=(
            "Figure 6: new samples with and without the maps that draw an object, and without as "
            f"many random ones (section 6.3.1). Boxes: annotations/{group}/boxes.coco.json, drawn "
            f"with `dcgan annotate {group}`; without the file a rule draws them, marked `auto`."
        ),
    )


def _vector_arithmetic(step: StepMaker, group: str) -> Step:
    return step(
        "vector_arithmetic",
        inputs=("training_set", "generator"),
        kind="results",
        compute=concept_figures.draw_arithmetic,
        source_version=partial(picks.concepts_version, group),
        files=lambda _, root: where_there(root, concepts_path(Path(), group)),
        checks=concept_figures.ARITHMETIC_CHECKS,
        kinds=frozenset({"pytorch"}),
        shows=_SHOWS,
        description=(
            "Figure 7: expressions of concepts with eight neighbours, the same on pixels, and one "
            f"exemplar against three (section 6.3.2). {_picks(group)}"
        ),
    )


def _turn_vector(step: StepMaker, group: str) -> Step:
    return step(
        "turn_vector",
        inputs=("training_set", "generator"),
        kind="results",
        compute=concept_figures.turn_samples,
        source_version=partial(picks.concepts_version, group),
        files=lambda _, root: where_there(root, concepts_path(Path(), group)),
        checks=concept_figures.TURN_CHECKS,
        kinds=frozenset({"pytorch"}),
        shows=_SHOWS,
        description=(
            f"Figure 8: samples turned from one concept to another (section 6.3.2). {_picks(group)}"
        ),
    )


def _picks(group: str) -> str:
    return (
        f"Exemplars: annotations/{group}/concepts.json, picked with `dcgan annotate {group}`; "
        "without the file a rule picks, marked `auto`."
    )
