"""Weights in safetensors files that may come from anybody: the header is read first, and bounded.

No network of the size that somebody names is made before the file is known to have that size: the
header's names, types and shapes are compared with those of the network on torch's `meta` device,
which has no memory. safetensors itself holds each header against the length of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic, open_regular

Shapes = Mapping[str, tuple[int, ...]]
_M = TypeVar("_M", bound=nn.Module)

# Some thousand tensors with their names have fewer bytes, and so have the facts of a run.
_LARGEST_HEADER = 4 * 2**20
# What torch can compute with, in safetensors' words.
_TYPES = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "BF16", "F32", "F64"}
_LARGEST_HALF = torch.finfo(torch.float16).max
# Ends the name of a matrix's steps, see `in_bytes`.
_STEP = ".step"


def shapes_of(build: Callable[[], nn.Module]) -> Shapes:
    """The tensors of a network by name, without memory for a single one."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def in_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels and matrices of a network in half precision, so that it is half as large to pass on.

    Vectors stay float32, because batch norm divides by its variances; so does what holds a value
    beyond half's range. Drawn pictures change by one grey level at most, in under 1 % of pixels.
    """
    return {
        name: tensor if tensor.dim() < 2 or tensor.abs().max() > _LARGEST_HALF else tensor.half()
        for name, tensor in tensors.items()
    }


def in_bytes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels and matrices as int8 with a step a row, for networks that look and do not draw.

    A quarter of float32's size. A row of a matrix, or the kernel of a filter, is `I8` times the
    float32 of the same place in `NAME.step`, of shape (rows,): its largest weight over 127, with
    eight bits of a mantissa, so that products are exact, and writing again what was read gives
    the same bytes. Vectors stay as in `in_half`.
    """
    found = {}
    for name, tensor in tensors.items():
        if tensor.dim() < 2:
            found[name] = tensor
            continue
        rows = tensor.detach().cpu().float().flatten(1)
        steps = (rows.abs().amax(1) / 127).bfloat16().float()
        counts = (rows / steps.where(steps > 0, torch.ones(()))[:, None]).round().clamp(-127, 127)
        found[name] = counts.to(torch.int8).view(tensor.shape)
        found[name + _STEP] = steps
    return found


def rounded(module: _M) -> _M:
    """A network with the weights that it has once `in_bytes` was written and read again."""
    state = module.state_dict()
    module.load_state_dict(_from_bytes(in_bytes(state)))
    return module


def _from_bytes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As float32 what `in_bytes` or `in_half` made; steps go."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            steps = tensors[name + _STEP].float()
            found[name] = tensor.float() * steps.view(-1, *[1] * (tensor.dim() - 1))
        elif not (name.endswith(_STEP) and name.removesuffix(_STEP) in tensors):
            found[name] = tensor.float()
    return found


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write the tensors of one network and some texts as a safetensors file, atomically."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with open_atomic(path) as stream:
        stream.write(save(content, metadata=dict(metadata) if metadata else None))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts in a file's header; raises as `read_tensors` does."""
    with _opened(path, "numpy") as header:
        return dict(header.metadata() or {})


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file, of any names and shapes.

    Raises:
        UserError: The file is missing, cut short, no plain file, or has types that torch lacks.
    """
    with _opened(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_weights(
    path: str | Path, expected: Shapes, of: str, *, may_lack: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The tensors of one network as float32, each of them checked by name, shape and value.

    They may be as `in_half` or `in_bytes` made them, or in full.

    Args:
        expected: Shapes by name. Nothing of the file but its header is read where they differ.
        of: What the weights are to be of, as a line says it.
        may_lack: Endings of names that may be missing.

    Raises:
        UserError: The file is missing or cut short, or a tensor is foreign, missing, of another
            shape or type, or not finite.
    """
    with _opened(path, "numpy") as header:
        found = {name: header.get_slice(name) for name in header.keys()}  # noqa: SIM118
        bytewise = {name for name, said in found.items() if said.get_dtype() == "I8"}
        expected = {
            **expected,
            **{name + _STEP: expected[name][:1] for name in bytewise if name in expected},
        }
        where = f"{path}: not the weights of {of}"
        for name in sorted(set(found) ^ set(expected)):
            if name in found:
                raise UserError(f"{where}: unknown tensor {name:.80}")
            if not name.endswith(may_lack):
                raise UserError(f"{where}: tensor {name} is missing")
        for name, said in found.items():
            shape = tuple(said.get_shape())
            if shape != expected[name]:
                raise UserError(f"{where}: {name} has shape {shape}, expected {expected[name]}")
            allowed = ("F16", "F32", "I8") if len(shape) > 1 else ("F16", "F32")
            if said.get_dtype() not in allowed:
                raise UserError(f"{where}: {name} is {said.get_dtype()}, expected F16 or F32")
    tensors = _from_bytes(read_tensors(path))
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: tensor {name} holds values that are not finite")
    return tensors


@contextmanager
def _opened(path: str | Path, framework: Literal["numpy", "pt"]) -> Iterator[Any]:
    """A file whose header is whole, not too long, and names no type that torch lacks.

    For torch ("pt") it asks the system for as much memory as the file has bytes; a header alone is
    read as for numpy.
    """
    try:
        with open_regular(path) as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _LARGEST_HEADER:
                raise ValueError(f"a header of {length:,} bytes")
        with safe_open(path, framework=framework) as file:
            types = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            if types - _TYPES:
                raise ValueError(f"numbers of type {min(types - _TYPES)}")
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such weights file") from None
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:  # torch's: no memory
        raise UserError(f"{path}: not a whole safetensors file ({error})") from None
