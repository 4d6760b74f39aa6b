"""Wishes, files to take along and comparisons on the shipped network."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from app import cache, charts, compare, share, timing, wish
from app.state import View
from core.analysis.policy import parse_policy
from core.analysis.rules import RULES
from core.analysis.sweep import exact_sweep, operating_point
from core.analysis.thresholds import Wish
from core.checkpoints import load_trace

MODEL = "mnist/eenet8"


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "KEPT", tmp_path / "timings")


def point(view, split, fitted=None):
    trace = load_trace(view.model, split)
    scores = trace.rule_scores(view.rule, fitted)
    return operating_point(scores, trace.correct, trace.relative_cost, view.effective(trace.num_exits - 1))


@pytest.mark.parametrize("per_exit", [False, True])
@pytest.mark.parametrize(("kind", "value"), [("loss", 0.3), ("accuracy", 0.98), ("cost", 0.6)])
def test_a_wish_moves_the_thresholds_and_says_what_came_of_it(kind, value, per_exit):
    view, note = wish.apply(Wish(kind, value), per_exit, View(MODEL, "confidence", (0.5,)), None)
    assert len(view.thresholds) == (2 if per_exit else 1)
    tested = point(view, "test")
    full_on_test = load_trace(MODEL, "test").correct[:, -1].mean()
    kept = Wish(kind, value).holds(tested, full_on_test)
    assert note["title"].startswith("Wish kept" if kept else "Missed on test by ")
    chosen = point(view, "calibration")
    full = load_trace(MODEL, "calibration").correct[:, -1].mean()
    assert Wish(kind, value).holds(chosen, full)
    assert f"{100 * chosen.accuracy:.1f} % right at cost {chosen.relative_cost:.3f}" in note["text"]
    assert [np.float32(t) for t in note["thresholds"]] == [np.float32(t) for t in view.effective(2)]


def test_a_wish_too_far_names_the_nearest():
    view, note = wish.apply(Wish("cost", 0.01), False, View(MODEL, "confidence", (0.5,)), None)
    assert note["title"] == "Wish cannot be met" and "nearest" in note["text"]
    assert point(view, "calibration").relative_cost < 0.6


def test_a_miss_is_told_in_the_unit_of_the_wish():
    assert wish.missed_by(Wish("cost", 0.5), 0.9, 0.5021, 0.95) == "0.003"
    assert wish.missed_by(Wish("accuracy", 0.9), 0.8996, 0.5, 0.95) == "0.1 points"
    assert wish.missed_by(Wish("loss", 1.0), 0.93, 0.5, 0.95) == "1.0 points"


@pytest.mark.parametrize("kind", ["loss", "accuracy", "cost"])
@pytest.mark.parametrize("name", [MODEL, "cifar10/eenet20"])
def test_the_first_wish_of_each_kind_can_be_met(kind, name):
    asked = wish.field(kind, cache.zoo().cards[name])
    assert asked.low <= asked.start <= asked.high
    _, note = wish.apply(Wish(kind, asked.start / asked.unit), False, View(name, "probability", (0.5,)), None)
    assert note["title"] != "Wish cannot be met"
    assert asked.help


def test_a_wish_leaves_switched_off_exits_alone():
    view, _ = wish.apply(Wish("cost", 0.9), False, View(MODEL, "probability", (0.5,), off=(0,)), None)
    assert view.off == (0,)
    assert point(view, "calibration").exit_counts[0] == 0


def test_a_wish_at_fitted_temperatures():
    fitted = cache.temperatures(MODEL)
    view, note = wish.apply(Wish("loss", 0.2), False, View(MODEL, "probability", (0.5,), calibrated=True), fitted)
    assert f"{100 * point(view, 'test', fitted).accuracy:.1f} %" in note["text"]


@pytest.mark.parametrize(("off", "rule"), [((), "probability"), ((1,), "margin")])
def test_the_curve_as_csv_is_the_exact_one(off, rule):
    trace = load_trace(MODEL, small=True)
    text = share.curve_csv(View(MODEL, rule, (0.5,), off), trace, None)
    table = pd.read_csv(io.StringIO(text), comment="#")
    sweep = exact_sweep(
        trace.rule_scores(rule), trace.correct, trace.relative_cost, [n not in off for n in range(trace.num_exits - 1)]
    )
    np.testing.assert_array_equal(table["threshold"].to_numpy(np.float32), sweep.threshold)
    np.testing.assert_allclose(table["accuracy"], sweep.accuracy, rtol=1e-12)
    np.testing.assert_array_equal(table[[f"exit_{n}_count" for n in (1, 2, 3)]].to_numpy(), sweep.exit_counts)
    assert trace.checkpoint_hash in text.splitlines()[0]


def test_the_policy_file_says_what_the_page_says():
    view = View(MODEL, "probability", (0.9, 0.25), off=(1,), calibrated=True)
    fitted = cache.temperatures(MODEL)
    policy = parse_policy(share.policy(view, fitted, "by hand").to_json())
    assert policy.thresholds == (float(np.float32(0.9)), 1.0)
    assert policy.temperatures == fitted
    assert json.loads(policy.to_json())["checkpoint"] == MODEL
    tested = next(measured for measured in policy.gave if measured.split == "test")
    assert tested.accuracy == point(view, "test", fitted).accuracy


def test_the_front_is_measured_on_test():
    front = cache.tested_front(MODEL, "confidence", None, ())
    assert 2 <= len(front.accuracy) <= 40
    for row, accuracy in zip(front.front.thresholds, front.accuracy, strict=True):
        view = View(MODEL, "confidence", tuple(float(t) for t in row))
        assert point(view, "test").accuracy == accuracy


def test_the_table_compares_exact_curves():
    rows = [(MODEL, rule) for rule in RULES]
    table = compare.table(rows, cache.zoo(), 0.985)
    assert list(table["rule"]) == [rule.label.lower() for rule in RULES.values()]
    assert ((table["cost"] > 0.4) & (table["cost"] < 1.1)).all()
    assert table["area under the curve"].between(90, 100).all()
    assert compare.table(rows[:1], cache.zoo(), 1.0)["cost"].isna().all()


@pytest.mark.parametrize("axis", ["relative", "macs", "paper"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chart_draws_every_curve_and_its_band(axis, scheme):
    curves = [
        compare.curve(MODEL, rule, cache.zoo(), axis, band=True, colour=0, dash=n) for n, rule in enumerate(RULES)
    ]
    figure = charts.compare_curves(curves, axis, scheme)
    assert len(figure.data) == 2 * len(RULES)
    assert all("<br>" in trace.hovertemplate for trace in figure.data if trace.mode == "lines")


def test_times_are_measured_kept_and_read_back():
    parts = []
    measured = timing.measure(MODEL, "cpu", parts.append)
    assert parts[-1] == 1.0 and len(measured.exits) == 3 and measured.full > 0
    assert timing.stored(MODEL, "cpu", 3) == measured
    assert timing.stored(MODEL, "cpu", 5) is None
    next(timing.KEPT.iterdir()).write_text('{"device": "x"}', encoding="utf-8")
    assert timing.stored(MODEL, "cpu", 3) is None
