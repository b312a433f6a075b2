"""A second device in this process's own memory, which refuses to compute with the processor's.

`SECOND` behaves as a GPU does where tensors are concerned: what lies there is reached by a copy
alone, and an operation on tensors of both raises what CUDA raises. Registering it changes the
process for good: use it in a process of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend("second", _Module())
# Views made in inference mode cannot be wrapped; without gradients they can.
torch.inference_mode = torch.no_grad  # type: ignore[assignment,misc]
SECOND = torch.device("second", 0)

# Only these carry numbers from one device to the other.
_COPIES = ("copy_", "_to_copy")


class SecondTensor(torch.Tensor):
    """Numbers of the second device; `inner` holds them where nobody else looks."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> SecondTensor:
        made: SecondTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=SECOND,
            requires_grad=False,
        )
        made.inner = inner
        return made

    @property
    def data(self) -> torch.Tensor:
        """The numbers, which may be set to others of another layout, as `Module.to` does."""
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined,no-any-return]

    @data.setter
    def data(self, value: SecondTensor) -> None:
        torch.Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.inner = value.inner

    def tolist(self) -> Any:
        """Numbers on their way to the host."""
        return self.inner.tolist()

    def __repr__(self, **settings: Any) -> str:
        return f"second({self.inner!r})"

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(function, args, kwargs or {})


def compute(function: Any, args: Any, kwargs: Any) -> Any:
    """Do an operation of the second device, or a copy to or from it."""
    name = function.__name__.split(".")[0]
    flat, shape = tree_flatten((args, kwargs))
    tensors = [part for part in flat if isinstance(part, torch.Tensor)]
    foreign = [t for t in tensors if not isinstance(t, SecondTensor) and t.ndim]
    if foreign and name not in _COPIES:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, "
            f"second:0 and cpu! ({name})"
        )
    wanted = kwargs.get("device")
    leaves = wanted is not None and torch.device(wanted).type == "cpu"
    inside = [p.inner if isinstance(p, SecondTensor) else p for p in flat]
    inner_args, inner_kwargs = tree_unflatten(inside, shape)
    if "device" in inner_kwargs:
        inner_kwargs["device"] = torch.device("cpu")
    inner_kwargs.pop("pin_memory", None)
    if name == "_to_copy":
        inner_kwargs.pop("non_blocking", None)
    found = function(*inner_args, **inner_kwargs)
    into_cpu = name == "copy_" and not isinstance(args[0], SecondTensor)
    if leaves or into_cpu:
        return args[0] if into_cpu else found
    # What an operation changes in place stays the object that it was.
    owners = {id(t.inner): t for t in tensors if isinstance(t, SecondTensor)}
    return tree_map(
        lambda t: (
            owners[id(t)]
            if id(t) in owners
            else SecondTensor(t)
            if isinstance(t, torch.Tensor)
            else t
        ),
        found,
    )


def _make(function: Any) -> Any:
    return lambda *args, **kwargs: compute(function, args, kwargs)


def _copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
    """A copy in either direction, as a backend is asked for it."""
    there = target.inner if isinstance(target, SecondTensor) else target
    there.copy_(source.inner if isinstance(source, SecondTensor) else source)
    return target


_library = torch.library.Library("aten", "IMPL")
_library.impl("_copy_from", _copy_from, "PrivateUse1")
for _name in ("empty.memory_format", "empty_strided"):
    _packet, _, _overload = _name.partition(".")
    _operation = getattr(getattr(torch.ops.aten, _packet), _overload or "default")
    _library.impl(_name, _make(_operation), "PrivateUse1")
