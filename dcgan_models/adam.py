"""Adam (Kingma and Ba, 2014), as all networks here learn: torch's fused kernel, and its state.

`torch.optim.Adam` calls the same kernel. But the class imports torch's compiler when it is made,
two seconds of processor time in each process that trains, for whom nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

# What is kept of each parameter, as torch's class names it.
STATE = ("step", "exp_avg", "exp_avg_sq")


class Adam:
    """Adam over some parameters, all of them in one call.

    Attributes:
        learning_rate: Of the next step.
        broken: A number on the parameters' device; where it is 1, a step changes nothing.
        state: For each parameter its `STATE`: steps so far, a float32 number; the averages of its
            gradient and of its square, laid out as the parameter is.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        l2: float = 0.0,
    ) -> None:
        """Begin with averages of zero.

        Args:
            parameters: Float tensors on their device, all of one; they change in place.
            l2: Added to the gradient as l2 * parameter, before the averages.
        """
        self.learning_rate = learning_rate
        self.broken: Tensor | None = None
        self._betas, self._eps, self._l2 = betas, eps, l2
        self.state = {
            parameter: {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
            for parameter in parameters
        }

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.state:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Go down the gradients; a parameter without one stays."""
        learning = [parameter for parameter in self.state if parameter.grad is not None]
        steps, averages, squares = (
            [self.state[parameter][part] for parameter in learning] for part in STATE
        )
        adam(
            learning,
            [_gradient(parameter) for parameter in learning],
            *(averages, squares, [], steps),
            fused=True,
            found_inf=self.broken,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=self.learning_rate,
            weight_decay=self._l2,
            eps=self._eps,
            maximize=False,
        )


def _gradient(parameter: Tensor) -> Tensor:
    """As the parameter lies in memory, which the kernel takes for granted."""
    gradient = parameter.grad
    assert gradient is not None  # noqa: S101  (narrows the type)
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
