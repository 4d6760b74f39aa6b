"""Datasets as arrays in a canonical order that does not depend on which copy of the data they are read from."""

import gzip
import hashlib
import re
import struct
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.data.archive import Archive
from core.data.decode import decode_image, printable
from core.data.folders import folder_classes, read_folder
from core.data.preprocess import LARGEST_SIZE
from core.data.svhn import FILES as SVHN_FILES
from core.data.svhn import SVHN_CLASSES, read_svhn
from core.data.tiny_imagenet import ADDRESS as TINY_IMAGENET_ADDRESS
from core.data.tiny_imagenet import FILE as TINY_IMAGENET_FILE
from core.data.tiny_imagenet import read_tiny_imagenet
from core.errors import UserError

PARTS = ("training", "calibration", "test")
CALIBRATION_SIZE = 5_000
CALIBRATION_SEED = 20_240_917
SMALLEST_CALIBRATION_SHARE = 5  # of a small dataset one in five
DIGITS = tuple(str(digit) for digit in range(10))
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_PROBE_SECONDS = 10


@dataclass(frozen=True)
class ImageSet:
    """One part of a dataset.

    Args:
        images: (examples, channels, height, width) uint8.
        labels: (examples,) int64, indices into `class_names`.
        ids: (examples,) int64, the position in the canonical order of the split (train or test) it is a part of.
        problems: one line for each image that was left out because it could not be read.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    class_names: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


class _Split(NamedTuple):
    """Train or test, in whatever order it was read."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    problems: tuple[str, ...] = ()


def load_images(
    dataset: str,
    part: str,
    data_dir: Path,
    *,
    download: bool = True,
    channels: int = 3,
    size: int = 32,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ImageSet:
    """One part of a dataset, in canonical order.

    Args:
        dataset: `mnist`, `cifar10`, `svhn`, `tiny-imagenet`, or a folder or zip with one sub-folder per class (a path,
            also below `data_dir`).
        part: `training` (without the calibration images), `calibration` or `test`.
        data_dir: where the files lie: torchvision's own layout, or for CIFAR-10 two zips of one folder per class; for
            Tiny-ImageNet the official zip.
        download: whether torchvision may fetch MNIST, CIFAR-10 or SVHN into `data_dir` where it is missing.
        channels, size: for a folder or zip: 1 (grey) or 3, and the side its images are resized to.
        report: for a folder or zip: called with the number of images read and their total.

    Raises:
        UserError: the dataset is missing (the line says where to put it), damaged, or no folder of classes.
    """
    if part not in PARTS:
        raise ValueError(f"part is one of {PARTS}, not {part!r}")
    train = part != "test"
    if dataset in _READERS:
        split = _READERS[dataset](train, Path(data_dir), download)
    else:
        _check_size(channels, size)
        split = _Split(*read_folder(find_folder(dataset, Path(data_dir)), train, channels, size, report))
    images, labels = canonical_order(split.images, split.labels)
    ids = split_ids(len(labels), part) if train else np.arange(len(labels))
    return ImageSet(images[ids], labels[ids], ids, split.class_names, split.problems)


def outline(dataset: str, data_dir: Path, channels: int = 3, size: int = 32) -> tuple[tuple[int, int, int], int, int]:
    """Input shape, number of classes and about how many training images, without reading the images.

    Args:
        channels, size: for a folder or zip, as in `load_images`.

    Raises:
        UserError: a folder or zip that is not there, or whose names say that it cannot be used.
    """
    if dataset in _OUTLINES:
        return _OUTLINES[dataset]
    _check_size(channels, size)
    classes, count = folder_classes(find_folder(dataset, data_dir))
    return (channels, size, size), len(classes), count - min(CALIBRATION_SIZE, count // SMALLEST_CALIBRATION_SHARE)


def _check_size(channels: int, size: int) -> None:
    if channels not in (1, 3) or not 1 <= size <= LARGEST_SIZE:
        raise UserError(
            f"expected 1 or 3 channels and a size of 1 to {LARGEST_SIZE} pixels, got {channels} and {size}: correct it"
        )


def missing_files(dataset: str, data_dir: Path) -> str | None:
    """One line on what of a named dataset is not below `data_dir`; None where nothing is missing."""
    raw, archives = data_dir / "MNIST" / "raw", ("cifar10-train.zip", "cifar10-test.zip")
    batches = "cifar-10-batches-py"
    if dataset == "mnist":
        names = [f"{start}-{kind}-ubyte" for start in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
        there, where = all(_idx_file(raw, name) for name in names), f"the four files *-ubyte in {raw}"
    elif dataset == "cifar10":
        there = (data_dir / batches).is_dir() or all((data_dir / name).is_file() for name in archives)
        where = f"{batches}/, or {' and '.join(archives)}, in {data_dir}"
    elif dataset == "svhn":
        there = all((data_dir / name).is_file() for name in SVHN_FILES.values())
        where = f"{' and '.join(SVHN_FILES.values())} in {data_dir}"
    elif dataset == "tiny-imagenet":
        there = (data_dir / TINY_IMAGENET_FILE).is_file()
        where = f"{TINY_IMAGENET_FILE} in {data_dir} (from {TINY_IMAGENET_ADDRESS})"
    else:
        return None
    return None if there else f"expected {where}, got no such files: put them there or name another data directory"


def find_folder(dataset: str, data_dir: Path) -> Path:
    """The folder or zip that a dataset's name means.

    Raises:
        UserError: there is none.
    """
    for path in (Path(dataset).expanduser(), data_dir / dataset):
        try:
            if dataset and (path.is_dir() or path.is_file()):
                return path.resolve()
        except OSError:  # a name that no file system takes
            break
    raise UserError(
        f"expected a dataset: {', '.join(_READERS)}, or a folder or zip with one sub-folder per class, "
        f"got {printable(dataset)!r}, which is not there: correct the path"
    )


def dataset_name(dataset: str) -> str:
    """A name for the dataset fit for a folder and a title: `mnist`, or the end of the path in small letters."""
    if dataset in _READERS:
        return dataset
    stem = Path(dataset).expanduser().resolve().name.removesuffix(".zip")
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "images"


def canonical_order(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples sorted by the SHA-1 of their pixels, so that every copy of a dataset has the same ids."""
    digests = [hashlib.sha1(image.tobytes()).digest() for image in images]
    order = np.array(sorted(range(len(digests)), key=lambda i: (digests[i], labels[i])), dtype=np.int64)
    return images[order], labels[order]


def split_ids(n: int, part: str) -> np.ndarray:
    """Ids of the `training` or the `calibration` images among n, rising; the same for everybody, by a fixed seed.

    5,000 images are for calibration, or a fifth where there are fewer than 25,000.
    """
    size = min(CALIBRATION_SIZE, n // SMALLEST_CALIBRATION_SHARE)
    calibration = np.sort(np.random.default_rng(CALIBRATION_SEED).permutation(n)[:size])
    return calibration if part == "calibration" else np.setdiff1d(np.arange(n), calibration)


def _read_mnist(train: bool, data_dir: Path, download: bool) -> _Split:
    """The official IDX files, as they are or gzipped."""
    folder = data_dir / "MNIST" / "raw"
    start = "train" if train else "t10k"
    names = [f"{start}-images-idx3-ubyte", f"{start}-labels-idx1-ubyte"]
    if not all(_idx_file(folder, name) for name in names):
        from torchvision.datasets import MNIST

        advice = f"put the four files *-ubyte into {folder}, or name their place with --data-dir"
        _fetch("MNIST", MNIST, data_dir, download, f"{MNIST.mirrors[0]}{MNIST.resources[0][0]}", advice)
    images, labels = (_read_idx(folder, name) for name in names)
    fits = images.ndim == 3 and images.shape[1:] == (28, 28) and labels.shape == images.shape[:1] and len(labels)
    if not fits or labels.max() > 9:
        raise UserError(
            f"expected MNIST's 28 x 28 images and their labels 0 to 9 in {folder}, "
            f"got {images.shape} and {labels.shape}: replace the files by the official ones"
        )
    return _Split(images[:, None], labels.astype(np.int64), DIGITS)


def _idx_file(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _read_idx(folder: Path, name: str) -> np.ndarray:
    """An IDX file of bytes: two zeros, type 8, the number of dimensions, their big-endian lengths, the values."""
    path = _idx_file(folder, name)
    if path is None:
        raise UserError(f"expected {name} in {folder}, got no such file: put it there")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
        values = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dimensions)
        if (zeros, kind) == (0, 8) and values.size == np.prod(shape, dtype=object):
            return values.reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise _broken_idx(path) from error
    raise _broken_idx(path)


def _broken_idx(path: Path) -> UserError:
    return UserError(f"expected a whole IDX file, got a damaged or cut-off one, {path}: replace it by the official one")


def _read_cifar10(train: bool, data_dir: Path, download: bool) -> _Split:
    """A zip with one folder of images per class where there is one, else torchvision's files."""
    archive = data_dir / ("cifar10-train.zip" if train else "cifar10-test.zip")
    if archive.is_file():
        return _read_cifar10_zip(archive)
    from torchvision.datasets import CIFAR10

    if not (data_dir / CIFAR10.base_folder).is_dir():
        either = f"{CIFAR10.base_folder}/ or {archive.name}"
        advice = f"put {either} into {data_dir}, or name their place with --data-dir"
        _fetch("CIFAR-10", CIFAR10, data_dir, download, CIFAR10.url, advice)
    try:
        data = CIFAR10(str(data_dir), train=train)  # its files are pickles; it checks their MD5 before it opens them
    except RuntimeError as error:
        raise UserError(
            f"expected CIFAR-10's official files in {data_dir / CIFAR10.base_folder}, got others or damaged ones: "
            "replace them by the official ones"
        ) from error
    images = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))
    return _Split(images, np.array(data.targets, dtype=np.int64), CIFAR10_CLASSES)


def _read_cifar10_zip(path: Path) -> _Split:
    with Archive(path, path.name) as files:
        names = files.names
        classes = tuple(sorted({name.split("/")[0] for name in names}))
        if classes != CIFAR10_CLASSES:
            raise UserError(
                f"expected CIFAR-10's ten class folders in {path}, "
                f"got {printable(', '.join(classes)) if classes else 'none'}: replace the file"
            )
        images = np.empty((len(names), 3, 32, 32), dtype=np.uint8)
        for row, name in zip(images, names, strict=True):
            picture = decode_image(files.read(name), name).convert("RGB")
            if picture.size != (32, 32):
                raise UserError(f"expected CIFAR-10's 32 x 32 images in {path}, got {picture.size}: replace the file")
            row[:] = np.asarray(picture).transpose(2, 0, 1)
    labels = np.array([classes.index(name.split("/")[0]) for name in names], dtype=np.int64)
    return _Split(images, labels, classes)


def _read_svhn(train: bool, data_dir: Path, download: bool) -> _Split:
    path = data_dir / SVHN_FILES[train]
    if not path.is_file():
        from torchvision.datasets import SVHN

        split = "train" if train else "test"
        advice = f"put {path.name} into {data_dir}, or name its place with --data-dir"
        _fetch("SVHN", lambda root, download: SVHN(root, split, download=download), data_dir, download,
               SVHN.split_list[split][0], advice)  # fmt: skip
    return _Split(*read_svhn(path), SVHN_CLASSES)


def _read_tiny_imagenet(train: bool, data_dir: Path, download: bool) -> _Split:
    path = data_dir / TINY_IMAGENET_FILE
    if not path.is_file():
        raise UserError(
            f"expected Tiny-ImageNet in {path}, got no such file: download it from {TINY_IMAGENET_ADDRESS}, "
            "or name its place with --data-dir"
        )
    return _Split(*read_tiny_imagenet(path, train))


_READERS: dict[str, Callable[[bool, Path, bool], _Split]] = {
    "mnist": _read_mnist,
    "cifar10": _read_cifar10,
    "svhn": _read_svhn,
    "tiny-imagenet": _read_tiny_imagenet,
}


NAMED = tuple(_READERS)
DOWNLOADABLE = ("mnist", "cifar10", "svhn")
# input shape, classes, training images without the calibration split
_OUTLINES: dict[str, tuple[tuple[int, int, int], int, int]] = {
    "mnist": ((1, 28, 28), 10, 55_000),
    "cifar10": ((3, 32, 32), 10, 45_000),
    "svhn": ((3, 32, 32), 10, 68_257),
    "tiny-imagenet": ((3, 64, 64), 200, 95_000),
}


def _fetch(title: str, torchvision_class: Any, data_dir: Path, download: bool, url: str, advice: str) -> None:
    """Downloads a missing dataset with torchvision.

    Raises:
        UserError: not allowed, or no network; the line says where to put the files.
    """
    if not download:
        raise UserError(f"expected {title} in {data_dir}, got no files: {advice}")
    try:
        # torchvision waits without limit, so ask first whether anybody answers
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PROBE_SECONDS).close()
        torchvision_class(str(data_dir), download=True)
    except (OSError, RuntimeError) as error:
        reason = printable(str(getattr(error, "reason", "") or type(error).__name__))
        raise UserError(f"expected {title} in {data_dir}, got no files and no download ({reason}): {advice}") from error
