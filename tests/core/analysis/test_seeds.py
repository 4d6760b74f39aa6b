"""Spread over seeds, groups of recipes, and bands of curves, by hand."""

import math

import numpy as np
import pytest

from core.analysis.seeds import band, best_at, frontier, same_but_for_seed, spread
from core.errors import UserError


def test_spread_of_three():
    found = spread([0.90, 0.94, 0.92])
    assert found.mean == pytest.approx(0.92)
    assert found.deviation == pytest.approx(0.02)  # squares .0004 + .0004 + 0, over 2
    assert (found.low, found.high) == (0.90, 0.94)
    assert math.isnan(spread([0.5]).deviation)
    with pytest.raises(UserError, match="expected at least 1 value"):
        spread([])


def test_recipes_that_differ_in_the_seed_alone_belong_together():
    base = {"loss": "fused", "network": {"exits": 2}, "epochs": 3, "training_seconds": 9}
    recipes = {
        "a/second": base | {"seed": 2},
        "a/first": base | {"seed": 1, "training_seconds": 700},
        "a/again": base | {"seed": 1},
        "a/longer": base | {"seed": 3, "epochs": 4},
        "a/other": base | {"seed": 3, "network": {"exits": 3}},
        "b/imported": {"source": "elsewhere"},
        "b/imported-too": {"source": "elsewhere"},
    }
    assert same_but_for_seed(recipes) == [("a/first", "a/second")]
    assert same_but_for_seed({}) == []


def test_best_at_a_cost():
    accuracy, cost = [0.9, 0.95, 0.7], [0.6, 0.5, 0.2]
    assert best_at(accuracy, cost, 0.49) == 0.7
    assert best_at(accuracy, cost, 0.5) == 0.95
    assert best_at(accuracy, cost, 1.0) == 0.95
    assert best_at(accuracy, cost, 0.1) is None


def test_the_front_drops_what_a_cheaper_point_matches():
    accuracy, cost = frontier([0.8, 0.7, 0.9, 0.9, 0.6, 0.7], [0.5, 0.6, 0.7, 0.9, 0.3, 0.3])
    assert accuracy.tolist() == [0.7, 0.8, 0.9]
    assert cost.tolist() == [0.3, 0.5, 0.7]


def test_a_band_by_hand():
    first = ([0.6, 0.8], [0.125, 0.625])
    second = ([0.9, 0.7, 0.5], [1.0, 0.5, 0.25])
    found = band([first, second], points=7)
    assert found.cost.tolist() == [0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]
    low, high = [], []
    for cost in found.cost:  # plain loops over both curves
        best = [max(a for a, c in zip(*curve, strict=True) if c <= cost) for curve in (first, second)]
        low.append(min(best))
        high.append(max(best))
    assert found.low == pytest.approx(low) and low[0] == 0.5
    assert found.high == pytest.approx(high) and high[-1] == 0.9
    assert found.mean == pytest.approx((np.array(low) + high) / 2)
    with pytest.raises(UserError, match="expected at least 1 curve"):
        band([])
