"""The exact sweep: accuracy, cost and exit shares for every threshold there is, without a grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UserError

MAX_EXITS = 255
_ONE = int(np.float32(1).view(np.int32))  # the bits of 1.0; those of smaller positive floats are smaller integers


@dataclass(frozen=True)
class OperatingPoint:
    """Thresholds and what they give on a set of examples.

    Args:
        thresholds: K of them, float32 values; 1 keeps everybody.
        accuracy: share of right answers, 0..1.
        relative_cost: mean over the examples.
        exit_counts: how many leave at each exit 1..N.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    relative_cost: float
    exit_counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of examples."""
        return sum(self.exit_counts)

    @property
    def exit_shares(self) -> tuple[float, ...]:
        """Share of the examples that leave at each exit, summing to 1."""
        return tuple(count / self.n for count in self.exit_counts)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The curve of one threshold for all exits: row k holds for threshold[k+1] < T <= threshold[k].

    Args:
        threshold: float32 (rows,), falling; row 0 (1.0) is "never leave early", the last row holds down to any T.
        accuracy: (rows,), 0..1.
        relative_cost: (rows,), mean over the examples.
        exit_counts: int32 (rows, exits).
    """

    threshold: NDArray[np.float32]
    accuracy: NDArray[np.float64]
    relative_cost: NDArray[np.float64]
    exit_counts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.threshold)

    @property
    def n(self) -> int:
        """Number of examples."""
        return int(self.exit_counts[0].sum())

    @property
    def exit_shares(self) -> NDArray[np.float64]:
        """Share of the examples that leave at each exit, (rows, exits)."""
        return self.exit_counts / self.n

    def row(self, threshold: float) -> int:
        """The row that holds for a threshold in 0..1 (taken as float32)."""
        wanted = check_thresholds([threshold], 2)[0]
        return int(np.searchsorted(-self.threshold, -wanted, side="right")) - 1

    def at(self, threshold: float) -> OperatingPoint:
        """What a threshold in 0..1 gives."""
        row = self.row(threshold)
        counts = tuple(int(count) for count in self.exit_counts[row])
        thresholds = (float(np.float32(threshold)),) * (len(counts) - 1)
        return OperatingPoint(thresholds, float(self.accuracy[row]), float(self.relative_cost[row]), counts)

    def thin(self, points: int = 500) -> "Sweep":
        """About that many exact rows, evenly spread over the cost, the first and the last among them: for drawing."""
        if len(self) <= points:
            return self
        wanted = np.linspace(self.relative_cost[0], self.relative_cost[-1], max(points, 2))
        # the cost falls along the rows wherever costs rise along the exits, as they do
        rows = np.unique(np.searchsorted(-self.relative_cost, -wanted).clip(0, len(self) - 1))
        rows = np.union1d(rows, [0, len(self) - 1])
        return Sweep(self.threshold[rows], self.accuracy[rows], self.relative_cost[rows], self.exit_counts[rows])


def check_thresholds(thresholds: float | Sequence[float] | NDArray, num_exits: int) -> NDArray[np.float32]:
    """K = N - 1 thresholds as float32 (K,): from K numbers, or from one for all.

    Raises:
        UserError: neither 1 nor K of them, or one outside 0..1.
    """
    values = np.asarray(thresholds, np.float64).reshape(-1)
    early = num_exits - 1
    if values.size not in (1, early):
        raise UserError(
            f"expected 1 threshold for all or {early}, one per early exit, got {values.size}: give 1 or {early} numbers"
        )
    if not ((values >= 0) & (values <= 1)).all():  # false for NaN
        raise UserError(f"expected thresholds from 0 to 1, got {values.tolist()}: 1 never leaves early, 0 always")
    single = values.astype(np.float32)
    return single if values.size == early else np.repeat(single, early)[:early]


def check_arrays(
    scores: ArrayLike, correct: ArrayLike, relative_cost: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    """Scores float32 (n, N), correct bool (n, N), relative cost float64 (N,), with n >= 1 and 1 <= N <= 255.

    Scores of early exits lie in 0..1, 1 excluded, or are NaN (does not leave here); the last exit's are not looked at.

    Raises:
        UserError: no examples, shapes that do not fit, scores out of range, costs that are not positive and finite.
    """
    scores = np.asarray(scores, np.float32)
    correct = np.asarray(correct, np.bool_)
    relative_cost = np.asarray(relative_cost, np.float64)
    if scores.ndim != 2 or scores.shape != correct.shape or relative_cost.shape != scores.shape[1:]:
        raise UserError(
            "expected scores and correct (examples, exits) and relative_cost (exits,), got "
            f"{scores.shape}, {correct.shape} and {relative_cost.shape}: take all three from one trace"
        )
    if scores.shape[0] == 0:
        raise UserError("expected at least 1 example, got 0: choose a split or filter that holds examples")
    if not 1 <= scores.shape[1] <= MAX_EXITS:
        raise UserError(f"expected 1 to {MAX_EXITS} exits, got {scores.shape[1]}: use fewer exits")
    if not (np.isfinite(relative_cost) & (relative_cost > 0)).all():
        raise UserError(
            f"expected positive relative costs, got {relative_cost.tolist()}: take them from the cost table"
        )
    early = scores[:, :-1]
    if early.size and ((early < 0) | (early >= 1)).any():
        raise UserError("expected scores from 0 to just below 1, got others: make them with core.analysis.rules")
    return scores, correct, relative_cost


def route(scores: ArrayLike, thresholds: float | Sequence[float] | NDArray) -> NDArray[np.int64]:
    """The exit (column 0..N-1) at which each example leaves: the first with score >= threshold, else the last.

    Both sides are compared as float32. A NaN score does not leave.

    Args:
        scores: (examples, exits).
        thresholds: one for all or K of them, in 0..1.

    Raises:
        UserError: bad thresholds.
    """
    scores = np.asarray(scores, np.float32)
    limits = check_thresholds(thresholds, scores.shape[1])
    leaves = np.ones(scores.shape, np.bool_)
    leaves[:, :-1] = scores[:, :-1] >= limits
    return leaves.argmax(axis=1)


def mean_cost(exit_counts: NDArray, relative_cost: NDArray, n: int) -> NDArray[np.float64]:
    """Mean relative cost from counts per exit, summed from exit 1 on and divided by n last: the same bits everywhere.

    Args:
        exit_counts: (exits,) or (exits, rows).
    """
    total = np.zeros(exit_counts.shape[1:])
    for cost, counts in zip(relative_cost, exit_counts, strict=True):
        total = total + cost * counts
    return total / n


def operating_point(
    scores: ArrayLike,
    correct: ArrayLike,
    relative_cost: ArrayLike,
    thresholds: float | Sequence[float] | NDArray,
) -> OperatingPoint:
    """What thresholds (one for all or K) give.

    Args:
        scores: (examples, exits) of one rule.
        correct: (examples, exits), whether each exit's answer is right.
        relative_cost: (exits,).

    Raises:
        UserError: as `check_arrays` and `check_thresholds`.
    """
    scores, correct, relative_cost = check_arrays(scores, correct, relative_cost)
    limits = check_thresholds(thresholds, scores.shape[1])
    exits = route(scores, limits)
    return point_of_exits(exits, correct, relative_cost, tuple(float(limit) for limit in limits))


def point_of_exits(
    exits: NDArray, correct: NDArray, relative_cost: NDArray, thresholds: tuple[float, ...] = ()
) -> OperatingPoint:
    """Accuracy, cost and counts when example i leaves at column exits[i], however that was decided."""
    n, num_exits = correct.shape
    counts = np.bincount(exits, minlength=num_exits)
    right = int(correct[np.arange(n), exits].sum())
    cost = float(mean_cost(counts, np.asarray(relative_cost, np.float64), n))
    return OperatingPoint(thresholds, right / n, cost, tuple(int(count) for count in counts))


def exact_sweep(
    scores: ArrayLike, correct: ArrayLike, relative_cost: ArrayLike, active: Sequence[bool] | None = None
) -> Sweep:
    """Accuracy, cost and exit shares for every threshold, shared by all exits, in O(NK log NK).

    An example's exit changes only where T crosses a running maximum of its scores. Going down from T = 1, each such
    value moves the example from the exit that raised the maximum next (or the last) to the one that held it before;
    all moves at one value happen together.

    Args:
        scores: (examples, exits) of one rule, early exits in 0..1 with 1 excluded; NaN does not leave.
        correct: (examples, exits).
        relative_cost: (exits,).
        active: for each early exit whether it is switched on; None for all.

    Raises:
        UserError: as `check_arrays`.
    """
    scores, correct, relative_cost = check_arrays(scores, correct, relative_cost)
    n, num_exits = scores.shape
    keys = np.sort(_moves(scores, correct, active))
    ends = np.append(np.flatnonzero(np.diff(keys >> 18)), len(keys) - 1) if len(keys) else np.zeros(0, np.int64)
    threshold = np.empty(len(ends) + 1, np.float32)
    threshold[0] = 1
    threshold[1:] = (_ONE - (keys[ends] >> 18)).astype(np.int32).view(np.float32)
    right = np.full(len(ends) + 1, int(correct[:, -1].sum()), np.int64)
    right[1:] += np.cumsum((keys & 3) - 1)[ends]
    to_exit = (keys >> 10).astype(np.uint8)  # the cast keeps the low eight bits
    from_exit = (keys >> 2).astype(np.uint8)
    del keys
    counts = np.zeros((num_exits, len(ends) + 1), np.int32)  # (exits, rows)
    counts[-1] = n
    for exit_ in range(num_exits):
        moved = (to_exit == exit_).view(np.int8) - (from_exit == exit_).view(np.int8)
        counts[exit_, 1:] += np.cumsum(moved, dtype=np.int32)[ends]
    return Sweep(threshold, right / n, mean_cost(counts, relative_cost, n), counts.T)


def _moves(scores: NDArray[np.float32], correct: NDArray[np.bool_], active: Sequence[bool] | None) -> NDArray[np.int64]:
    """Every move of every example as one integer that sorts by falling score.

    Bits from the top: bits of 1.0 minus bits of the score; exit moved to (8); exit moved from (8); change in the number
    of right answers plus one (2).
    """
    n, num_exits = scores.shape
    on = [True] * (num_exits - 1) if active is None else list(active)
    if len(on) != num_exits - 1:
        raise UserError(f"expected {num_exits - 1} switches, one per early exit, got {len(on)}: give one for each")
    highest = np.full(n, -1, np.float32)  # running maximum of the scores
    holder = np.zeros(n, np.int64)  # the exit that holds it
    right = np.zeros(n, np.int64)  # whether that exit is right

    def pack(rows: NDArray, from_right: NDArray, from_exit: int) -> NDArray[np.int64]:
        bits = highest[rows].view(np.int32).astype(np.int64)
        gain = right[rows] - from_right + 1
        return ((_ONE - bits) << 18) | (holder[rows] << 10) | (from_exit << 2) | gain

    pieces = []
    for exit_ in range(num_exits - 1):
        if not on[exit_]:
            continue
        column = scores[:, exit_] + np.float32(0)  # a copy in one piece, -0 made 0
        raised = column > highest  # false for NaN
        moved = np.flatnonzero(raised & (highest >= 0))
        if len(moved):
            pieces.append(pack(moved, correct[moved, exit_].astype(np.int64), exit_))
        highest[raised] = column[raised]
        holder[raised] = exit_
        right[raised] = correct[raised, exit_]
    moved = np.flatnonzero(highest >= 0)
    pieces.append(pack(moved, correct[moved, -1].astype(np.int64), num_exits - 1))
    return np.concatenate(pieces)
