"""Datasets as arrays in a canonical order that does not depend on which copy of the data they are read from."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import UserError

CALIBRATION_SIZE = 5_000
CALIBRATION_SEED = 20_240_917
DIGITS = tuple(str(digit) for digit in range(10))
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


@dataclass(frozen=True)
class ImageSet:
    """One part of a dataset.

    Args:
        images: (examples, channels, height, width) uint8.
        labels: (examples,) int64, indices into `class_names`.
        ids: (examples,) int64, the position in the canonical order of the split (train or test) it is a part of.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def load_images(dataset: str, part: str, data_dir: Path) -> ImageSet:
    """One part of a dataset, in canonical order.

    Args:
        dataset: `mnist` or `cifar10`.
        part: `training` (without the calibration images), `calibration` or `test`.
        data_dir: where the files lie: torchvision's own layout, or for CIFAR-10 two zips of one folder per class.
    """
    train = part != "test"
    images, labels, names = _READERS[dataset](train, Path(data_dir))
    images, labels = canonical_order(images, labels)
    ids = np.arange(len(labels))
    if train:
        ids = split_ids(len(labels), part)
    return ImageSet(images[ids], labels[ids], ids, names)


def canonical_order(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples sorted by the SHA-1 of their pixels, so that every copy of a dataset has the same ids."""
    digests = [hashlib.sha1(image.tobytes()).digest() for image in images]
    order = np.array(sorted(range(len(digests)), key=lambda i: (digests[i], labels[i])), dtype=np.int64)
    return images[order], labels[order]


def split_ids(n: int, part: str) -> np.ndarray:
    """Ids of the `training` or the `calibration` images among n, rising; the same for everybody, by a fixed seed."""
    calibration = np.sort(np.random.default_rng(CALIBRATION_SEED).permutation(n)[:CALIBRATION_SIZE])
    return calibration if part == "calibration" else np.setdiff1d(np.arange(n), calibration)


def _read_mnist(train: bool, data_dir: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from torchvision.datasets import MNIST

    data = MNIST(str(data_dir), train=train)
    return data.data.numpy()[:, None], data.targets.numpy().astype(np.int64), DIGITS


def _read_cifar10(train: bool, data_dir: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    archive = data_dir / ("cifar10-train.zip" if train else "cifar10-test.zip")
    if archive.exists():
        return _read_zip(archive)
    from torchvision.datasets import CIFAR10

    data = CIFAR10(str(data_dir), train=train)
    images = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))
    return images, np.array(data.targets, dtype=np.int64), CIFAR10_CLASSES


def _read_zip(archive: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if not name.endswith("/"))
        classes = tuple(sorted({name.split("/")[0] for name in names}))
        images = [np.asarray(Image.open(io.BytesIO(files.read(name))).convert("RGB")) for name in names]
    labels = np.array([classes.index(name.split("/")[0]) for name in names], dtype=np.int64)
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)), labels, classes


_READERS = {"mnist": _read_mnist, "cifar10": _read_cifar10}


def require(dataset: str) -> None:
    """Raises UserError for a dataset that has no reader."""
    if dataset not in _READERS:
        raise UserError(f"expected a dataset among {', '.join(_READERS)}, got {dataset!r}")
