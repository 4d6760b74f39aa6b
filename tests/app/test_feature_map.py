"""The map's Python side: what the component is given, and what it may send back."""

import json

import numpy as np
import pytest

from app import cache, feature_map, theme
from core.analysis.sweep import route
from core.checkpoints import load_trace
from core.errors import UserError
from core.feature_map import load_feature_map

MODEL = "mnist/eenet8"


@pytest.fixture(scope="module")
def trace():
    return load_trace(MODEL, small=True)


@pytest.fixture(scope="module")
def found():
    return load_feature_map(MODEL)


def test_the_shipped_map_fits_the_shipped_trace(trace, found):
    assert np.array_equal(feature_map.load(MODEL, trace).neighbours, found.neighbours)
    assert found.neighbours.shape == (trace.n, trace.num_exits, 5)
    with pytest.raises(UserError, match="core map mnist/eenet8"):
        feature_map.load(MODEL, trace.select(np.arange(100)))


def test_the_table_holds_the_planes_and_what_is_drawn(trace, found):
    exits = route(trace.scores["confidence"], (0.5, 0.5))
    shown = trace.labels == 3
    table, reach = feature_map.points_table(found, trace, exits, shown)
    assert len(table) == trace.n and not any(dtype == np.int64 for dtype in table.dtypes)  # BigInt in the browser
    for n in range(trace.num_exits):
        plane = found.coordinates[:, n]
        drawn = table[[f"x{n}", f"y{n}"]].to_numpy().astype(float)
        assert drawn * np.abs(plane).max() / 32_000 == pytest.approx(plane, abs=float(np.abs(plane).max()) / 30_000)
        left, right, bottom, top = reach[n]
        assert (left, bottom) == tuple(drawn.min(axis=0)) and (right, top) == tuple(drawn.max(axis=0))
        assert np.array_equal(table[f"said{n}"], trace.predicted[:, n])
    assert np.array_equal(table["label"], trace.labels) and np.array_equal(table["exit"], exits)
    assert np.array_equal(table["shown"], shown) and np.array_equal(table["id"], trace.ids)


@pytest.mark.parametrize("colour", feature_map.COLOURS)
def test_the_payload_is_plain_and_counts_like_a_loop(trace, found, colour):
    card = cache.zoo().cards[MODEL]
    exits = route(trace.scores["confidence"], (0.5, 0.5))
    data = feature_map.payload(found, trace, card, exits, np.ones(trace.n, bool), colour)
    view = json.loads(json.dumps(data["view"], allow_nan=False))
    assert view["taken"] == [int((exits == n).sum()) for n in range(3)]
    for n in range(3):
        alike = [
            trace.labels[other] == trace.labels[row] for row in range(0, trace.n) for other in found.neighbours[row, n]
        ]
        assert view["alike"][n] == pytest.approx(np.mean(alike))
        assert view["explained"][n] == pytest.approx(found.explained[n].sum())
        assert view["accuracy"][n] == pytest.approx(trace.correct[:, n].mean())


def test_an_unknown_colour_is_refused(trace, found):
    with pytest.raises(ValueError, match="'mood'"):
        feature_map.payload(found, trace, cache.zoo().cards[MODEL], trace.labels, trace.labels == 1, "mood")


@pytest.mark.parametrize("message", [None, 3, "12", [10], [-1], [1.0], [True], list(range(11)), [[1]], {"rows": [1]}])
def test_a_senseless_message_picks_nothing(message):
    assert feature_map.picked_rows(message, 10) is None


def test_rows_are_sorted_and_unique():
    assert feature_map.picked_rows([3, 1, 3], 10) == [1, 3]
    assert feature_map.picked_rows([], 10) == []


@pytest.mark.parametrize("scheme", theme.SCHEMES)
def test_ten_colours_that_differ(scheme):
    assert len(set(feature_map.CLASSES[scheme])) == 10
