"""Sentences about robustness say what the numbers say."""

import numpy as np
import pytest

from app.harder import verdicts
from core.analysis.robustness import Robustness


def found(accuracy: list[float], certainty: list[float], cost: list[float]) -> Robustness:
    """Two corruptions of which the second is one point surer."""
    return Robustness(
        ("noise", "jpeg"),
        np.array([accuracy, accuracy]),
        np.array([cost, cost]),
        np.array([certainty, np.array(certainty) + 0.01]),
        np.ones((2, len(cost), 3)) / 3,
        2000,
    )


@pytest.mark.parametrize(
    ("right", "sure", "verdict"),
    [
        (0.60, 0.61, "it knows"),
        (0.60, 0.75, "it half knows"),
        (0.60, 0.88, "it hardly knows"),
        (0.895, 0.905, "there is little to know yet"),
    ],
)
def test_verdict(right: float, sure: float, verdict: str) -> None:
    first, second = verdicts(found([0.9, right], [0.91, sure], [0.4, 0.5]))
    assert first.startswith("As they are: 90.0\u202f% right")
    assert second.startswith(f"At severity 1 {verdict}: over all 2 corruptions, accuracy goes from 90.0\u202f% to")
    assert "the cost rises, 0.40 to 0.50" in second
    assert second.endswith(f"Most over-sure: JPEG, by {100 * (sure + 0.01 - right):.0f} points.")


def test_cost_may_fall_or_stay() -> None:
    assert "the cost falls" in verdicts(found([0.9, 0.5], [0.9, 0.5], [0.5, 0.4]))[1]
    assert "the cost stays" in verdicts(found([0.9, 0.5], [0.9, 0.5], [0.5, 0.501]))[1]
