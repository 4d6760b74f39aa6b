"""Plain functions behind *Try an image*."""

import itertools

import numpy as np
import pytest

from app.choice import read_row
from app.journey import leaves_by_threshold, shown_score
from app.picker import picked_image, sample_by_exit
from core.analysis.sweep import route


def test_leaves_by_threshold_is_what_routing_gives() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        scores = random.integers(0, 20, 5).astype(np.float32) / 20
        parts = leaves_by_threshold(scores.tolist())
        assert parts[0][0] == 0 and parts[-1][1] == 1
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
        for low, high, exit_ in parts:
            for threshold in (high, (low + high) / 2):
                assert route(scores[None], threshold)[0] == exit_


def test_exits_that_are_switched_off_take_nobody() -> None:
    assert leaves_by_threshold([0.5, 0.25, 0.75, 0.9], off=(0,)) == [(0.0, 0.25, 1), (0.25, 0.75, 2), (0.75, 1.0, 3)]


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.5, "0.50"), (0.9384, "0.93"), (0.996, "0.9960"), (0.99985, "0.99985"), (1 - 1e-7, "> 0.9999")],
)
def test_a_score_below_one_is_never_shown_as_one(score: float, text: str) -> None:
    assert shown_score(score) == text


@pytest.mark.parametrize(
    ("text", "row"),
    [("0", 0), ("9", 9), ("10", None), ("-1", None), ("1.0", None), ("²", None), ("", None), ("9" * 99, None)],
)
def test_read_row(text: str, row: int | None) -> None:
    assert read_row(text, 10) == row


@pytest.mark.parametrize("message", [None, True, -1, 10, 3.0, "3", {"id": 3}])
def test_a_senseless_message_picks_nothing(message: object) -> None:
    assert picked_image(message, 10) is None
    assert picked_image(3, 10) == 3


def test_a_sample_holds_images_of_its_exit_and_keeps_them() -> None:
    exits = np.random.default_rng(1).integers(0, 3, 500)
    bands = sample_by_exit(exits, 4, 12, seed=5)
    assert bands == sample_by_exit(exits, 4, 12, seed=5) != sample_by_exit(exits, 4, 12, seed=6)
    assert [len(band) for band in bands] == [12, 12, 12, 0]
    assert all(exits[row] == n for n, band in enumerate(bands) for row in band)
