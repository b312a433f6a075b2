"""A folded generator as plain JSON values, arrays in base64: what the page's script reads.

Numbers are little-endian. Maps lie channel by channel at each place, as the script computes them:
so of a dense row that is reshaped to maps the outputs are in that order, and of a transposed
convolution the weights are (kernel row, kernel column, output, input).
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dcgan_models.portable.folded import FoldedGenerator, FoldedLayer


def network_payload(network: FoldedGenerator) -> dict[str, Any]:
    """The network: its preset's facts, and for each row its description, weights, scales, bias."""
    preset = network.preset
    return {
        "name": preset.name,
        "image": list(preset.image),
        "zDim": preset.z_dim,
        "normal": preset.z_distribution == "normal",
        "classes": preset.classes,
        "signed": preset.signed,
        "weights": sum(layer.weights.numel() for layer in network.layers),
        "layers": [_layer_payload(layer) for layer in network.layers],
    }


def encoded(values: npt.NDArray[Any] | Tensor) -> str:
    """An array's bytes, little-endian, in base64."""
    array = np.ascontiguousarray(values)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(little.tobytes()).decode()


def _layer_payload(folded: FoldedLayer) -> dict[str, Any]:
    layer = folded.layer
    halves, scales = folded.halves()
    bias = folded.bias
    facts: dict[str, Any] = {"op": layer.op, "out": layer.out, "act": layer.act}
    if layer.op == "dense":
        order = _places_first(layer.reshape, layer.out)
        halves, scales, bias = halves[order], scales[order], bias[order]
        facts |= {"inputs": halves.shape[1], "reshape": layer.reshape}
    else:
        halves = halves.permute(2, 3, 1, 0)
        facts |= {
            "inputs": halves.shape[3],
            "kernel": layer.kernel,
            "stride": layer.stride,
            "padding": layer.padding,
            "outputPadding": layer.output_padding,
        }
    return facts | {"halves": encoded(halves), "scales": encoded(scales), "bias": encoded(bias)}


def _places_first(reshape: tuple[int, int, int] | None, out: int) -> npt.NDArray[np.int64]:
    """The units of a dense row in the order of the page: all maps of a place, then the next."""
    units = np.arange(out)
    return units if reshape is None else units.reshape(reshape).transpose(1, 2, 0).reshape(-1)
