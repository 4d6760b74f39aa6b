"""Muon for convolutional networks: filters take orthogonal steps of fixed length, all else plain SGD.

torch.optim.Muon takes matrices only and multiplies in bfloat16, which many processors only imitate; this one takes
filters and stays in float32.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 3


def orthogonalise(matrix: Tensor, steps: int = _STEPS) -> Tensor:
    """About the nearest matrix with all singular values alike, by Newton-Schulz iteration.

    Args:
        matrix: (rows, columns); its scale does not matter.
        steps: each multiplies small singular values by 3.4; three leave them within a factor of about 2 of each other
            unless they were below a hundredth of the norm.

    Source:
        Keller Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks" (the coefficients).
    """
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Filters turn, everything else slides.

    A group with `filters=True`: the Nesterov momentum of each filter bank, as a matrix (out channels, the rest), is
    orthogonalised and scaled to `lr` times the length of the bank, whose length stays what it was at the start: behind
    a BatchNorm only its direction counts, so weight decay has nothing to do. Other groups: SGD with Nesterov momentum.

    Args:
        groups: `params`, `lr`, and where they differ from the defaults `filters`, `momentum`, `weight_decay` (of the
            other groups).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], momentum: float = 0.9):
        super().__init__(groups, {"momentum": momentum, "weight_decay": 0.0, "filters": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                    if group["filters"]:
                        state["length"] = parameter.norm()
                if group["filters"]:
                    self._turn(parameter, gradient, state, group)
                else:
                    self._slide(parameter, gradient, state, group)

    @staticmethod
    def _turn(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        ahead = gradient + group["momentum"] * momentum
        step = orthogonalise(ahead.flatten(1)).reshape(parameter.shape)
        length = state["length"]
        parameter.add_(step * (-group["lr"] * length / (step.norm() + 1e-7)))
        parameter.mul_(length / parameter.norm())

    @staticmethod
    def _slide(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        gradient = gradient + group["weight_decay"] * parameter
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        parameter.add_(gradient + group["momentum"] * momentum, alpha=-group["lr"])
