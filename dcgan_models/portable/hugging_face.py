"""A generator as a folder of the form that the Hugging Face Hub shows: weights, config, model card.

`model.safetensors` and `config.json` are all that the example in `README.md` reads: it draws with
torch and safetensors alone, so whoever gets the folder needs nothing of this project.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dcgan_models.files import write_json
from dcgan_models.grids import tile, write_png
from dcgan_models.networks import Generator
from dcgan_models.portable.folded import FoldedGenerator, fold
from dcgan_models.portable.onnx_file import latents_told
from dcgan_models.weights import write_weights

_SHOWN = 40  # samples in the picture on top of the card
_CARD = '''\
---
library_name: pytorch
pipeline_tag: unconditional-image-generation
tags: [dcgan, gan]
---

# {title}

![{shown} samples](samples.png)

A generator of a deep convolutional generative adversarial network
([Radford, Metz and Chintala, 2015](https://arxiv.org/abs/1511.06434)), preset `{preset}`, written
by dcgan-assets. It makes pictures of {width} x {height} pixels of latents z: {latents}{labels}.

{facts}

Nobody has said under which licence it may be passed on, nor for what it is good enough: add that
here, and `license:` above.

## Draw with it

With torch, safetensors and Pillow; nothing else is needed.

```python
import json

import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

config = json.load(open("config.json"))
weights = load_file("model.safetensors")


def draw({arguments}):
    """uint8 (n, height, width, channels) of {described}."""
    x = z
    for number, layer in enumerate(config["layers"]):
        weight, bias = weights[f"{{number}}.weight"], weights[f"{{number}}.bias"]
{condition}        if layer["op"] == "dense":
            x = F.linear(x, weight, bias)
        else:
            x = x if x.ndim == 4 else x[:, :, None, None]
            x = F.conv_transpose2d(
                x, weight, bias, layer["stride"], layer["padding"], layer["output_padding"]
            )
        x = getattr(torch, layer["activation"])(x)
        if layer["reshape"]:
            x = x.reshape(-1, *layer["reshape"])
    return ({scale}).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


{drawn}
picture = pictures[0].squeeze(-1)  # one channel is grey
Image.fromarray(picture.numpy()).save("picture.png")
```
'''
_CONDITION = """\
        planes = F.one_hot(labels, config["classes"]).float()
        if x.ndim == 4:
            planes = planes[:, :, None, None].expand(-1, -1, *x.shape[2:])
        x = torch.cat([x, planes], 1)
"""


def write_hugging_face(
    generator: Generator, folder: Path, title: str, facts: Iterable[tuple[str, str]] = ()
) -> None:
    """Write `config.json`, `model.safetensors`, `README.md` and `samples.png` into a folder.

    Args:
        generator: With sampling statistics. Its weights are written in float32, batch norm folded
            into them.
        folder: Is there, and empty.
        title: The card's heading.
        facts: Of the network, for the card: what it was trained on, and what else is known.

    Raises:
        UserError: `fold` refuses the generator.
    """
    network = fold(generator)
    write_json(folder / "config.json", _config(network))
    write_weights(
        folder / "model.safetensors",
        {
            f"{number}.{name}": tensor
            for number, layer in enumerate(network.layers)
            for name, tensor in (("weight", layer.weights), ("bias", layer.bias))
        },
        {"format": "pt"},
    )
    write_png(folder / "samples.png", tile(generator.sample(_SHOWN, seed=0), 10))
    card = _card(generator, title, facts)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _config(network: FoldedGenerator) -> dict[str, Any]:
    preset = network.preset
    rows = [folded.layer for folded in network.layers]
    return {
        "model_type": "dcgan-generator",
        "preset": preset.name,
        "image": list(preset.image),
        "z_dim": preset.z_dim,
        "z_distribution": preset.z_distribution,
        "classes": preset.classes,
        "layers": [
            {
                "op": row.op,
                "activation": row.act,
                "reshape": row.reshape,
                "stride": row.stride,
                "padding": row.padding,
                "output_padding": row.output_padding,
            }
            for row in rows
        ],
    }


def _card(generator: Generator, title: str, facts: Iterable[tuple[str, str]]) -> str:
    preset = generator.preset
    _, height, width = preset.image
    z = f"torch.randn(16, {preset.z_dim})"
    if preset.z_distribution == "uniform":
        z = f"torch.rand(16, {preset.z_dim}) * 2 - 1"
    classes = preset.classes
    drawn = f"pictures = draw({z})"
    if classes:
        drawn = f"labels = torch.arange(16) % {classes}\npictures = draw({z}, labels)"
    return _CARD.format(
        title=title,
        shown=_SHOWN,
        preset=preset.name,
        width=width,
        height=height,
        latents=latents_told(generator),
        labels=f", and a label from 0 to {classes - 1}" if classes else "",
        facts="\n".join(f"- {name}: {value}" for name, value in facts),
        arguments="z, labels" if classes else "z",
        described="latents (n, z_dim)" + (" and labels (n,)" if classes else ""),
        condition=_CONDITION if classes else "",
        scale="(x + 1) * 127.5" if preset.signed else "x * 255",
        drawn=drawn,
    )
