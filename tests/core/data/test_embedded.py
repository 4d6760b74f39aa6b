"""Embedded test images: pixel-exact, small, quick; a damaged folder is one line."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from core.checkpoints import CHECKPOINTS
from core.data import embedded
from core.data.datasets import ImageSet, canonical_order
from core.data.embedded import (
    IMAGES_FILE,
    LABELS_FILE,
    load_embedded,
    load_embedded_set,
    load_labels,
    pixel_hash,
    thumbnails,
    write_embedded,
)
from core.errors import UserError

SHIPPED = {
    "mnist": ((10_000, 1, 28, 28), "e29fee7e75141b86bbbf94195f250cdbeef7bdeefcd9ffc687169531279e868e", 2_000_000),
    "cifar10": ((10_000, 3, 32, 32), "775355fb85182f738182810a737a714df490f8fd82772112f99a8354f23a0f2d", 18_500_000),
}


def some_images(n: int = 11, channels: int = 3, height: int = 6, width: int = 5) -> ImageSet:
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8)
    return ImageSet(images, rng.integers(0, 3, n), np.arange(n), ("a", "b", "c"))


@pytest.mark.parametrize("dataset", SHIPPED)
def test_shipped_images_are_the_originals_in_canonical_order(dataset):
    shape, sha256, largest = SHIPPED[dataset]
    images, known = load_embedded(dataset), load_labels(dataset)
    assert images.shape == known.shape == shape
    assert pixel_hash(images) == known.sha256 == sha256
    assert (CHECKPOINTS / dataset / IMAGES_FILE).stat().st_size <= largest
    counts = np.bincount(known.labels)
    assert len(counts) == len(known.class_names) == 10
    assert counts.min() >= 892 and counts.max() <= 1_135  # what the datasets' authors tell
    ordered, labels = canonical_order(images[::-1], known.labels[::-1])
    assert np.array_equal(ordered, images)
    assert np.array_equal(labels, known.labels)


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (2, 3), (9, 1), (10, 3), (11, 1)])
def test_round_trip(tmp_path, n, channels):
    images = some_images(n, channels)
    write_embedded("things", images, tmp_path)
    back = load_embedded_set("things", tmp_path)
    for field in ("images", "labels", "ids"):
        assert np.array_equal(getattr(back, field), getattr(images, field))
    assert back.images.dtype == np.uint8
    assert back.labels.dtype == np.int64
    assert back.class_names == images.class_names
    assert load_labels("things", tmp_path).sha256 == pixel_hash(images.images)
    assert sorted(path.name for path in (tmp_path / "things").iterdir()) == [LABELS_FILE, IMAGES_FILE]


def test_only_a_whole_test_set_is_embedded(tmp_path):
    images = some_images()
    with pytest.raises(ValueError, match="canonical order"):
        write_embedded("things", ImageSet(images.images, images.labels, images.ids + 1, ("a", "b", "c")), tmp_path)


def test_too_many_pixels_for_a_sheet(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "LARGEST_SHEET", 300)
    with pytest.raises(UserError, match="embed smaller ones"):
        write_embedded("things", some_images(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def refusal(folder) -> str:
    with pytest.raises(UserError) as caught:
        load_embedded_set(folder.name, folder.parent)
    message = str(caught.value)
    assert "\n" not in message and str(folder.parent) not in message
    assert message.startswith("expected ") and "got " in message and message.endswith("from where it came")
    return message


def test_nothing_embedded(tmp_path):
    assert "got none" in refusal(tmp_path / "things")


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [11, 3, 6]},
        {"shape": [11, 2, 6, 5]},
        {"shape": [11, 3, 6, 0]},
        {"shape": [11, 3, 7, 5]},
        {"shape": [10**9, 3, 6, 5]},
        {"labels": [0, 1]},
        {"labels": [7] * 11},
        {"labels": ["a"] * 11},
        {"class_names": "abc"},
        {"class_names": [1, 2, 3]},
        {"more": 1},
    ],
)
def test_wrong_label_files(tmp_path, change):
    write_embedded("things", some_images(), tmp_path)
    path = tmp_path / "things" / LABELS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refusal(path.parent)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_label_files_that_are_no_json_object(tmp_path, text):
    write_embedded("things", some_images(), tmp_path)
    (tmp_path / "things" / LABELS_FILE).write_text(text)
    refusal(tmp_path / "things")


def test_damaged_sheets(tmp_path):
    write_embedded("things", some_images(), tmp_path)
    path = tmp_path / "things" / IMAGES_FILE
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"text", b"\x89PNG" + whole):
        path.write_bytes(data)
        refusal(path.parent)
    path.unlink()
    assert "got no file" in refusal(path.parent)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_stand_in_the_order_of_the_ids(channels):
    images = some_images(9, channels, 8, 8).images
    ids = [7, 0, 3, 3, 8]
    sheet = decoded(thumbnails(images, ids, tile=16, columns=2))
    assert sheet.shape == (48, 32, 3)
    for place, example in enumerate(ids):
        top, left = place // 2 * 16, place % 2 * 16
        tile = sheet[top : top + 16, left : left + 16]
        expected = np.broadcast_to(images[example].transpose(1, 2, 0).repeat(2, axis=0).repeat(2, axis=1), tile.shape)
        assert np.array_equal(tile, expected)
    assert (sheet[32:, 16:] == 0).all()


def test_small_thumbnails_are_averaged():
    images = some_images(4, 3, 8, 8).images
    sheet = decoded(thumbnails(images, [2], tile=4))
    expected = images[2].reshape(3, 4, 2, 4, 2).mean(axis=(2, 4)).transpose(1, 2, 0)
    assert sheet.shape == (4, 4, 3)
    assert np.abs(sheet - expected).max() <= 1


def test_thumbnails_may_lose_detail_for_fewer_bytes():
    images = some_images(64, 3, 16, 16).images
    exact, lossy = thumbnails(images, range(64)), thumbnails(images, range(64), quality=50)
    assert len(lossy) < len(exact) / 2
    assert decoded(lossy).shape == decoded(exact).shape


@pytest.mark.parametrize("ids", [[], [0] * 40_000])
def test_sheets_of_no_or_too_many_thumbnails(ids):
    with pytest.raises(ValueError, match="expected ids"):
        thumbnails(some_images().images, ids, tile=32, columns=20)
