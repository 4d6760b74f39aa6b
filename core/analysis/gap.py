"""How far two accuracy-cost curves lie apart at equal cost."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.analysis.sweep import Sweep

_COSTS = 1_001  # evenly over the costs that both curves reach


@dataclass(frozen=True)
class Gap:
    """The first curve's accuracy minus the second's, over the costs that both reach.

    Args:
        mean: 0..1, signed.
        largest: the difference of largest size, signed.
        at: the relative cost where that is.
        low, high: the costs compared.
    """

    mean: float
    largest: float
    at: float
    low: float
    high: float


def accuracy_gap(first: Sweep, second: Sweep) -> Gap | None:
    """The gap between two curves, or None where no cost is reached by both.

    Between two points of a curve lies a straight line: a network that takes one threshold for some of the images and
    the next one for the others runs along it.
    """
    low = max(float(sweep.relative_cost.min()) for sweep in (first, second))
    high = min(float(sweep.relative_cost.max()) for sweep in (first, second))
    if low > high:
        return None
    costs = np.linspace(low, high, _COSTS)
    difference = _accuracy_at(first, costs) - _accuracy_at(second, costs)
    row = int(np.abs(difference).argmax())
    return Gap(float(difference.mean()), float(difference[row]), float(costs[row]), low, high)


def _accuracy_at(sweep: Sweep, costs: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(sweep.relative_cost, kind="stable")
    found: NDArray[np.float64] = np.interp(costs, sweep.relative_cost[order], sweep.accuracy[order])
    return found
