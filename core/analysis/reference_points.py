"""What a curve is measured against: always leave at exit n, the oracle, the area under the curve."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.sweep import OperatingPoint, check_arrays, point_of_exits


def always_leave_at(correct: ArrayLike, relative_cost: ArrayLike) -> tuple[OperatingPoint, ...]:
    """For each exit, the point where everybody leaves there.

    Args:
        correct: (examples, exits).
        relative_cost: (exits,).

    Raises:
        UserError: as `check_arrays`.
    """
    _, correct, relative_cost = check_arrays(np.zeros_like(correct, np.float32), correct, relative_cost)
    n, num_exits = correct.shape
    return tuple(point_of_exits(np.full(n, exit_), correct, relative_cost) for exit_ in range(num_exits))


def oracle_exits(correct: ArrayLike) -> NDArray[np.int64]:
    """The first exit (column) that is right; exit 1 (column 0) where none is."""
    return np.asarray(correct, np.bool_).argmax(axis=1)


def oracle(correct: ArrayLike, relative_cost: ArrayLike) -> OperatingPoint:
    """The point of somebody who knows the truth: each example leaves at the first exit that is right, else at exit 1.

    Raises:
        UserError: as `check_arrays`.
    """
    _, correct, relative_cost = check_arrays(np.zeros_like(correct, np.float32), correct, relative_cost)
    return point_of_exits(oracle_exits(correct), correct, relative_cost)


def area_under_curve(accuracy: ArrayLike, relative_cost: ArrayLike, first_cost: float) -> float:
    """Mean accuracy over relative cost from c_1 to 1, each cost carrying the best accuracy reached so far.

    Points beyond cost 1 do not count; a cost below the cheapest point counts 0. With c_1 >= 1 (no early exit) it is the
    best accuracy.

    Args:
        accuracy, relative_cost: (points,) of a curve, in any order.
        first_cost: c_1.
    """
    accuracy, cost = np.asarray(accuracy, np.float64), np.asarray(relative_cost, np.float64)
    if first_cost >= 1:
        return float(accuracy.max())
    inside = np.flatnonzero(cost <= 1)
    order = inside[np.argsort(cost[inside], kind="stable")]
    best = np.maximum.accumulate(accuracy[order]) if len(order) else np.zeros(0)
    edges = np.append(np.maximum(cost[order], first_cost), 1.0)
    return float((best * np.diff(edges)).sum() / (1 - first_cost))


def cost_at_accuracy(accuracy: ArrayLike, relative_cost: ArrayLike, wanted: float) -> float | None:
    """The least cost on a curve with at least this accuracy (0..1), or None where the curve does not reach it."""
    enough = np.asarray(relative_cost, np.float64)[np.asarray(accuracy, np.float64) >= wanted]
    return float(enough.min()) if enough.size else None
