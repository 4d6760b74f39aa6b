"""What is said about a picture from outside: exact about the comparison, sure of nothing."""

import numpy as np
import pytest

from app.unusual import words
from core.data.likeness import Reference

REFERENCE = Reference.fit(np.random.default_rng(0).normal(size=(1_000, 3)).astype(np.float32), available=10_000)


@pytest.mark.parametrize(
    ("share", "found", "unusual", "parts"),
    [
        (0.372, (), False, ("37.2\u202f% of 1,000 of the 10,000 MNIST test images", "no proof", "10 classes")),
        (0.992, (), True, ("99.2\u202f% of 1,000", "proves nothing")),
        (1.0, ("brighter than all", "busier than all"), True, ("than all of", "brighter than all and busier than all")),
        (0.5, ("darker than all",), True, ("Unlike the 10,000 MNIST", "darker than all", "50.0\u202f%")),
    ],
)
def test_words(share: float, found: tuple[str, ...], unusual: bool, parts: tuple[str, ...]) -> None:
    text, said = words(share, found, REFERENCE, "MNIST", 10)
    assert said is unusual and "\n" not in text
    for part in parts:
        assert part in text


def test_all_test_images_are_said_to_be_all() -> None:
    few = Reference.fit(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32))
    assert "of the 500 own test images" in words(0.3, (), few, "own", 7)[0]
