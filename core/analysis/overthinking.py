"""Where along the exits an answer is right and where it stays: overthinking, its opposite, depth, who moves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.analysis.reference_points import oracle_exits
from core.analysis.sweep import OperatingPoint, point_of_exits
from core.trace import Trace

# name -> its words on the page; every example is in exactly one
GROUPS = {
    "early": "early right, late wrong",
    "late": "early wrong, late right",
    "always": "always right",
    "never": "never right",
}


def groups(correct: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each example's place in `GROUPS`, (examples,).

    `early`: the last exit is wrong though an earlier one is right (overthinking, Kaya et al. 2019). `late`: the last
    exit is right, an earlier one is not. `always` and `never`: all exits alike.

    Args:
        correct: (examples, exits).
    """
    ends_right = correct[:, -1]
    return np.where(ends_right, np.where(correct.all(axis=1), 2, 1), np.where(correct.any(axis=1), 0, 3))


def prediction_depth(predicted: NDArray) -> NDArray[np.int64]:
    """Column of the first exit from which on every exit says what the last one says, (examples,).

    Args:
        predicted: top classes, (examples, exits).

    Source: Baldock et al. 2021, with the exits' own classifiers in place of nearest neighbours.
    """
    differs = predicted != predicted[:, -1:]
    num_exits = predicted.shape[1]
    # one after the last exit that differs
    return np.where(differs.any(axis=1), num_exits - differs[:, ::-1].argmax(axis=1), 0)


def lost_on_the_way(correct: NDArray[np.bool_], exits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Examples that go past an exit that was right and leave at one that is wrong, (examples,).

    Args:
        correct: (examples, exits).
        exits: column of the exit taken, (examples,).
    """
    rows = np.arange(len(exits))
    return ~correct[rows, exits] & (oracle_exits(correct) < exits) & correct.any(axis=1)


def tally(shape: Sequence[int], *columns: NDArray, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """How many examples have each combination of values.

    Args:
        shape: how many values each column can take.
        columns: for each of them whole numbers from 0 on, or booleans, (examples,).
        rows: the examples to count, bool (examples,); None for all.
    """
    taken = [column if rows is None else column[rows] for column in columns]
    index = np.zeros(len(taken[0]), np.int64)
    for values, column in zip(shape, taken, strict=True):
        index = index * values + column
    return np.bincount(index, minlength=int(np.prod(shape))).reshape(shape)


@dataclass(frozen=True, eq=False)
class GroupCosts:
    """What the exits taken and an oracle cost, for each of `GROUPS`.

    Args:
        counts: (groups,).
        cost, oracle_cost: mean relative cost of the exits taken, and of the first exit that is right (exit 1 where
            none is), (groups,); 0 for an empty group.
        right: how many the exits taken answer right, (groups,).
    """

    counts: NDArray[np.int64]
    cost: NDArray[np.float64]
    oracle_cost: NDArray[np.float64]
    right: NDArray[np.int64]


def group_costs(trace: Trace, exits: NDArray[np.int64]) -> GroupCosts:
    """Counts and costs of the four groups.

    Args:
        exits: column of the exit each example takes.
    """
    of = groups(trace.correct)
    size = len(GROUPS)
    counts = np.bincount(of, minlength=size)
    someone = np.maximum(counts, 1)
    cost = np.bincount(of, trace.relative_cost[exits], size) / someone
    oracle = np.bincount(of, trace.relative_cost[oracle_exits(trace.correct)], size) / someone
    right = np.bincount(of[trace.correct[np.arange(trace.n), exits]], minlength=size)
    return GroupCosts(counts, cost, oracle, right)


@dataclass(frozen=True, eq=False)
class Movers:
    """Two operating points on the same examples.

    Args:
        before, now: what each gives.
        counts: (exits before, exits now, right before, right now); the last two are 0 for wrong, 1 for right.
    """

    before: OperatingPoint
    now: OperatingPoint
    counts: NDArray[np.int64]

    @property
    def changed(self) -> int:
        """How many leave at another exit."""
        moved = self.counts.sum(axis=(2, 3))
        return int(moved.sum() - np.trace(moved))

    @property
    def turned_right(self) -> int:
        """How many are right now and were wrong before."""
        return int(self.counts[:, :, 0, 1].sum())

    @property
    def turned_wrong(self) -> int:
        """How many are wrong now and were right before."""
        return int(self.counts[:, :, 1, 0].sum())


def movers(trace: Trace, before: NDArray[np.int64], now: NDArray[np.int64]) -> Movers:
    """Who changes its exit, and whose answer changes.

    Args:
        before, now: column of the exit each example takes at either point.
    """
    rows, size = np.arange(trace.n), trace.num_exits
    counts = tally((size, size, 2, 2), before, now, trace.correct[rows, before], trace.correct[rows, now])
    return Movers(
        point_of_exits(before, trace.correct, trace.relative_cost),
        point_of_exits(now, trace.correct, trace.relative_cost),
        counts,
    )
