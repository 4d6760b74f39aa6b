"""The explorer's JavaScript gives core's numbers on the same arrays."""

import numpy as np
import pytest

from core.analysis.reference_points import always_leave_at, oracle
from core.analysis.rules import BELOW_ONE
from core.analysis.sweep import exact_sweep, point_of_exits, route

pytestmark = pytest.mark.browser

POINT = """(a, {scores, right, cost, thresholds, off}) => {
  const trace = a.makeTrace(scores.map((c) => Float32Array.from(c)), right.map((c) => Uint8Array.from(c)), cost);
  const exits = new Uint8Array(trace.examples);
  a.route(trace, a.float32Thresholds(thresholds, off, scores.length), exits);
  const point = a.operatingPoint(trace, exits);
  return {exits: Array.from(exits), counts: Array.from(point.counts), accuracy: point.accuracy, cost: point.cost,
    accuracyError: point.accuracyError, costError: point.costError};
}"""
CURVE = """(a, {scores, right, cost, off}) => {
  const trace = a.makeTrace(scores.map((c) => Float32Array.from(c)), right.map((c) => Uint8Array.from(c)), cost);
  const curve = a.sweep(trace, off);
  return {threshold: Array.from(curve.threshold), accuracy: Array.from(curve.accuracy), cost: Array.from(curve.cost),
    always: a.always(trace), oracle: a.oracle(trace, off).at(-1)};
}"""
BARS = """(a, {scores, right, cost, thresholds, off, stretched}) => {
  const trace = a.makeTrace(scores.map((c) => Float32Array.from(c)), right.map((c) => Uint8Array.from(c)), cost);
  const exits = new Uint8Array(trace.examples);
  const tally = a.makeTally(trace, 40, stretched);
  a.route(trace, a.float32Thresholds(thresholds, off, scores.length), exits, tally);
  return scores.map((_, n) => {
    const sums = [0, 0, 0, 0];
    for (let slot = 0; slot < 160; slot++) sums[slot % 4] += tally.bars[n * tally.stride + slot];
    const total = a.binTotals(trace, tally, n, 40).reduce((s, x) => s + x, 0);
    return {leaveRight: sums[0], leaveWrong: sums[1], stayRight: sums[2], stayWrong: sums[3], total};
  });
}"""


def random_trace(seed: int, n: int, num_exits: int, kind: str):
    """Scores (n, N) float32, correct (n, N), relative cost (N,)."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(2, 1, (n, num_exits))
    if kind == "ties":
        scores = np.round(scores, 1)
    elif kind == "crowded":
        scores = 1 - 10 ** -rng.uniform(0, 9, (n, num_exits))
    scores = np.clip(scores.astype(np.float32), 0, BELOW_ONE)
    if kind == "gaps":
        scores[rng.random(scores.shape) < 0.2] = np.nan
    correct = rng.random((n, num_exits)) < np.linspace(0.5, 0.9, num_exits)
    if kind == "single class":
        correct[:] = True
    return scores, correct, np.sort(rng.uniform(0.1, 1.1, num_exits))


def as_argument(scores, correct, cost, **more):
    """The trace as plain lists; NaN becomes null and back again a NaN."""
    columns = [[None if np.isnan(s) else float(s) for s in column] for column in scores[:, :-1].T]
    return {"scores": columns, "right": correct.T.astype(int).tolist(), "cost": cost.tolist(), **more}


def with_gaps(function: str) -> str:
    """`Float32Array.from` makes 0 of null: put NaN there."""
    return function.replace("Float32Array.from(c)", "Float32Array.from(c, (x) => x === null ? NaN : x)")


def usable(scores, off):
    """core's way to say that exits are switched off."""
    scores = scores.copy()
    scores[:, [n for n, is_off in enumerate(off) if is_off]] = np.nan
    return scores


CASES = [
    (0, 500, 5, "plain"), (1, 500, 5, "ties"), (2, 300, 3, "crowded"), (3, 400, 9, "gaps"), (4, 1, 2, "plain"),
    (5, 200, 4, "single class"),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "n", "num_exits", "kind"), CASES)
def test_operating_points_are_cores(script, seed, n, num_exits, kind):
    scores, correct, cost = random_trace(seed, n, num_exits, kind)
    rng = np.random.default_rng(seed)
    early = num_exits - 1
    candidates = [[0.0], [1.0], [0.1], [0.7], [float(scores[0, 0])] if np.isfinite(scores[0, 0]) else [0.5]]
    candidates += [rng.random(early).round(3).tolist() for _ in range(3)] + [[0.5] * early]
    for thresholds in candidates:
        off = (rng.random(early) < 0.3).tolist()
        found = script(with_gaps(POINT), as_argument(scores, correct, cost, thresholds=thresholds, off=off))
        exits = route(usable(scores, off), np.asarray(thresholds))
        point = point_of_exits(exits, correct, cost)
        assert found["exits"] == exits.tolist()
        assert found["counts"] == list(point.exit_counts)
        assert found["accuracy"] == point.accuracy
        assert found["cost"] == pytest.approx(point.relative_cost, rel=1e-14)
        assert found["accuracyError"] == pytest.approx(np.sqrt(point.accuracy * (1 - point.accuracy) / n))
        assert found["costError"] == pytest.approx(cost[exits].std() / np.sqrt(n), abs=1e-12)


@pytest.mark.parametrize(("seed", "n", "num_exits", "kind"), CASES)
@pytest.mark.parametrize("some_off", [False, True])
def test_curve_and_reference_points_are_cores(script, seed, n, num_exits, kind, some_off):
    scores, correct, cost = random_trace(seed, n, num_exits, kind)
    off = [some_off and exit_ % 2 == 0 for exit_ in range(num_exits - 1)]
    found = script(with_gaps(CURVE), as_argument(scores, correct, cost, off=off))
    sweep = exact_sweep(usable(scores, off), correct, cost)
    assert found["threshold"] == [float(t) for t in sweep.threshold]
    assert found["accuracy"] == sweep.accuracy.tolist()
    np.testing.assert_allclose(found["cost"], sweep.relative_cost, rtol=1e-14)
    for point, expected in zip(found["always"], always_leave_at(correct, cost), strict=True):
        assert (point["accuracy"], point["cost"]) == (expected.accuracy, pytest.approx(expected.relative_cost))
    if not some_off:
        best = oracle(correct, cost)
        assert found["oracle"]["accuracy"] == best.accuracy
        assert found["oracle"]["cost"] == pytest.approx(best.relative_cost, rel=1e-14)


@pytest.mark.parametrize("stretched", [False, True])
def test_bars_hold_every_example_that_reaches_an_exit_once(script, stretched):
    scores, correct, cost = random_trace(7, 400, 4, "crowded")
    thresholds, off = [0.9, 0.99, 0.5], [False, True, False]
    argument = as_argument(scores, correct, cost, thresholds=thresholds, off=off, stretched=stretched)
    exits = route(usable(scores, off), np.asarray(thresholds))
    for n, parts in enumerate(script(BARS, argument)):
        leaves, goes_on, right = exits == n, exits > n, correct[:, n]
        assert parts["leaveRight"] == (leaves & right).sum()
        assert parts["leaveWrong"] == (leaves & ~right).sum()
        assert parts["stayRight"] == (goes_on & right).sum()
        assert parts["stayWrong"] == (goes_on & ~right).sum()
        assert parts["total"] == len(exits)


def test_places_on_the_axis_and_thresholds_agree(script):
    found = script(
        """(a) => [false, true].map((stretched) => [0, 0.1, 0.25, 0.5, 0.777, 0.9, 0.99, 1].map(
          (place) => { const t = a.thresholdAt(place, stretched); return [place, a.position(t, stretched), t]; }))""",
        None,
    )
    for axis in found:
        for place, again, threshold in axis:
            assert again == pytest.approx(place, abs=0.012)
            assert 0 <= threshold <= 1
        assert axis[0][2] == 0 and axis[-1][2] == 1
