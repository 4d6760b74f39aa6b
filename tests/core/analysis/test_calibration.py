"""Temperatures and calibration error, on numbers worked out by hand."""

import numpy as np
import pytest

from core.analysis.calibration import (
    expected_calibration_error,
    fit_temperatures,
    negative_log_likelihood,
    reliability,
)
from core.errors import UserError
from core.trace import Trace


def trace_of(logits, labels):
    n, num_exits, _ = logits.shape
    cost = np.arange(1, num_exits + 1) / num_exits
    return Trace.from_outputs(logits, np.zeros((n, num_exits)), labels, np.arange(n), cost, "0" * 64, "calibration")


def test_temperature_undoes_a_scaling():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, (4000, 10))
    p = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    fitted = fit_temperatures(trace_of(np.stack([true, 3 * true, true / 2], axis=1), labels))
    assert fitted == pytest.approx((1, 3, 0.5), rel=0.06)


def test_two_classes_by_hand():
    # logits 2 against 0, three of four right: sigmoid(2 / T) = 3/4, T = 2 / log 3
    logits = np.zeros((4, 1, 2))
    logits[:, 0, 0] = 2
    assert fit_temperatures(trace_of(logits, np.array([0, 0, 0, 1])))[0] == pytest.approx(2 / np.log(3), rel=0.01)
    nll = -(3 * np.log(1 / (1 + np.exp(-1))) + np.log(1 / (1 + np.e))) / 4
    assert negative_log_likelihood(logits[:, 0], [0, 0, 0, 1], temperature=2) == pytest.approx(nll)


def test_always_right_always_wrong_and_one_class():
    logits = np.zeros((5, 1, 2))
    logits[:, 0, 0] = 2
    assert fit_temperatures(trace_of(logits, np.zeros(5, int)))[0] == pytest.approx(0.05, rel=0.6)
    assert fit_temperatures(trace_of(logits, np.ones(5, int)))[0] == pytest.approx(20, rel=0.01)
    assert fit_temperatures(trace_of(np.zeros((5, 2, 1)), np.zeros(5, int))) == (1.0, 1.0)


def test_reliability_by_hand():
    bins = reliability([0.1, 0.2, 0.5, 0.9, 1.0, np.nan], [False, True, True, True, True, False], bins=2)
    assert bins.edges.tolist() == [0, 0.5, 1] and bins.count.tolist() == [2, 3]
    assert bins.claimed == pytest.approx([0.15, 0.8]) and bins.right == pytest.approx([0.5, 1])
    assert bins.error == pytest.approx((2 * 0.35 + 3 * 0.2) / 5)


def test_empty_bins_do_not_count():
    assert expected_calibration_error(np.full(10, 0.75), [True] * 5 + [False] * 5) == pytest.approx(0.25)
    assert np.isnan(reliability([0.75], [True]).right).sum() == 14


def test_no_examples():
    with pytest.raises(UserError, match="at least 1 example"):
        reliability([], [])
    with pytest.raises(UserError, match="at least 1 example"):
        reliability([np.nan], [True])
    with pytest.raises(UserError, match="one score and one right/wrong"):
        reliability([0.5], [True, False])
    with pytest.raises(UserError, match="at least 1 example"):
        fit_temperatures(trace_of(np.zeros((3, 1, 2)), np.zeros(3, int)).select(np.zeros(3, bool)))
    with pytest.raises(UserError, match="small form"):
        fit_temperatures(trace_of(np.zeros((3, 1, 2)), np.zeros(3, int)).small())
