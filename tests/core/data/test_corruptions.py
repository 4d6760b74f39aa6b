"""Every corruption at every severity: shape, type, sameness, strength."""

import numpy as np
import pytest

from core.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt, get_corruption
from core.data.embedded import load_embedded
from core.errors import UserError


def scenes(channels: int, size: int, n: int = 6) -> np.ndarray:
    """Slopes from left to right with an edge and a grain: each quarter turn less is nearer to what it was."""
    rng = np.random.default_rng(channels * 1000 + size)
    y, x = np.mgrid[0:size, 0:size] / size
    slopes = rng.uniform(100, 150, (n, channels, 1, 1)) * x + 60 * (y + x > 0.9)
    return (slopes + rng.uniform(0, 30, (n, channels, size, size))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [28, 32, 96])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_type_sameness_and_strength(name: str, channels: int, size: int) -> None:
    images = scenes(channels, size)
    images.setflags(write=False)  # as the pages share them
    changes = []
    for severity in range(SEVERITIES + 1):
        harder = corrupt(images, name, severity)
        assert harder.shape == images.shape and harder.dtype == np.uint8
        np.testing.assert_array_equal(harder, corrupt(images, name, severity))
        alone = np.concatenate([corrupt(images[i : i + 1], name, severity) for i in range(len(images))])
        np.testing.assert_array_equal(harder, alone)  # a picture does not depend on its neighbours in the batch
        changes.append(np.abs(harder.astype(float) - images).mean())
    assert changes[0] == 0 and np.all(np.diff(changes) > 0)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_changes_real_images_more(name: str, dataset: str) -> None:
    images = load_embedded(dataset)[:100]
    changes = [np.abs(corrupt(images, name, s).astype(float) - images).mean() for s in range(SEVERITIES + 1)]
    assert changes[0] == 0 and np.all(np.diff(changes) > 0)


def test_chance_differs_from_picture_to_picture() -> None:
    images = scenes(1, 32, n=40)
    images[:, 0, 0, 0] = np.arange(40)
    added = corrupt(images, "noise", 3).astype(int) - images
    assert len(np.unique(added.reshape(40, -1), axis=0)) == 40
    grey = corrupt(images, "occlusion", 5) == 128
    assert len({tuple(np.argwhere(mask)[0]) for mask in grey[:, 0]}) > 10


def test_severity_zero_is_a_copy() -> None:
    images = scenes(3, 32)
    same = corrupt(images, "blur", 0)
    same[:] = 0
    assert images.any()


def test_words() -> None:
    assert get_corruption("noise").describe(0) == "unchanged"
    assert get_corruption("noise").describe(4) == "sigma 0.08"
    assert get_corruption("jpeg").describe(2) == "quality 50"
    assert get_corruption("contrast").describe(3) == "50\u202f% kept"
    for corruption in CORRUPTIONS.values():
        assert len(corruption.levels) == SEVERITIES


@pytest.mark.parametrize(
    ("images", "name", "severity", "word"),
    [
        (np.zeros((1, 1, 8, 8), np.uint8), "fog", 1, "fog"),
        (np.zeros((1, 1, 8, 8), np.uint8), "noise", 6, "severity"),
        (np.zeros((1, 1, 8, 8), np.uint8), "noise", -1, "severity"),
        (np.zeros((1, 1, 8, 8), np.float32), "noise", 1, "uint8"),
        (np.zeros((1, 8, 8), np.uint8), "noise", 1, "uint8"),
        (np.zeros((1, 2, 8, 8), np.uint8), "noise", 1, "uint8"),
    ],
)
def test_what_makes_no_sense_is_one_line(images: np.ndarray, name: str, severity: int, word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        corrupt(images, name, severity)
    assert "\n" not in str(error.value)


def test_no_picture_and_tiny_pictures() -> None:
    assert corrupt(np.zeros((0, 1, 28, 28), np.uint8), "noise", 3).shape == (0, 1, 28, 28)
    for name in CORRUPTIONS:
        assert corrupt(np.zeros((1, 1, 2, 3), np.uint8), name, 5).shape == (1, 1, 2, 3)
