"""Batch norm over a minibatch of which several processes hold a share each.

The same values and gradients as one process with the whole minibatch would have, from torch's own
fused kernels: they run on the share, and what the shares differ by is corrected for each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Average = Callable[[Sequence[Tensor]], None]
"""Replaces tensors by their mean over the processes."""


def shared_batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, average: Average
) -> Tensor:
    """Normalise a share by the mean and biased variance of the whole minibatch.

    Args:
        x: (n, channels) or (n, channels, height, width); every process has as many rows.
        weight, bias: (channels,) or None.
        average: Called once forward and once backward, in the same order in every process.
    """
    wide = x.float() if x.dtype is torch.bfloat16 else x
    normal: Tensor = _SharedBatchNorm.apply(wide, weight, bias, eps, average)
    return normal.to(x.dtype)


class _SharedBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        average: Average,
    ) -> Tensor:
        own_mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)[1:]
        # One message for mean and mean square; in float64 their difference loses nothing.
        mean = own_mean.double()
        square = inverse.double().pow(-2) - eps + mean.square()
        average([mean, square])
        var = (square - mean.square()).to(own_mean.dtype)
        mean = mean.to(own_mean.dtype)
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt())
        ctx.eps, ctx.average = eps, average
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        scale = torch.ones_like(mean) if weight is None else weight
        # With the share's own averages of the gradient; then what the whole's differ by.
        to_x, to_scale, to_shift = torch.ops.aten.native_batch_norm_backward(
            gradient, x, scale, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )
        rows = x.numel() // x.shape[1]
        own = torch.stack([to_shift, to_scale]) / rows
        whole = own.clone()
        ctx.average([whole])
        shift, slope = (own - whole) * scale * inverse
        plane = (1, -1, *[1] * (x.ndim - 2))
        slope = slope * inverse
        to_x.addcmul_(x, slope.view(plane)).add_((shift - slope * mean).view(plane))
        if weight is None:
            return to_x, None, None, None, None
        return to_x, to_scale, to_shift, None, None
