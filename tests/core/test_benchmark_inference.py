"""The inference benchmark runs and its numbers fit together."""

import pytest

from core.benchmarks import inference
from core.checkpoints import list_checkpoints


def test_numbers_fit_together() -> None:
    names = [entry.name for entry in list_checkpoints() if entry.card is not None and not entry.card.is_plain]
    numbers = inference.run(names[0], limit=64)
    assert numbers["n"] == 64
    assert numbers["early_images_per_second"] > 0
    assert 0 < numbers["relative_cost"] < 1.2
    assert numbers["share_over_cost"] == pytest.approx(numbers["wall_clock_share"] / numbers["cost_share"], abs=0.01)
    assert numbers["exits_unlike_one_at_a_time"] <= 1
