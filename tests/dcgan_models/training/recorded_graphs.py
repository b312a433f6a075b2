"""torch's own CUDA-graph trees over CPU tensors: what a recorded graph overwrites is refused.

The trees' bookkeeping is torch's; only what speaks to a GPU is taken out. Every run is a warm-up,
which keeps to the same rules as a replay: at a new generation, memory of the last one is freed, and
whoever reads a tensor that lay there gets torch's error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from dcgan_models.training import updates as updates_module


class _Nothing(contextlib.nullcontext[None]):
    """A device, a stream, a graph and the capture of one, none of which does anything."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__()

    def wait_stream(self, other: Any) -> None:
        """There is one stream."""


class _Cuda:
    """`torch.cuda` as the trees use it."""

    device = stream = Stream = current_stream = graph = CUDAGraph = synchronize = _Nothing

    @staticmethod
    def graph_pool_handle() -> tuple[int, int]:
        """Of no pool."""
        return 0, 0


class _Native:
    """`torch._C`, but for the GPU's allocator: what is freed is forbidden to be read, no more."""

    @staticmethod
    def _free_And_Remove_DeleterFn(storage: Any) -> None:  # noqa: N802  (torch's name)
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(torch._C, name)


class _Torch:
    """torch, but for its GPU."""

    cuda, _C = _Cuda, _Native()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextlib.contextmanager
def graphs_recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """`torch.compile` in the mode `reduce-overhead` records graphs of CPU tensors.

    Yields:
        A node for each run of a graph, in order.
    """
    # Seconds to load, which whoever only collects these tests need not wait for.
    from torch._dynamo.backends import cudagraphs
    from torch._inductor import config, cudagraph_trees

    monkeypatch.setattr(cudagraph_trees, "torch", _Torch())
    for name in (
        "ControlFlowOpWarmupDispatchMode",
        "_use_cuda_memory_pool_manager",
        "_update_current_stream_external_object",
        "clear_cublas_manager",
        "disable_conv_cache_emptying",
    ):
        monkeypatch.setattr(cudagraph_trees, name, _Nothing)
    monkeypatch.setattr(cudagraphs, "check_for_skip", lambda *arguments: None)
    monkeypatch.setattr(cudagraphs, "get_device_index", lambda graph: 0)
    monkeypatch.setattr(Tensor, "is_cuda", property(lambda tensor: True))

    def record(function: Callable[..., Tensor], mode: str | None) -> Callable[..., Tensor]:
        return torch.compile(function, backend="cudagraphs", dynamic=False) if mode else function

    monkeypatch.setattr(updates_module, "_compile", record)
    runs: list[Any] = []
    run = cudagraph_trees.CUDAWarmupNode.run

    def counted(node: Any, inputs: Any) -> Any:
        runs.append(node.id)
        return run(node, inputs)

    monkeypatch.setattr(cudagraph_trees.CUDAWarmupNode, "run", counted)
    torch.compiler.reset()
    # The asserts ask the GPU's allocator.
    settings = {"force_cudagraphs_warmup": True, "slow_path_cudagraph_asserts": False}
    with config.patch({f"triton.{name}": value for name, value in settings.items()}):
        yield runs
    torch.compiler.reset()
