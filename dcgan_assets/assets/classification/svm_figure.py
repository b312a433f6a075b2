"""One figure for the scores of an L2-SVM: confusion, labels, layers and C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Panels:
    """What is plotted; errors are shares in [0, 1].

    Attributes:
        classes: Names.
        confusion: (classes, classes), rows sum to 1.
        counts: Labels a class.
        curves: By kind of features: errors (counts, draws).
        layers: By discriminator: error by layer.
        costs: The grid of C.
        validation: By kind: validation errors (costs,).
    """

    classes: Sequence[str]
    confusion: npt.NDArray[np.float64]
    counts: Sequence[int]
    curves: Mapping[str, npt.NDArray[np.float64]]
    layers: Mapping[str, Mapping[int, float]]
    costs: Sequence[float]
    validation: Mapping[str, npt.NDArray[np.float64]]


def draw_panels(panels: Panels, path: Path) -> None:
    """Draw the four panels into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    (confusion, labels), (layers, costs) = figure.subplots(2, 2)
    _draw_confusion(confusion, panels)
    _draw_labels(labels, panels)
    _draw_layers(layers, panels)
    for name, errors in panels.validation.items():
        costs.semilogx(panels.costs, 100 * errors, marker="o", label=name)
    costs.set(title="choosing C", xlabel="C", ylabel="validation error, %")
    costs.legend(frameon=False)
    figure.savefig(path, dpi=90)


def _draw_confusion(axis: Any, panels: Panels) -> None:
    axis.imshow(panels.confusion, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(panels.classes))
    axis.set_xticks(ticks, panels.classes, rotation=60, ha="right")
    axis.set_yticks(ticks, panels.classes)
    for (row, column), share in np.ndenumerate(panels.confusion):
        if share >= 0.005:
            colour = "white" if share > 0.5 else "black"
            text = f"{100 * share:.0f}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    axis.set(title="trained D, few labels: % of each class", xlabel="taken for", ylabel="class")


def _draw_labels(axis: Any, panels: Panels) -> None:
    for name, errors in panels.curves.items():
        mean, spread = 100 * (1 - errors.mean(axis=1)), 100 * errors.std(axis=1)
        axis.errorbar(panels.counts, mean, spread, marker="o", capsize=3, label=name)
    axis.set_xscale("log")
    axis.set_xticks(panels.counts, map(str, panels.counts))
    axis.minorticks_off()
    axis.set(
        title="accuracy by number of labels", xlabel="labels of each class", ylabel="accuracy, %"
    )
    axis.legend(frameon=False)


def _draw_layers(axis: Any, panels: Panels) -> None:
    width = 0.8 / len(panels.layers)
    for number, (name, errors) in enumerate(panels.layers.items()):
        places = np.arange(len(errors)) + number * width
        axis.bar(places, [100 * (1 - error) for error in errors.values()], width, label=name)
    some = next(iter(panels.layers.values()))
    axis.set_xticks(np.arange(len(some)) + width / 2, [str(layer) for layer in some])
    axis.set(
        title="which layer knows most: its columns alone", xlabel="layer of D", ylabel="accuracy, %"
    )
    axis.legend(loc="lower right", framealpha=0.9)
