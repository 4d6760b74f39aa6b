"""How far an accuracy or a cost may be off because the examples are a sample."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.sweep import OperatingPoint, Sweep
from core.errors import UserError

TWO_SIDED_95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class StandardErrors:
    """Standard errors of accuracy and mean relative cost: numbers for a point, arrays (rows,) for a curve."""

    accuracy: NDArray[np.float64]
    relative_cost: NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """What a second policy changes against a first on the same examples, with 95 % bootstrap intervals.

    Args:
        accuracy, relative_cost: second minus first.
        accuracy_error, cost_error: standard errors.
        accuracy_interval, cost_interval: 2.5 % and 97.5 % points.
    """

    accuracy: float
    accuracy_error: float
    accuracy_interval: tuple[float, float]
    relative_cost: float
    cost_error: float
    cost_interval: tuple[float, float]


def standard_errors(curve: OperatingPoint | Sweep, relative_cost: ArrayLike) -> StandardErrors:
    """Of a point or of every row of a sweep, from its counts alone.

    Args:
        relative_cost: (exits,).
    """
    cost = np.asarray(relative_cost, np.float64)
    shares = np.asarray(curve.exit_shares, np.float64)  # (..., exits)
    accuracy = np.asarray(curve.accuracy, np.float64)
    mean = np.asarray(curve.relative_cost, np.float64)
    variance = np.zeros(shares.shape[:-1])
    for exit_ in range(len(cost)):
        variance = variance + shares[..., exit_] * (cost[exit_] - mean) ** 2
    return StandardErrors(np.sqrt(accuracy * (1 - accuracy) / curve.n), np.sqrt(variance / curve.n))


def accuracy_interval(right: int, n: int, z: float = TWO_SIDED_95) -> tuple[float, float]:
    """Wilson's interval for an accuracy: keeps inside 0..1 and does not shrink to a point at 0 or 1.

    Args:
        right: number of right answers.
        n: number of examples.

    Raises:
        UserError: no examples.
    """
    if n < 1:
        raise UserError("expected at least 1 example, got 0: choose a split or filter that holds examples")
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def paired_difference(
    correct: ArrayLike,
    first_exits: ArrayLike,
    second_exits: ArrayLike,
    relative_cost: ArrayLike,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Paired bootstrap: both policies are judged on the same resampled examples.

    Only the change per example matters, and it takes few distinct values, so a resample is one draw of how often each
    occurs: the same distribution as drawing examples, at a fraction of the time.

    Args:
        correct: (examples, exits).
        first_exits, second_exits: the column (examples,) at which each leaves under either policy, from `route`.
        relative_cost: (exits,).
        resamples: of the bootstrap.
        seed: of its draws.

    Raises:
        UserError: no examples.
    """
    correct, cost = np.asarray(correct, np.bool_), np.asarray(relative_cost, np.float64)
    first, second = np.asarray(first_exits, np.int64), np.asarray(second_exits, np.int64)
    n = len(correct)
    if n < 1:
        raise UserError("expected at least 1 example, got 0: choose a split or filter that holds examples")
    rows = np.arange(n)
    gain = correct[rows, second].astype(np.int64) - correct[rows, first]
    kinds, counts = np.unique(np.stack([gain, first, second], axis=1), axis=0, return_counts=True)
    changes = np.stack([kinds[:, 0], cost[kinds[:, 2]] - cost[kinds[:, 1]]], axis=1)  # (kinds, 2)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples) @ changes / n  # (resamples, 2)
    mean = counts @ changes / n
    error = drawn.std(axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Difference(
        float(mean[0]),
        float(error[0]),
        (float(low[0]), float(high[0])),
        float(mean[1]),
        float(error[1]),
        (float(low[1]), float(high[1])),
    )
