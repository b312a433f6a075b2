"""An ONNX file with YuNet's inputs and outputs that takes white squares on a grid for faces.

The real model is a download. OpenCV runs this one in the same way: for strides of 8, 16 and 32 a
cell's score is its mean brightness, and its box lies about its centre, `WIDE` x `HIGH` cells.
Written byte by byte: the file's format is protocol buffers.
"""

from __future__ import annotations

import math
import struct

STRIDES = (8, 16, 32)
WIDE, HIGH = 2.0, 3.0
_FLOATS, _INTS = 6, 7  # attribute types


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # negative numbers take ten bytes
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, shape: tuple[int, ...], values: list[float] | list[int]) -> bytes:
    floats = isinstance(values[0], float)
    data = struct.pack(f"<{len(values)}{'f' if floats else 'q'}", *values)
    dims = b"".join(_field(1, side) for side in shape)
    return dims + _field(2, 1 if floats else 7) + _field(8, name) + _field(9, data)


def _node(kind: str, inputs: list[str], output: str, **ints: list[int]) -> bytes:
    content = b"".join(_field(1, name) for name in inputs) + _field(2, output)
    content += _field(3, output) + _field(4, kind)
    for name, values in ints.items():
        listed = b"".join(_field(8, value) for value in values)
        content += _field(5, _field(1, name) + listed + _field(20, _INTS))
    return content


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def planted_yunet(side: int = 320) -> bytes:
    nodes, tensors, outputs = [], [], []
    kinds = {
        "cls": (1 / (3 * 255), [0.0]),
        "obj": (1 / (3 * 255), [0.0]),
        "bbox": (0.0, [0.5, 0.5, math.log(WIDE), math.log(HIGH)]),
        "kps": (0.0, [0.0] * 10),
    }
    for kind, (weight, bias) in kinds.items():
        wide = len(bias)
        tensors.append(_tensor(f"{kind}_w", (wide, 3, 1, 1), [weight] * 3 * wide))
        tensors.append(_tensor(f"{kind}_b", (wide,), bias))
        tensors.append(_tensor(f"{kind}_shape", (3,), [1, -1, wide]))
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            square = [stride, stride]
            nodes += [
                _node("AveragePool", ["input"], f"{name}_p", kernel_shape=square, strides=square),
                _node("Conv", [f"{name}_p", f"{kind}_w", f"{kind}_b"], f"{name}_c"),
                _node("Transpose", [f"{name}_c"], f"{name}_t", perm=[0, 2, 3, 1]),
                _node("Reshape", [f"{name}_t", f"{kind}_shape"], name),
            ]
            outputs.append(_value(name, (1, (side // stride) ** 2, wide)))
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "planted")
    graph += b"".join(_field(5, tensor) for tensor in tensors)
    graph += _field(11, _value("input", (1, 3, side, side)))
    graph += b"".join(_field(12, output) for output in outputs)
    return _field(1, 7) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)
