"""MNIST and CIFAR-10 in tiny files of the official formats, canonical order and splits."""

import gzip
import io
import struct
import urllib.error
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.data import datasets
from core.data.datasets import CIFAR10_CLASSES, canonical_order, dataset_name, load_images, split_ids
from core.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def unreachable(*arguments, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(datasets.urllib.request, "urlopen", unreachable)


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def write_mnist(root, n: int = 40, order=slice(None), packed: bool = False):
    """Both splits of a tiny MNIST; `order` shuffles its files."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for start, seed in (("train", 0), ("t10k", 1)):
        rng = np.random.default_rng(seed)
        images, labels = rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 10
        for kind, values in (("images-idx3", images[order]), ("labels-idx1", labels[order])):
            data = idx(values)
            if packed:
                (folder / f"{start}-{kind}-ubyte.gz").write_bytes(gzip.compress(data))
            else:
                (folder / f"{start}-{kind}-ubyte").write_bytes(data)
    return folder


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def write_cifar10(path, classes=CIFAR10_CLASSES, side: int = 32, per_class: int = 3) -> np.ndarray:
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (len(classes), per_class, side, side, 3), dtype=np.uint8)
    with zipfile.ZipFile(path, "w") as files:
        for name, members in zip(classes, images, strict=True):
            for number, image in enumerate(members):
                files.writestr(f"{name}/{number}.png", png(image))
    return images


def refusal(*arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        load_images(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message and "got" in message
    return message


def same(first, second) -> bool:
    return all(np.array_equal(getattr(first, f), getattr(second, f)) for f in ("images", "labels", "ids"))


def test_mnist_parts(tmp_path):
    write_mnist(tmp_path)
    parts = {part: load_images("mnist", part, tmp_path) for part in datasets.PARTS}
    assert {part: len(data) for part, data in parts.items()} == {"training": 32, "calibration": 8, "test": 40}
    for data in parts.values():
        assert data.images.dtype == np.uint8 and data.images.shape[1:] == (1, 28, 28)
        assert data.labels.dtype == data.ids.dtype == np.int64
        assert data.class_names == tuple("0123456789")
        assert data.problems == ()
    both = np.concatenate([parts["training"].ids, parts["calibration"].ids])
    assert sorted(both) == list(range(40))


def test_every_copy_has_the_same_ids(tmp_path):
    write_mnist(tmp_path / "a")
    write_mnist(tmp_path / "b", order=np.random.default_rng(3).permutation(40))
    write_mnist(tmp_path / "c", packed=True)
    for part in datasets.PARTS:
        first, *others = (load_images("mnist", part, tmp_path / copy) for copy in "abc")
        assert all(same(first, other) for other in others)


def test_labels_stay_with_their_images(tmp_path):
    write_mnist(tmp_path)
    data = load_images("mnist", "test", tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (40, 28, 28))
    for image, label in zip(data.images[:, 0], data.labels, strict=True):
        assert label == np.flatnonzero((images == image).all(axis=(1, 2)))[0] % 10


def test_canonical_order_is_by_sha1_then_label():
    images = np.array([[[[1]]], [[[0]]], [[[1]]]], dtype=np.uint8)
    ordered, labels = canonical_order(images, np.array([5, 3, 4]))
    # SHA-1 of the byte 0 starts with 5ba9, that of the byte 1 with bf8b
    assert ordered.ravel().tolist() == [0, 1, 1]
    assert labels.tolist() == [3, 4, 5]


def test_calibration_ids_are_fixed():  # trained checkpoints depend on them
    calibration = split_ids(50_000, "calibration")
    assert len(calibration) == 5_000
    assert calibration[:3].tolist() == [0, 8, 15]
    assert calibration.sum() == 127_183_920
    digits = split_ids(60_000, "calibration")
    assert (len(digits), digits[:3].tolist(), digits.sum()) == (5_000, [15, 26, 32], 149_610_432)
    assert len(split_ids(1_000, "calibration")) == 200
    assert np.array_equal(np.union1d(calibration, split_ids(50_000, "training")), np.arange(50_000))


def test_missing_mnist_says_where_to_put_it(tmp_path):
    message = refusal("mnist", "test", tmp_path, download=False)
    assert str(tmp_path / "MNIST" / "raw") in message and "--data-dir" in message
    message = refusal("mnist", "test", tmp_path)
    assert "no network" in message and "--data-dir" in message


def test_missing_cifar10_says_where_to_put_it(tmp_path):
    for download in (True, False):
        message = refusal("cifar10", "test", tmp_path, download=download)
        assert f"put cifar-10-batches-py/ or cifar10-test.zip into {tmp_path}" in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:3],
        lambda data: b"",
        lambda data: data + b"\0",
        lambda data: b"\0\0\x0b" + data[3:],
        lambda data: b"not an IDX file at all",
        lambda data: data[:4] + b"\xff" * 12 + data[16:],
    ],
)
def test_damaged_idx_files(tmp_path, damage):
    folder = write_mnist(tmp_path)
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    assert "replace" in refusal("mnist", "test", tmp_path)
    assert len(load_images("mnist", "training", tmp_path)) == 32


def test_damaged_gzip(tmp_path):
    path = write_mnist(tmp_path, packed=True) / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    assert "replace" in refusal("mnist", "test", tmp_path)


@pytest.mark.parametrize("values", [np.arange(39) % 10, np.full(40, 10), np.zeros((40, 1))])
def test_labels_that_do_not_fit(tmp_path, values):
    (write_mnist(tmp_path) / "t10k-labels-idx1-ubyte").write_bytes(idx(values))
    assert "replace" in refusal("mnist", "test", tmp_path)


def test_cifar10_zip(tmp_path):
    images = write_cifar10(tmp_path / "cifar10-test.zip")
    data = load_images("cifar10", "test", tmp_path)
    assert data.images.shape == (30, 3, 32, 32)
    assert data.class_names == CIFAR10_CLASSES
    for image, label in zip(data.images, data.labels, strict=True):
        assert (images[label] == image.transpose(1, 2, 0)).all(axis=(1, 2, 3)).any()


def test_damaged_cifar10_zips(tmp_path):
    path = tmp_path / "cifar10-test.zip"
    write_cifar10(path, side=16)
    assert "32 x 32" in refusal("cifar10", "test", tmp_path)
    write_cifar10(path, classes=("cat", "dog"))
    assert "ten class folders" in refusal("cifar10", "test", tmp_path)
    write_cifar10(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "zip" in refusal("cifar10", "test", tmp_path)


def test_wrong_cifar10_files(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"no pickle")
    assert "replace them" in refusal("cifar10", "test", tmp_path)


@pytest.mark.parametrize("dataset", ["nothing", "", "a\nb", "x" * 300])
def test_unknown_datasets(tmp_path, dataset):
    assert "correct the path" in refusal(dataset, "test", tmp_path / "none")


def test_unknown_part(tmp_path):
    with pytest.raises(ValueError, match="part is one of"):
        load_images("mnist", "train", tmp_path)


def test_names_for_folders():
    assert dataset_name("mnist") == "mnist"
    assert dataset_name("/somewhere/My Pets (2).zip") == "my-pets-2"
    assert dataset_name("pets/") == "pets"
    assert dataset_name("/") == "images"
