"""Plain measures of pictures against values worked out by hand."""

import numpy as np

from core.data.likeness import Reference, evenly, measures, unlike


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


def test_distances_of_the_test_images_are_those_with_each_left_out() -> None:
    features = np.random.default_rng(2).normal(size=(60, 4)) @ np.array(
        [[1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 3, 1], [0, 0, 0, 1.0]]
    )
    reference = Reference.fit(features.astype(np.float32), ridge=0.0)
    expected = []
    for i in range(60):
        rest = np.delete(features, i, axis=0)
        z = features[i] - rest.mean(axis=0)
        expected.append(z @ np.linalg.inv((rest - rest.mean(axis=0)).T @ (rest - rest.mean(axis=0))) @ z)
    np.testing.assert_allclose(reference.distances, np.sort(expected), rtol=1e-3)


def test_fresh_pictures_of_the_kind_are_spread_evenly_and_others_stand_out() -> None:
    random = np.random.default_rng(3)
    mixing = random.normal(size=(20, 20))
    reference = Reference.fit((random.normal(size=(1_000, 20)) @ mixing).astype(np.float32), available=10_000)
    shares = [reference.share_nearer((random.normal(size=20) @ mixing).astype(np.float32)) for _ in range(400)]
    assert 0.42 < np.mean(shares) < 0.58 and 0.02 < np.mean(np.array(shares) > 0.95) < 0.1
    assert reference.share_nearer((6 * random.normal(size=20) @ mixing).astype(np.float32)) == 1
    assert reference.share_nearer(reference.mean.astype(np.float32)) == 0
    assert (reference.n, reference.available) == (1_000, 10_000)


def test_a_feature_that_never_moves_does_no_harm() -> None:
    features = np.ones((10, 3), np.float32)
    features[:, 0] = np.arange(10)
    reference = Reference.fit(features)
    assert np.isfinite(reference.distances).all() and reference.share_nearer(features[4]) < 0.5


def test_evenly() -> None:
    assert evenly(10, 4).tolist() == [0, 3, 6, 9] and evenly(3, 1_000).tolist() == [0, 1, 2]
    assert len(np.unique(evenly(10_000, 1_000))) == 1_000
