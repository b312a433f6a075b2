"""`dcgan presets`: layer tables of dcgan_models.presets as text, and what differs between two."""

from __future__ import annotations

import textwrap
from itertools import zip_longest

import click

from dcgan_models.errors import UserError
from dcgan_models.presets import PRESETS, Layer, Preset, Shape, broken_guidelines, preset

_TABLES = ("generator", "discriminator")
_HEADINGS = {"name", "source", "image", *_TABLES}
_WIDTH = 96


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME [OTHER]]")
def presets(names: tuple[str, ...]) -> None:
    """List the networks, print one's layer tables, or what differs between two, and why."""
    match names:
        case ():
            click.echo(list_presets())
        case (name,):
            click.echo(show_preset(name))
        case (name, other):
            click.echo(compare_presets(name, other))
        case _:
            raise UserError(f"presets: at most two names, not {len(names)}")


def list_presets() -> str:
    """One line a preset: name, picture, latent, where it comes from."""
    return "\n".join(
        f"{p.name:12} {_size(p.image):10} z {p.z_dim} {p.z_distribution:8} {p.source}"
        for p in PRESETS.values()
    )


def show_preset(name: str) -> str:
    """Both layer tables and the settings of one preset, and the guidelines that it breaks."""
    p = preset(name)
    lines = [f"{p.name}: {p.source}"]
    for side in _TABLES:
        lines += ["", f"{side}  {_size(_shapes(p, side)[0])}"]
        lines += [f"  {row}" for row in _rows(p, side)]
    lines += ["", ", ".join(f"{name} {value}" for name, value in _settings(p).items())]
    lines += [f"note: {line}" for line in broken_guidelines(p)]
    return "\n".join(lines)


def compare_presets(first: str, second: str) -> str:
    """What differs between two presets, layer by layer and setting by setting, and why."""
    a, b = preset(first), preset(second)
    lines = []
    for side in _TABLES:
        pairs = list(zip_longest(_rows(a, side), _rows(b, side), fillvalue=""))
        if any(one != other for one, other in pairs):
            lines += ["", side, *_why(side), f"  {'':2}{a.name:52}{b.name}"]
            lines += [f"  {' ' if x == y else '*':2}{x:52}{y}".rstrip() for x, y in pairs]
    ours, theirs = (
        {"image": _size(a.image), **_settings(a)},
        {"image": _size(b.image), **_settings(b)},
    )
    for name, value in ours.items():
        if value != theirs[name]:
            lines += ["", f"{name}: {a.name} {value}, {b.name} {theirs[name]}", *_why(name)]
    return "\n".join(lines).strip() or f"{a.name} and {b.name} differ in nothing but data"


def _why(setting: str) -> list[str]:
    from dcgan_assets.assets.report.deviations import reasons

    text = reasons().get(setting, "")
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _shapes(p: Preset, side: str) -> list[Shape]:
    return p.generator_shapes() if side == "generator" else p.discriminator_shapes()


def _rows(p: Preset, side: str) -> list[str]:
    layers: tuple[Layer, ...] = getattr(p, side)
    return [_row(layer, shape) for layer, shape in zip(layers, _shapes(p, side)[1:], strict=True)]


def _settings(p: Preset) -> dict[str, object]:
    return {name: value for name, value in p.to_dict().items() if name not in _HEADINGS}


def _row(layer: Layer, shape: Shape) -> str:
    kernel = f"{layer.kernel}x{layer.kernel} s{layer.stride}" if layer.kernel else ""
    norm = "norm" if layer.norm else ""
    return f"{layer.op:7} {kernel:7} {_size(shape):12} {norm:5} {layer.act}"


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))
