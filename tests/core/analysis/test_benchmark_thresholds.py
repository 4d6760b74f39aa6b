"""The thresholds benchmark says what the traces say."""

import pytest

from core.analysis.sweep import exact_sweep, operating_point
from core.analysis.thresholds import Wish, fulfil
from core.benchmarks import thresholds
from core.checkpoints import load_trace

NAME = "mnist/eenet8"


def test_saved_cost_is_the_difference_at_equal_accuracy() -> None:
    numbers = thresholds.run(NAME)
    calibration, test = load_trace(NAME, "calibration"), load_trace(NAME, "test")
    assert [line["rule"] for line in numbers["wishes"]] == ["confidence"] * 4 + ["probability"] * 4
    for line in numbers["wishes"]:
        rule = line["rule"]
        chosen = fulfil(Wish("loss", line["points_lost_on_calibration"]), calibration, test, rule, per_exit=True)
        point = operating_point(test.scores[rule], test.correct, test.relative_cost, chosen.thresholds)
        assert line["test_accuracy"] == point.accuracy and line["per_exit_cost"] == point.relative_cost
        sweep = exact_sweep(test.scores[rule], test.correct, test.relative_cost)
        rows = [k for k in range(len(sweep)) if sweep.accuracy[k] >= point.accuracy]
        cheapest = min(float(sweep.relative_cost[k]) for k in rows) if rows else None
        assert line["shared_cost"] == cheapest
        if cheapest is not None:
            assert line["saved"] == pytest.approx(cheapest - point.relative_cost)
