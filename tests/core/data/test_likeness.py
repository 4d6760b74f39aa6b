"""Plain measures of pictures against values worked out by hand."""

import numpy as np

from core.data.likeness import measures, unlike


def test_measures_by_hand() -> None:
    grey = np.array([[[[0, 100], [0, 100]]]], np.uint8)
    np.testing.assert_allclose(measures(grey), [[50, 50, 50]])  # 100 across, 0 down
    colour = np.zeros((1, 3, 2, 2), np.uint8)
    colour[:, 0] = 90
    np.testing.assert_allclose(measures(colour)[0, [0, 2, 3]], [30, 0, 90])


def test_many_pictures_are_measured_in_parts() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2_500, 1, 4, 4), dtype=np.uint8)
    np.testing.assert_allclose(measures(images)[1_999], measures(images[1_999:2_000])[0], rtol=1e-5)


def test_a_known_picture_is_not_unlike_and_a_white_one_is() -> None:
    images = np.random.default_rng(1).integers(0, 200, (3_000, 1, 6, 6), dtype=np.uint8)
    known = measures(images)
    ordinary = images[np.abs(known - np.median(known, axis=0)).sum(axis=1).argmin()]
    assert unlike(ordinary, known) == ()
    assert unlike(np.full((1, 6, 6), 255, np.uint8), known) == (
        "brighter than all",
        "flatter than all",
        "plainer than all",
    )


def test_equal_values_are_ordinary() -> None:
    known = measures(np.zeros((10, 1, 4, 4), np.uint8))
    assert unlike(np.zeros((1, 4, 4), np.uint8), known) == ()
