"""Reference points on numbers worked out by hand."""

import numpy as np
import pytest

from core.analysis.reference_points import always_leave_at, area_under_curve, cost_at_accuracy, oracle
from core.errors import UserError

CORRECT = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 1]], bool)
COST = [0.25, 0.5, 1.25]


def test_always_leave_at():
    points = always_leave_at(CORRECT, COST)
    assert [point.accuracy for point in points] == [0.25, 0.25, 0.75]
    assert [point.relative_cost for point in points] == COST
    assert points[1].exit_counts == (0, 4, 0)


def test_oracle_leaves_at_the_first_right_exit_or_at_the_first():
    point = oracle(CORRECT, COST)
    assert point.exit_counts == (2, 1, 1) and point.accuracy == 0.75
    assert point.relative_cost == (0.25 * 2 + 0.5 + 1.25) / 4


def test_area_carries_the_best_so_far():
    # from 0.2: 0.5 until 0.4, then 0.8 (0.7 at 0.6 is worse, 0.9 at 1.1 is out)
    area = area_under_curve([0.9, 0.7, 0.8, 0.5], [1.1, 0.6, 0.4, 0.2], 0.2)
    assert area == pytest.approx((0.5 * 0.2 + 0.8 * 0.6) / 0.8)
    assert area_under_curve([0.8], [0.6], 0.2) == pytest.approx(0.8 * 0.4 / 0.8)
    assert area_under_curve([0.8], [1.2], 0.2) == 0
    assert area_under_curve([0.93], [1.0], 1.0) == 0.93


def test_cost_at_accuracy():
    assert cost_at_accuracy([0.9, 0.8, 0.85], [1.0, 0.2, 0.5], 0.81) == 0.5
    assert cost_at_accuracy([0.9], [1.0], 0.95) is None


def test_no_examples():
    with pytest.raises(UserError, match="at least 1 example"):
        oracle(np.zeros((0, 3)), COST)
