"""The gap between two curves at equal cost, by hand."""

import numpy as np
import pytest

from core.analysis.gap import accuracy_gap
from core.analysis.sweep import Sweep


def sweep(cost, accuracy):
    rows = len(cost)
    return Sweep(np.linspace(1, 0, rows, dtype=np.float32), np.array(accuracy, float), np.array(cost, float),
                 np.full((rows, 2), 5, np.int32))  # fmt: skip


def test_two_straight_lines():
    first = sweep([1.0, 0.2], [0.9, 0.5])  # 0.5 + (c - 0.2) / 2
    second = sweep([0.8, 0.4], [0.7, 0.7])
    gap = accuracy_gap(first, second)
    assert (gap.low, gap.high) == (0.4, 0.8)
    assert gap.mean == pytest.approx(0.0, abs=1e-9)  # from -0.1 at 0.4 to +0.1 at 0.8
    assert abs(gap.largest) == pytest.approx(0.1)
    higher = accuracy_gap(first, sweep([0.8, 0.4], [0.6, 0.6]))
    assert higher.mean == pytest.approx(0.1) and higher.largest == pytest.approx(0.2) and higher.at == 0.8
    lower = accuracy_gap(sweep([0.8, 0.4], [0.6, 0.6]), first)
    assert (lower.mean, lower.largest) == pytest.approx((-0.1, -0.2))


def test_a_bend_between_is_seen():
    gap = accuracy_gap(sweep([1.0, 0.5, 0.0], [1.0, 0.8, 0.0]), sweep([1.0, 0.0], [1.0, 0.0]))
    assert gap.largest == pytest.approx(0.3) and gap.at == pytest.approx(0.5)
    assert gap.mean == pytest.approx(0.15, abs=1e-3)


def test_curves_that_never_cost_the_same_have_no_gap():
    assert accuracy_gap(sweep([1.0, 0.9], [1, 1]), sweep([0.5, 0.2], [1, 1])) is None
    point = accuracy_gap(sweep([0.5], [0.7]), sweep([0.5], [0.4]))
    assert point.mean == pytest.approx(0.3) and point.at == 0.5
