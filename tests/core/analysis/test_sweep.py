"""The exact sweep against routing each example in a loop."""

import numpy as np
import pytest

from core.analysis.rules import BELOW_ONE
from core.analysis.sweep import check_thresholds, exact_sweep, operating_point, route
from core.errors import UserError


def loop(scores, correct, cost, thresholds):
    """Each example alone: accuracy, cost, counts."""
    n, num_exits = scores.shape
    counts, right = [0] * num_exits, 0
    for i in range(n):
        exit_ = 0
        while exit_ < num_exits - 1 and not scores[i, exit_] >= np.float32(thresholds[exit_]):
            exit_ += 1
        counts[exit_] += 1
        right += bool(correct[i, exit_])
    return right / n, sum(c * k for c, k in zip(cost, counts, strict=True)) / n, counts


def random_trace(rng, n, num_exits, levels=None, nans=False):
    scores = rng.random((n, num_exits), np.float32)
    if levels:
        scores = np.floor(scores * levels).astype(np.float32) / np.float32(levels)
    if nans:
        scores[rng.random(scores.shape) < 0.1] = np.nan
    return scores, rng.random((n, num_exits)) < 0.6, np.cumsum(rng.random(num_exits) + 0.01)


@pytest.mark.parametrize("num_exits", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("nans", [False, True])
def test_every_threshold_equals_the_loop(num_exits, levels, nans):
    rng = np.random.default_rng(num_exits)
    scores, correct, cost = random_trace(rng, 40, num_exits, levels, nans)
    sweep = exact_sweep(scores, correct, cost)
    assert sweep.threshold[0] == 1 and sweep.threshold.dtype == np.float32
    assert (np.diff(sweep.threshold) < 0).all() and sweep.n == 40
    assert sweep.exit_counts[0].tolist() == [0] * (num_exits - 1) + [40]
    for row, threshold in enumerate(sweep.threshold):
        lower = sweep.threshold[row + 1] if row + 1 < len(sweep) else np.float32(0)
        for t in (threshold, np.nextafter(lower, np.float32(1)) if row + 1 < len(sweep) else lower):
            accuracy, relative_cost, counts = loop(scores, correct, cost, [t] * (num_exits - 1))
            assert sweep.exit_counts[row].tolist() == counts
            assert sweep.accuracy[row] == accuracy
            assert sweep.relative_cost[row] == pytest.approx(relative_cost, rel=1e-12)
            point = operating_point(scores, correct, cost, float(t))
            assert sweep.at(float(t)) == point, "the same bits by sweep and by routing"
            assert point.exit_counts == tuple(counts)


@pytest.mark.parametrize("seed", range(5))
def test_route_with_a_threshold_per_exit_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    scores, correct, cost = random_trace(rng, 60, 4, levels=8 if seed % 2 else None)
    thresholds = rng.choice(scores.ravel(), 3)
    point = operating_point(scores, correct, cost, thresholds)
    accuracy, relative_cost, counts = loop(scores, correct, cost, thresholds)
    assert (point.accuracy, list(point.exit_counts)) == (accuracy, counts)
    assert point.relative_cost == pytest.approx(relative_cost, rel=1e-12)
    assert sum(point.exit_shares) == pytest.approx(1) and point.n == 60


def test_worked_by_hand():
    scores = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.2, 0.1, 0]], np.float32)
    correct = np.array([[True, True, True], [False, True, False], [False, False, True]])
    sweep = exact_sweep(scores, correct, [0.2, 0.5, 1.1])
    assert sweep.threshold.tolist() == [1, *np.float32([0.9, 0.8, 0.2]).tolist()]
    assert sweep.accuracy == pytest.approx([2 / 3, 2 / 3, 1, 1 / 3])
    assert sweep.relative_cost == pytest.approx([1.1, 2.4 / 3, 0.6, 0.2])
    assert sweep.exit_counts.tolist() == [[0, 0, 3], [1, 0, 2], [1, 1, 1], [3, 0, 0]]
    assert sweep.exit_shares[2] == pytest.approx([1 / 3] * 3)


def test_thresholds_are_compared_as_float32():
    score = np.array([[0.62, 0]], np.float32)  # below 0.62 in float64
    assert route(np.vstack([score, np.nextafter(score, np.float32(0))]), 0.62).tolist() == [0, 1]
    assert route(np.array([[BELOW_ONE, 0]]), 1.0).tolist() == [1]
    assert route(np.array([[0.0, 0], [np.nan, 0]]), 0.0).tolist() == [0, 1]


def test_switched_off_exits_equal_a_threshold_of_one():
    rng = np.random.default_rng(1)
    scores, correct, cost = random_trace(rng, 50, 4, levels=6)
    sweep = exact_sweep(scores, correct, cost, active=[True, False, True])
    for row, t in enumerate(sweep.threshold):
        point = operating_point(scores, correct, cost, [t, 1, t])
        assert tuple(sweep.exit_counts[row]) == point.exit_counts and sweep.accuracy[row] == point.accuracy
    assert len(exact_sweep(scores, correct, cost, active=[False] * 3)) == 1


def test_all_scores_missing_leaves_only_never():
    sweep = exact_sweep(np.full((3, 2), np.nan), np.ones((3, 2)), [0.5, 1])
    assert sweep.threshold.tolist() == [1.0] and sweep.exit_counts.tolist() == [[0, 3]]


def test_thin_keeps_exact_rows_and_both_ends():
    rng = np.random.default_rng(2)
    sweep = exact_sweep(*random_trace(rng, 2000, 4))
    thin = sweep.thin(50)
    assert len(thin) <= 52 and set(thin.threshold) <= set(sweep.threshold)
    assert thin.threshold[0] == 1 and thin.threshold[-1] == sweep.threshold[-1]
    assert np.diff(thin.relative_cost).min() > -0.06 * np.ptp(sweep.relative_cost)
    assert sweep.thin(10**6) is sweep


def test_thin_of_two_points():
    sweep = exact_sweep(np.full((3, 2), 0.5), np.ones((3, 2)), [0.5, 1])
    assert len(sweep.thin(1)) == 2


@pytest.mark.parametrize(
    ("scores", "correct", "cost", "words"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2)), [0.5, 1], "at least 1 example, got 0"),
        (np.zeros((3, 2)), np.zeros((3, 3)), [0.5, 1], "(3, 2), (3, 3)"),
        (np.zeros((3, 0)), np.zeros((3, 0)), [], "1 to 255 exits, got 0"),
        (np.ones((3, 2)), np.zeros((3, 2)), [0.5, 1], "just below 1"),
        (-np.ones((3, 2)), np.zeros((3, 2)), [0.5, 1], "just below 1"),
        (np.zeros((3, 2)), np.zeros((3, 2)), [0.5, np.nan], "positive relative costs"),
    ],
)
def test_bad_arrays(scores, correct, cost, words):
    with pytest.raises(UserError) as raised:
        exact_sweep(scores, correct, cost)
    assert words in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("thresholds", [[0.5, 0.5], [0.5] * 4, [], [np.nan], [1.5], [-0.1]])
def test_bad_thresholds(thresholds):
    with pytest.raises(UserError, match="expected"):
        check_thresholds(thresholds, 4)


def test_one_switch_per_early_exit():
    with pytest.raises(UserError, match="2 switches"):
        exact_sweep(np.zeros((1, 3)), np.zeros((1, 3)), [1, 2, 3], active=[True])
