"""Thresholds by wish, and the per-exit search against brute force."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from core.analysis.sweep import exact_sweep, operating_point
from core.analysis.thresholds import Front, Wish, choose, fulfil, per_exit_front, shared_front
from core.benchmarks.sweep import synthetic_trace
from core.errors import UserError
from core.trace import Trace


def small(seed, n, num_exits, levels=8, nans=False):
    scores, correct, cost = synthetic_trace(n, num_exits, seed)
    scores = np.floor(scores * levels).astype(np.float32) / np.float32(levels)  # ties
    if nans:
        scores[np.random.default_rng(seed).random(scores.shape) < 0.15] = np.nan
    return scores, correct, cost


def brute_force(scores, correct, cost):
    """Every combination of thresholds: {accuracy: least cost} on the front."""
    candidates = [np.unique(np.append(column[~np.isnan(column)], 1)) for column in scores[:, :-1].T]
    best = {}
    for thresholds in product(*candidates):
        point = operating_point(scores, correct, cost, thresholds)
        best[point.accuracy] = min(best.get(point.accuracy, np.inf), point.relative_cost)
    beaten = [a for a, c in best.items() if any(a2 > a and c2 <= c + 1e-12 for a2, c2 in best.items())]
    return {a: c for a, c in best.items() if a not in beaten}


def check_front(front, scores, correct, cost):
    """Its numbers are what its thresholds really give, and it falls strictly."""
    assert (np.diff(front.accuracy) < 0).all() and (np.diff(front.relative_cost) < 0).all()
    for thresholds, accuracy, relative_cost in zip(front.thresholds, front.accuracy, front.relative_cost, strict=True):
        point = operating_point(scores, correct, cost, thresholds)
        assert point.accuracy == accuracy
        assert point.relative_cost == pytest.approx(relative_cost, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("nans", [False, True])
def test_two_early_exits_equal_brute_force(seed, nans):
    arrays = small(seed, 25, 3, nans=nans)
    front = per_exit_front(*arrays)
    check_front(front, *arrays)
    assert dict(zip(front.accuracy, front.relative_cost, strict=True)) == pytest.approx(brute_force(*arrays), abs=1e-9)


def test_more_early_exits_against_brute_force():
    found = exact = 0
    for seed in range(6):
        arrays = small(seed, 12, 4, nans=seed > 3)
        front = per_exit_front(*arrays)
        check_front(front, *arrays)
        best = brute_force(*arrays)
        mine = dict(zip(front.accuracy, front.relative_cost, strict=True))
        for accuracy, cost in best.items():
            found += accuracy in mine and mine[accuracy] == pytest.approx(cost, abs=1e-9)
            exact += 1
        for accuracy, cost in mine.items():
            assert any(a >= accuracy and c <= cost + 1e-9 for a, c in best.items())
    assert found >= 0.9 * exact  # a search, not a proof: it misses a few


@pytest.mark.parametrize("num_exits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("levels", [6, 10**6])
def test_never_worse_than_the_best_shared_threshold_at_any_cost(num_exits, levels):
    arrays = small(1, 300, num_exits, levels)
    front = per_exit_front(*arrays, expansions=40)
    check_front(front, *arrays)
    sweep = exact_sweep(*arrays)
    for accuracy, cost in zip(sweep.accuracy, sweep.relative_cost, strict=True):
        assert ((front.accuracy >= accuracy) & (front.relative_cost <= cost + 1e-9)).any()


def test_shared_front_is_the_best_of_the_sweep():
    arrays = small(3, 60, 4)
    front, sweep = shared_front(*arrays), exact_sweep(*arrays)
    check_front(front, *arrays)
    assert (front.thresholds == front.thresholds[:, :1]).all()
    for accuracy, cost in zip(sweep.accuracy, sweep.relative_cost, strict=True):
        assert ((front.accuracy >= accuracy) & (front.relative_cost <= cost)).any()


@pytest.mark.parametrize("active", [[True, False, True], [False, False, True], [False] * 3])
def test_exits_switched_off_never_take_anybody(active):
    scores, correct, cost = small(4, 40, 4)
    for front in (per_exit_front(scores, correct, cost, active), shared_front(scores, correct, cost, active)):
        assert front.thresholds.shape[1] == 3 and (front.thresholds[:, ~np.array(active)] == 1).all()
        check_front(front, scores, correct, cost)


def test_costs_must_rise():
    with pytest.raises(UserError, match="rise from exit to exit"):
        per_exit_front(np.zeros((2, 3)), np.zeros((2, 3)), [0.5, 0.5, 1])


FRONT = Front(np.array([[1.0], [0.8], [0.2]], np.float32), np.array([0.9, 0.85, 0.6]), np.array([1.02, 0.5, 0.2]))


@pytest.mark.parametrize(
    ("kind", "value", "row", "met"),
    [
        ("cost", 0.5, 1, True),
        ("cost", 0.49, 2, True),
        ("cost", 0.1, 2, False),
        ("cost", 2, 0, True),
        ("accuracy", 0.85, 1, True),
        ("accuracy", 0.86, 0, True),
        ("accuracy", 0.95, 0, False),
        ("accuracy", 0, 2, True),
        ("loss", 5, 1, True),
        ("loss", 0, 0, True),
        ("loss", -3, 0, False),
        ("loss", 100, 2, True),
    ],
)
def test_choose(kind, value, row, met):
    assert choose(FRONT, Wish(kind, value), full_accuracy=0.9) == (row, met)


def test_bad_wishes():
    with pytest.raises(UserError, match="cost, accuracy, loss"):
        Wish("speed", 1)
    with pytest.raises(UserError, match="finite number"):
        Wish("cost", float("nan"))


def random_trace(n, split, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    logits = rng.normal(0, 1.5, (n, 4, 5))
    logits[np.arange(n), :, labels] += np.linspace(0.5, 3, 4)
    cost = [0.2, 0.5, 0.7, 1.05]
    return Trace.from_outputs(logits, rng.normal(0, 2, (n, 4)), labels, np.arange(n), cost, "ab" * 32, split)


@pytest.mark.parametrize("per_exit", [False, True])
@pytest.mark.parametrize("rule", ["confidence", "margin", "patience"])
def test_fulfil_chooses_on_calibration_and_reports_on_test(per_exit, rule):
    calibration, test = random_trace(300, "calibration", 0), random_trace(500, "test", 1)
    result = fulfil(Wish("loss", 2), calibration, test, rule, per_exit)
    full = calibration.correct[:, -1].mean()
    assert result.met and result.calibration.accuracy >= full - 0.02 - 1e-9
    again = operating_point(test.scores[rule], test.correct, test.relative_cost, result.thresholds)
    assert result.test == again and result.test.n == 500 and result.calibration.n == 300
    assert result.kept == (again.accuracy >= test.correct[:, -1].mean() - 0.02 - 1e-9)
    better = fulfil(Wish("cost", 0.5), calibration, None, rule, per_exit)
    assert better.met and better.test is None and better.kept is None
    impossible = fulfil(Wish("cost", 0.1), calibration, test, rule, per_exit)
    assert not impossible.met and not impossible.kept
    assert impossible.calibration.relative_cost == pytest.approx(0.2)


def test_fulfil_with_temperatures_and_another_checkpoint():
    calibration, test = random_trace(200, "calibration", 0), random_trace(200, "test", 1)
    warm = fulfil(Wish("cost", 0.6), calibration, test, "probability", temperatures=[2.0, 1.5, 1.0, 1.0])
    assert warm.met and warm.calibration.relative_cost <= 0.6 + 1e-9
    with pytest.raises(UserError, match="one checkpoint"):
        fulfil(Wish("cost", 0.6), calibration, replace(test, checkpoint_hash="cd" * 32), "margin")
