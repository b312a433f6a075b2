"""`dcgan presets`: the layer tables of dcgan_models.presets as text."""

from __future__ import annotations

from dcgan_models.presets import PRESETS, Layer, Shape, preset


def list_presets() -> str:
    """One line a preset: name, picture, latent, where it comes from."""
    return "\n".join(
        f"{p.name:12} {'x'.join(map(str, p.image)):10} z {p.z_dim} {p.z_distribution:8} {p.source}"
        for p in PRESETS.values()
    )


def show_preset(name: str) -> str:
    """Both layer tables and the settings of one preset."""
    p = preset(name)
    lines = [f"{p.name}: {p.source}"]
    for side, layers, shapes in (
        ("generator", p.generator, p.generator_shapes()),
        ("discriminator", p.discriminator, p.discriminator_shapes()),
    ):
        lines.append(f"\n{side}  {_size(shapes[0])}")
        lines += [_row(layer, shape) for layer, shape in zip(layers, shapes[1:], strict=True)]
    settings = {
        field: value
        for field, value in p.to_dict().items()
        if field not in {"name", "source", "image", "generator", "discriminator"}
    }
    lines.append("\n" + ", ".join(f"{field} {value}" for field, value in settings.items()))
    return "\n".join(lines)


def _row(layer: Layer, shape: Shape) -> str:
    kernel = f"{layer.kernel}x{layer.kernel} s{layer.stride}" if layer.kernel else ""
    norm = "batch norm" if layer.norm else ""
    return f"  {layer.op:7} {kernel:8} {_size(shape):14} {norm:11} {layer.act}"


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))
