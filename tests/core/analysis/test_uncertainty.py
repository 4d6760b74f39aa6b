"""Standard errors and the paired bootstrap against formulas and a plain bootstrap."""

import numpy as np
import pytest

from core.analysis.sweep import exact_sweep, operating_point, route
from core.analysis.uncertainty import accuracy_interval, paired_difference, standard_errors
from core.benchmarks.sweep import synthetic_trace
from core.errors import UserError

SCORES, CORRECT, COST = synthetic_trace(400, 4)


def test_standard_errors_equal_those_of_the_examples():
    point = operating_point(SCORES, CORRECT, COST, 0.7)
    exits = route(SCORES, 0.7)
    errors = standard_errors(point, COST)
    right = CORRECT[np.arange(400), exits]
    assert float(errors.accuracy) == pytest.approx(right.std() / 20)
    assert float(errors.relative_cost) == pytest.approx(COST[exits].std() / 20)


def test_standard_errors_of_a_curve_are_those_of_its_points():
    sweep = exact_sweep(SCORES, CORRECT, COST)
    errors = standard_errors(sweep, COST)
    row = sweep.row(0.7)
    single = standard_errors(sweep.at(0.7), COST)
    assert errors.accuracy.shape == errors.relative_cost.shape == (len(sweep),)
    assert (errors.accuracy[row], errors.relative_cost[row]) == (single.accuracy, single.relative_cost)
    assert errors.relative_cost[0] == 0


def test_wilson_by_hand():
    # z = 2, n = 12, half right: middle 1/2, half-width 2 / (1 + 1/3) * sqrt(1/48 + 1/144)
    assert accuracy_interval(6, 12, z=2) == pytest.approx((0.25, 0.75))
    low, high = accuracy_interval(10, 10)
    assert high == pytest.approx(1) and 0.6 < low < 0.8
    assert accuracy_interval(0, 10)[0] == 0
    with pytest.raises(UserError, match="at least 1 example"):
        accuracy_interval(0, 0)


def test_paired_difference_equals_a_plain_bootstrap():
    first, second = route(SCORES, 0.9), route(SCORES, 0.6)
    result = paired_difference(CORRECT, first, second, COST, resamples=4000)
    rows = np.arange(400)
    gain = CORRECT[rows, second].astype(float) - CORRECT[rows, first]
    saved = COST[second] - COST[first]
    assert result.accuracy == pytest.approx(gain.mean()) and result.relative_cost == pytest.approx(saved.mean())
    assert result.accuracy_error == pytest.approx(gain.std() / 20, rel=0.1)
    assert result.cost_error == pytest.approx(saved.std() / 20, rel=0.1)
    drawn = saved[np.random.default_rng(1).integers(0, 400, (4000, 400))].mean(axis=1)
    assert result.cost_interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.1 * saved.std() / 20 * 4)
    assert result.accuracy_interval[0] < gain.mean() < result.accuracy_interval[1]


def test_the_same_policy_twice_differs_by_nothing():
    exits = route(SCORES, 0.5)
    result = paired_difference(CORRECT, exits, exits, COST, resamples=50)
    assert result.accuracy == result.accuracy_error == result.relative_cost == result.cost_error == 0
    with pytest.raises(UserError, match="at least 1 example"):
        paired_difference(CORRECT[:0], exits[:0], exits[:0], COST)
