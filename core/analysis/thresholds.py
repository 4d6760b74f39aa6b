"""Thresholds by wish: at most this cost, at least this accuracy, lose at most x points. Chosen on calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.sweep import OperatingPoint, check_arrays, exact_sweep, operating_point
from core.errors import UserError
from core.trace import Trace

WISHES = {
    "cost": "at most this mean relative cost",
    "accuracy": "at least this accuracy, 0..1",
    "loss": "at most this many percentage points below the full network",
}
_ROUNDING = 1e-9  # a wish met but for the last bits of a float is met


@dataclass(frozen=True, eq=False)
class Front:
    """Thresholds that no others beat on these examples: each next row is cheaper and less accurate.

    Args:
        thresholds: float32 (rows, K).
        accuracy, relative_cost: (rows,), both falling.
    """

    thresholds: NDArray[np.float32]
    accuracy: NDArray[np.float64]
    relative_cost: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.accuracy)


@dataclass(frozen=True)
class Wish:
    """What somebody asks for: `kind` is one of `WISHES`, `value` in its unit.

    Raises:
        UserError: another kind, or a value that is not a finite number.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in WISHES:
            raise UserError(f"expected a wish among {', '.join(WISHES)}, got {self.kind!r}: choose one of these")
        if not np.isfinite(self.value):
            raise UserError(f"expected a finite number to wish for, got {self.value}: {WISHES[self.kind]}")

    def met_by(self, accuracy: ArrayLike, relative_cost: ArrayLike, full_accuracy: float) -> NDArray[np.bool_]:
        """Whether points fulfil the wish.

        Args:
            full_accuracy: of the last exit on the same examples.
        """
        if self.kind == "cost":
            return np.asarray(relative_cost) <= self.value + _ROUNDING
        least = self.value if self.kind == "accuracy" else full_accuracy - self.value / 100
        return np.asarray(accuracy) >= least - _ROUNDING

    def holds(self, point: OperatingPoint, full_accuracy: float) -> bool:
        """Whether one point fulfils the wish."""
        return bool(self.met_by(point.accuracy, point.relative_cost, full_accuracy))


@dataclass(frozen=True)
class Fulfilment:
    """What a wish led to.

    Args:
        thresholds: K of them, float32 values.
        per_exit: whether each exit may have its own.
        calibration: what they gave where they were chosen.
        test: what they give on test; None without a test trace.
        met: whether calibration fulfils the wish; if not, the thresholds are the nearest there is.
        kept: whether test fulfils it too; None without a test trace.
    """

    wish: Wish
    rule: str
    thresholds: tuple[float, ...]
    per_exit: bool
    calibration: OperatingPoint
    test: OperatingPoint | None
    met: bool
    kept: bool | None


def shared_front(
    scores: ArrayLike, correct: ArrayLike, relative_cost: ArrayLike, active: Sequence[bool] | None = None
) -> Front:
    """The Pareto front of one threshold for all exits; exact. Arguments and errors as `exact_sweep`.

    Exits that are switched off get threshold 1.
    """
    sweep = exact_sweep(scores, correct, relative_cost, active)
    order = np.lexsort((sweep.relative_cost, -sweep.accuracy))  # the most accurate first, of equals the cheapest
    cost = sweep.relative_cost[order]
    rows = order[np.append(True, cost[1:] < np.minimum.accumulate(cost)[:-1])]
    early = sweep.exit_counts.shape[1] - 1
    thresholds = np.repeat(sweep.threshold[rows, None], early, axis=1)
    if active is not None:
        thresholds[:, ~np.asarray(active, np.bool_)] = 1
    return Front(thresholds, sweep.accuracy[rows], sweep.relative_cost[rows])


def per_exit_front(
    scores: ArrayLike,
    correct: ArrayLike,
    relative_cost: ArrayLike,
    active: Sequence[bool] | None = None,
    expansions: int = 300,
) -> Front:
    """The Pareto front when every early exit has its own threshold.

    Exact for up to two early exits that are switched on. For more it is a local search: it starts from the shared
    front, so no shared threshold beats it at any cost; then, from points of the front so far, it tries every value of
    every single threshold, exactly, and keeps whatever extends the front.

    Args:
        scores, correct, relative_cost, active: as `exact_sweep`; the costs must rise from exit to exit.
        expansions: how many points the local search starts from at most; each takes O(K n).

    Raises:
        UserError: as `exact_sweep`, or costs that do not rise.
    """
    scores, correct, relative_cost = check_arrays(scores, correct, relative_cost)
    if (np.diff(relative_cost) <= 0).any():
        raise UserError(
            f"expected costs that rise from exit to exit, got {relative_cost.tolist()}: use one threshold for all"
        )
    shared = shared_front(scores, correct, relative_cost, active)
    columns = np.arange(scores.shape[1] - 1) if active is None else np.flatnonzero(np.asarray(active, np.bool_))
    if len(columns) < 2:
        return shared
    used = np.append(columns, scores.shape[1] - 1)
    search = _Search(scores[:, columns], correct[:, used], relative_cost[used])
    search.keep_all(shared.thresholds[:, columns], shared.accuracy, shared.relative_cost)
    if len(columns) == 2:
        search.every_pair()
    else:
        search.improve(expansions)
    found, accuracy, cost = search.front()
    thresholds = np.ones((len(found), scores.shape[1] - 1), np.float32)
    thresholds[:, columns] = found
    return Front(thresholds, accuracy, cost)


class _Search:
    """The best thresholds known for each number of right answers.

    Args:
        scores: early exits only, (n, K), NaN where an example never leaves.
        correct: (n, K + 1).
        relative_cost: (K + 1,), rising.
    """

    def __init__(self, scores: NDArray[np.float32], correct: NDArray[np.bool_], relative_cost: NDArray[np.float64]):
        self.n, self.early = scores.shape
        self.scores = np.ascontiguousarray(scores.T)  # (K, n)
        self.right = np.ascontiguousarray(correct.T).astype(np.int64)  # (K + 1, n)
        self.cost = relative_cost
        self.orders = []  # for each exit the examples by falling score, those with NaN left out
        for column in self.scores:
            order = np.argsort(-column, kind="stable")
            self.orders.append(order[: self.n - int(np.isnan(column).sum())])
        self.best_cost = np.full(self.n + 1, np.inf)  # sum over examples, for exactly so many right answers
        self.bound = self.best_cost.copy()  # the same for at least so many
        self.thresholds = np.ones((self.n + 1, self.early), np.float32)

    def keep_all(self, thresholds: NDArray[np.float32], accuracy: NDArray, relative_cost: NDArray) -> None:
        """Takes in points that are known."""
        right = np.rint(accuracy * self.n).astype(np.int64)
        self.best_cost[right] = relative_cost * self.n
        self.thresholds[right] = thresholds
        self._tighten()

    def _tighten(self) -> None:
        self.bound = np.minimum.accumulate(self.best_cost[::-1])[::-1]

    def _offer(
        self, right: NDArray[np.int64], cost: NDArray, base: NDArray[np.float32], exit_: int, values: NDArray
    ) -> bool:
        """Keeps the points that extend the front: the thresholds `base`, but `values` at one exit. Costs fall."""
        better = np.flatnonzero(cost < self.bound[right] - _ROUNDING)
        if not len(better):
            return False
        better = better[::-1]  # the cheapest of equally many right answers comes last
        kept, first = np.unique(right[better], return_index=True)
        chosen = better[first]
        self.best_cost[kept] = cost[chosen]
        self.thresholds[kept] = base
        self.thresholds[kept, exit_] = values[chosen]
        self._tighten()
        return True

    def every_pair(self) -> None:
        """Both thresholds of two early exits: for each value of the first, all values of the second at once."""
        first, second = self.orders
        gain = self.right[1, second] - self.right[2, second]
        saving = np.full(len(second), self.cost[1] - self.cost[2])
        place = np.full(self.n, -1)  # of each example in the second exit's order
        place[second] = np.arange(len(second))
        values = self.scores[1, second]
        ends = _last_of_equals(values)
        values = np.append(np.float32(1), values[ends])
        gain_first = self.right[0, first] - self.right[2, first]
        right, cost = int(self.right[2].sum()), self.n * self.cost[2]
        start = 0
        for end in (-1, *_last_of_equals(self.scores[0, first]).tolist()):
            leaving = first[start : end + 1]
            there = place[leaving]
            there = there[there >= 0]
            gain[there], saving[there] = 0, 0
            right += int(gain_first[start : end + 1].sum())
            cost += len(leaving) * (self.cost[0] - self.cost[2])
            base = np.ones(2, np.float32)
            if end >= 0:
                base[0] = self.scores[0, first[end]]
            start = end + 1
            rights = np.append(right, right + np.cumsum(gain)[ends])
            costs = np.append(cost, cost + np.cumsum(saving)[ends])
            self._offer(rights, costs, base, 1, values)

    def improve(self, expansions: int) -> None:
        """Rounds over the front so far, evenly spread over the cost, until nothing improves or the budget is spent."""
        per_round = max(20, expansions // 6)
        seen: set[bytes] = set()
        while expansions > 0:
            front = self._front_rows()
            fresh = [row for row in front if self.thresholds[row].tobytes() not in seen]
            if not fresh:
                return
            spread = np.linspace(self.best_cost[fresh[0]], self.best_cost[fresh[-1]], min(per_round, expansions))
            picked = np.unique(np.searchsorted(-self.best_cost[fresh], -spread).clip(0, len(fresh) - 1))
            for base in self.thresholds[[fresh[pick] for pick in picked]]:
                seen.add(base.tobytes())
                self._expand(base)
            expansions -= len(picked)

    def _expand(self, base: NDArray[np.float32]) -> None:
        """Every value of every single threshold, the others as in `base`."""
        leaves = self.scores >= base[:, None]  # (K, n)
        # what becomes of an example from exit e on
        later_right, later_cost = [self.right[-1]], [np.full(self.n, self.cost[-1])]
        for exit_ in range(self.early - 1, 0, -1):
            later_right.insert(0, np.where(leaves[exit_], self.right[exit_], later_right[0]))
            later_cost.insert(0, np.where(leaves[exit_], self.cost[exit_], later_cost[0]))
        arrives = np.ones(self.n, np.bool_)
        gone_right, gone_cost = 0, 0.0
        for exit_ in range(self.early):
            after_right, after_cost = later_right[exit_], later_cost[exit_]
            order = self.orders[exit_]
            order = order[arrives[order]]
            values = self.scores[exit_, order]
            ends = _last_of_equals(values)
            gain = np.cumsum(self.right[exit_, order] - after_right[order])[ends]
            saving = np.cumsum(self.cost[exit_] - after_cost[order])[ends]
            right = gone_right + int(after_right[arrives].sum())
            cost = gone_cost + float(after_cost[arrives].sum())
            self._offer(right + gain, cost + saving, base, exit_, values[ends])
            self._offer(np.array([right]), np.array([cost]), base, exit_, np.ones(1, np.float32))
            leaving = arrives & leaves[exit_]
            gone_right += int(self.right[exit_, leaving].sum())
            gone_cost += float(np.count_nonzero(leaving) * self.cost[exit_])
            arrives &= ~leaving

    def _front_rows(self) -> NDArray[np.int64]:
        """Numbers of right answers on the front, falling; so do the costs."""
        higher = np.append(self.bound[1:], np.inf)
        return np.flatnonzero(self.best_cost < higher - _ROUNDING)[::-1]

    def front(self) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Thresholds, accuracy and relative cost of the front, the most accurate first."""
        rows = self._front_rows()
        return self.thresholds[rows], rows / self.n, self.best_cost[rows] / self.n


def _last_of_equals(values: NDArray) -> NDArray[np.int64]:
    """Positions at which a sorted array is about to change, and its last."""
    if not len(values):
        return np.zeros(0, np.int64)
    return np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)


def choose(front: Front, wish: Wish, full_accuracy: float) -> tuple[int, bool]:
    """The row of a front that serves a wish best, and whether it fulfils it.

    Of the rows that fulfil it: the most accurate for a wish about cost, the cheapest for one about accuracy. If none
    does, the nearest: the cheapest, or the most accurate.

    Args:
        full_accuracy: of the last exit on the front's examples.
    """
    met = np.flatnonzero(wish.met_by(front.accuracy, front.relative_cost, full_accuracy))
    if wish.kind == "cost":
        return (int(met[0]), True) if len(met) else (len(front) - 1, False)
    return (int(met[-1]), True) if len(met) else (0, False)


def fulfil(
    wish: Wish,
    calibration: Trace,
    test: Trace | None,
    rule: str,
    per_exit: bool = False,
    temperatures: Sequence[float] | None = None,
    active: Sequence[bool] | None = None,
    front: Front | None = None,
) -> Fulfilment:
    """Thresholds for a wish, chosen on calibration and reported on test.

    Args:
        wish: what is asked for.
        calibration, test: traces of the same checkpoint.
        rule: a name in `core.analysis.rules.RULES`.
        per_exit: one threshold for each exit instead of one for all.
        temperatures: for the rules that use them.
        active: for each early exit whether it is switched on.
        front: the calibration front for these very arguments, where it is known already.

    Raises:
        UserError: traces of different checkpoints, or as `exact_sweep` and `per_exit_front`.
    """
    if test is not None and test.checkpoint_hash != calibration.checkpoint_hash:
        raise UserError("expected traces of one checkpoint, got two: make both again with `core trace`")
    scores = calibration.rule_scores(rule, temperatures)
    if front is None:
        find = per_exit_front if per_exit else shared_front
        front = find(scores, calibration.correct, calibration.relative_cost, active)
    full = float(calibration.correct[:, -1].mean())
    row, met = choose(front, wish, full)
    thresholds = front.thresholds[row]
    chosen_on = operating_point(scores, calibration.correct, calibration.relative_cost, thresholds)
    on_test, kept = None, None
    if test is not None:
        test_scores = test.rule_scores(rule, temperatures)
        on_test = operating_point(test_scores, test.correct, test.relative_cost, thresholds)
        kept = wish.holds(on_test, float(test.correct[:, -1].mean()))
    return Fulfilment(wish, rule, chosen_on.thresholds, per_exit, chosen_on, on_test, met, kept)
