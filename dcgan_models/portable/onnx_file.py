"""A generator as an ONNX file, which runtimes of other languages and machines draw with.

torch's own exporter writes it. The graph takes `z`, float32 (n, z_dim), and of a conditional
generator `labels`, int64 (n,); it gives `pictures`, uint8 (n, height, width, channels).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from dcgan_models.extras import from_extra
from dcgan_models.files import open_atomic
from dcgan_models.networks import Generator
from dcgan_models.portable.folded import FoldedGenerator, fold


class _Drawing(nn.Module):
    """A folded generator as the exporter wants it: a module whose parameters are its weights."""

    def __init__(self, network: FoldedGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.network.forward(z, labels)


def write_onnx(generator: Generator, path: Path) -> None:
    """Write a generator as one ONNX file, atomically; any number of latents may be drawn at once.

    Raises:
        UserError: The exporter's packages are not installed, or `fold` refuses the generator.
    """
    for module in ("onnx", "onnxscript"):
        from_extra(module, "an ONNX file", "onnx")
    preset = generator.preset
    example = [torch.zeros(2, preset.z_dim)]
    if preset.classes:
        example.append(torch.zeros(2, dtype=torch.int64))
    names = ["z", "labels"][: len(example)]
    count = torch.export.Dim("n", min=1)
    with warnings.catch_warnings():  # of the exporter's own parts, about one another
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Drawing(fold(generator)).eval(),
            tuple(example),
            dynamo=True,
            verbose=False,
            input_names=names,
            output_names=["pictures"],
            dynamic_shapes=[{0: count} for _ in example],
        )
    model = program.model_proto  # type: ignore[union-attr]  # None only of the older exporter
    model.doc_string = f"DCGAN generator, preset {preset.name}; z is {latents_told(generator)}"
    with open_atomic(path) as stream:
        stream.write(model.SerializeToString())


def latents_told(generator: Generator) -> str:
    """Of which numbers z consists, in words."""
    preset = generator.preset
    drawn = "standard normal" if preset.z_distribution == "normal" else "uniform from -1 to 1"
    return f"{preset.z_dim} numbers, {drawn}"
