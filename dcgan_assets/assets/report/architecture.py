"""Figure 1: networks drawn from their presets, as SVG and PNG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Outcome, Step
from dcgan_assets.params.report import Architecture
from dcgan_models.presets import Layer, Preset, Shape, preset

_GAP = 2.2
_HALF_HEIGHT = 2.9
_INCHES = 0.72
_FACE, _SIDE, _TOP = "#dbe6f4", "#b3c7e0", "#eef3fa"


def _architecture(work: Work) -> Outcome:
    section: Architecture = work.section
    figures = {}
    for name in section.presets:
        path = work.out() / f"{name}.png"
        draw_preset(preset(name), path)
        figures[path.name] = f"generator and discriminator of {name}"
    return Outcome(figures=figures)


STEPS = (
    Step(
        outputs=("report/architecture",),
        kind="results",
        section="report.architecture",
        compute=_architecture,
        kinds=frozenset({"matplotlib"}),
        description=(
            "Figure 1: the generator, and the discriminator that goes with it, drawn from the "
            "preset: shapes, kernels, strides, where batch norm is."
        ),
    ),
)


def draw_preset(p: Preset, path: Path) -> None:
    """Draw both networks of a preset, G above D, to `path` (.png) and beside it as .svg."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    tables = (p.generator, p.generator_shapes()), (p.discriminator, p.discriminator_shapes())
    # The same inches for a unit in every figure, so that words fit between the blocks.
    length = max(_length(shapes) for _, shapes in tables) + 1.3
    figure = Figure(figsize=(_INCHES * length, _INCHES * 4 * _HALF_HEIGHT))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.95, hspace=0.1)
    for axes, title, (layers, shapes) in zip(
        figure.subplots(2, 1), ("generator", "discriminator"), tables, strict=True
    ):
        _draw_network(axes, layers, shapes, p.classes)
        axes.set(xlim=(-0.5, length - 0.5), ylim=(-_HALF_HEIGHT, _HALF_HEIGHT))
        axes.text(-0.2, _HALF_HEIGHT, f"{p.name}: {title}", size=12, va="top")
    figure.savefig(path, dpi=110, bbox_inches="tight")
    # A fixed salt and no date: the same preset gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "dcgan", "svg.fonttype": "none"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None}, bbox_inches="tight")


def _draw_network(axes: Any, layers: tuple[Layer, ...], shapes: list[Shape], classes: int) -> None:
    """Blocks from left to right: as high as the maps are wide, as thick as they are many."""
    x = 0.0
    for number, shape in enumerate(shapes):
        width, height = _block_size(shape)
        _draw_block(axes, x, width, height)
        axes.text(x + width / 2, -height / 2 - 0.25, _size(shape), ha="center", va="top", size=9)
        x += width
        if number < len(layers):
            axes.annotate(
                "", (x + _GAP - 0.25, 0), (x + 0.35, 0), arrowprops={"arrowstyle": "->", "lw": 0.8}
            )
            words = _words(layers[number], classes)
            axes.text(x + _GAP / 2 + 0.05, 0.12, words, ha="center", va="bottom", size=7.5)
            x += _GAP
    axes.set_aspect("equal")
    axes.set_axis_off()


def _length(shapes: list[Shape]) -> float:
    return sum(_block_size(shape)[0] for shape in shapes) + _GAP * (len(shapes) - 1)


def _block_size(shape: Shape) -> tuple[float, float]:
    """Width from the number of maps, height from their side, both on a logarithmic scale."""
    if len(shape) == 1:
        return 0.18, 0.4 + 0.3 * math.log2(shape[0] + 1)
    return 0.12 + 0.09 * math.log2(shape[0]), 0.5 + 0.55 * math.log2(shape[1])


def _draw_block(axes: Any, x: float, width: float, height: float) -> None:
    """A box seen from the front, a little from above and from the right."""
    from matplotlib.patches import Polygon

    low, high, shift = -height / 2, height / 2, 0.22
    right = x + width
    faces = (
        (((x, low), (right, low), (right, high), (x, high)), _FACE),
        (
            (
                (right, low),
                (right + shift, low + shift),
                (right + shift, high + shift),
                (right, high),
            ),
            _SIDE,
        ),
        (
            ((x, high), (right, high), (right + shift, high + shift), (x + shift, high + shift)),
            _TOP,
        ),
    )
    for corners, colour in faces:
        axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="0.25", linewidth=0.7))


def _words(layer: Layer, classes: int) -> str:
    names = {"dense": "dense", "conv": "conv", "deconv": "frac. conv", "pool": "average"}
    lines = [names[layer.op]]
    if layer.kernel:
        lines[0] += f" {layer.kernel}x{layer.kernel}"
        lines.append(f"stride {layer.stride}")
    if layer.norm:
        lines.append("batch norm")
    if layer.act != "linear":
        lines.append({"relu": "ReLU", "lrelu": "LeakyReLU"}.get(layer.act, layer.act))
    if classes:
        lines.append(f"+ {classes} labels")
    return "\n".join(lines)


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))
