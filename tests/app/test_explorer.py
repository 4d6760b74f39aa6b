"""What the explorer is given and what it gives back."""

import json
import math

import numpy as np
import pytest

from app import cache, explorer, gallery
from app.starting_point import starting_threshold
from app.state import View
from core.analysis.rules import RULES
from core.analysis.sweep import exact_sweep, route
from core.checkpoints import load_card
from core.trace import Trace

MODEL = "mnist/eenet8"
VIEW = View(MODEL, "confidence", (0.5,))


@pytest.fixture(scope="module")
def card():
    return load_card(MODEL)


@pytest.fixture
def trace(card):
    rng = np.random.default_rng(0)
    n, exits, classes = 60, card.num_exits, card.spec.num_classes
    return Trace.from_outputs(
        rng.normal(size=(n, exits, classes)),
        np.append(rng.normal(size=(n, exits - 1)), np.full((n, 1), np.inf), axis=1),
        rng.integers(classes, size=n),
        np.arange(n),
        card.cost.relative(),
        "0" * 64,
        "test",
    )


@pytest.mark.parametrize("axis", ["relative", "macs", "paper"])
@pytest.mark.parametrize("rule", RULES)
def test_the_payload_is_json_and_arrow(card, trace, rule, axis):
    view = View(MODEL, rule, (0.5,), axis=axis)
    table = cache.component_table(trace, rule)
    data = explorer.payload(view, card, trace, table, {"thresholds": [0.5], "off": [], "stretched": None}, 1)
    json.dumps(data["view"], allow_nan=False)
    assert set(map(str, table.dtypes)) == {"float32", "uint32"}
    bits = table["right0"].to_numpy()
    unpacked = (bits[:, None] >> np.arange(trace.num_exits)) & 1
    np.testing.assert_array_equal(unpacked.astype(bool), trace.correct)
    np.testing.assert_array_equal(table["score0"].to_numpy(), trace.rule_scores(rule)[:, 0])


def test_more_than_32_exits_take_another_word(card):
    rng = np.random.default_rng(1)
    wide = Trace.from_outputs(
        rng.normal(size=(20, 40, 3)), rng.normal(size=(20, 40)), rng.integers(3, size=20), np.arange(20),
        np.linspace(0.1, 1, 40), "1" * 64, "test",
    )  # fmt: skip
    table = cache.component_table(wide, "confidence")
    np.testing.assert_array_equal((table["right1"].to_numpy() >> 7) & 1, wide.correct[:, 39])


def test_what_a_handle_sends_is_taken():
    new = explorer.returned_view(VIEW, {"thresholds": [0.25, 1], "off": [1], "stretched": True}, 2)
    assert new == View(MODEL, "confidence", (0.25, 1.0), (1,), stretched=True)


@pytest.mark.parametrize(
    "point",
    [
        None,
        "0.5",
        {},
        {"thresholds": [0.5, 0.5, 0.5], "off": []},
        {"thresholds": ["a"], "off": []},
        {"thresholds": [math.nan], "off": []},
        {"thresholds": [2], "off": []},
        {"thresholds": [0.5], "off": [2]},
        {"thresholds": [0.5], "off": ["x"]},
        {"thresholds": [0.5], "off": None},
    ],
)
def test_nonsense_from_a_browser_changes_nothing(point):
    assert explorer.returned_view(VIEW, point, 2) == VIEW


def test_gallery_samples_are_fair_and_stay(trace):
    scores = trace.rule_scores("confidence")
    few, more = (route(scores, [t]) for t in (0.6, 0.5))
    first, second = (gallery.choose_examples(exits, trace.correct, 8) for exits in (few, more))
    for n, band in enumerate(first):
        assert len(band.rows) == min(8, band.count)
        assert all(few[row] == n for row in band.rows)
        assert band.wrong == (~trace.correct[few == n, n]).sum()
    assert sum(band.count for band in first) == trace.n
    # those shown at exit 1 leave there still when the threshold falls
    assert set(first[0].rows[:4]) <= set(gallery.choose_examples(more, trace.correct, 60)[0].rows)
    assert second[0].count >= first[0].count


def test_the_start_shows_something(trace):
    scores = trace.rule_scores("confidence")
    sweep = exact_sweep(scores, trace.correct, trace.relative_cost)
    assert starting_threshold(sweep, 0.5) == 0.5  # spreads well already
    chosen = starting_threshold(sweep, 0.0)
    assert sweep.exit_shares[sweep.row(chosen)].max() < 0.97
