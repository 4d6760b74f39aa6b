"""The test images that travel with the checkpoints, so that pages need no dataset: one lossless sheet and its labels.

checkpoints/DATASET/test-images.webp   all images side by side, row by row, in canonical order
checkpoints/DATASET/test-images.json   their number, shape, labels, class names and the hash of their pixels

One sheet is smaller than a file for each image (17.1 against 17.9 MB for CIFAR-10, and 1.5 against 2.1 MB for MNIST)
and decodes ten times as fast.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.checkpoints import CHECKPOINTS
from core.data.datasets import ImageSet
from core.errors import UserError

IMAGES_FILE = "test-images.webp"
LABELS_FILE = "test-images.json"
LONGEST_WEBP_SIDE = 16_383
LARGEST_SHEET = 64_000_000  # pixels
_REMEDY = "copy the folder again from where it came"


@dataclass(frozen=True)
class EmbeddedLabels:
    """What is known about the embedded images without decoding them.

    Args:
        labels: (examples,) int64.
        class_names: in the order of the labels.
        shape: (examples, channels, height, width).
        sha256: of the pixels in this shape, in hex.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    shape: tuple[int, int, int, int]
    sha256: str


def write_embedded(dataset: str, images: ImageSet, root: Path = CHECKPOINTS) -> None:
    """Stores a test set beside its checkpoints; takes about a minute for 10,000 colour images.

    Args:
        dataset: name of the folder below `root`.
        images: ids 0..n-1 in order, as `load_images(dataset, "test", ...)` gives them.

    Raises:
        UserError: more pixels than fit on a sheet.
    """
    if not np.array_equal(images.ids, np.arange(len(images))):
        raise ValueError("expected a whole test set in canonical order")
    n, _, height, width = images.images.shape
    columns = _columns(n)
    rows = -(-n // columns)
    if max(columns * width, rows * height) > LONGEST_WEBP_SIDE or columns * width * rows * height > LARGEST_SHEET:
        raise UserError(
            f"expected test images of at most {LARGEST_SHEET / 1e6:.0f} megapixels together, "
            f"got {n} of {width} x {height}: embed smaller ones"
        )
    buffer = io.BytesIO()
    sheet = Image.fromarray(_sheet(images.images, columns))
    sheet.save(buffer, "WEBP", lossless=True, quality=100, method=6, exact=True)
    facts = {
        "shape": list(images.images.shape),
        "sha256": pixel_hash(images.images),
        "class_names": list(images.class_names),
        "labels": images.labels.tolist(),
    }
    folder = root / dataset
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / IMAGES_FILE, buffer.getvalue())
    _replace(folder / LABELS_FILE, (json.dumps(facts, separators=(",", ":")) + "\n").encode())


def load_labels(dataset: str, root: Path = CHECKPOINTS) -> EmbeddedLabels:
    """Labels, class names and size of the embedded test images.

    Raises:
        UserError: none are there, or the file is damaged.
    """
    path = root / dataset / LABELS_FILE
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"expected embedded test images in {path.parent.name}/, got none: {_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise _damaged(path, type(error).__name__) from error
    shape = _facts(path, values)
    return EmbeddedLabels(
        np.array(values["labels"], dtype=np.int64), tuple(values["class_names"]), shape, values["sha256"]
    )


def load_embedded(dataset: str, root: Path = CHECKPOINTS) -> np.ndarray:
    """The embedded test images, uint8 (examples, channels, height, width); row i is the example with id i.

    Raises:
        UserError: none are there, or a file is damaged.
    """
    n, channels, height, width = load_labels(dataset, root).shape
    path = root / dataset / IMAGES_FILE
    columns = _columns(n)
    rows = -(-n // columns)
    try:
        with Image.open(path, formats=("WEBP",)) as sheet:
            if sheet.size != (columns * width, rows * height):
                raise _damaged(path, f"a sheet of {sheet.size[0]} x {sheet.size[1]} pixels")
            pixels = np.asarray(sheet.convert("RGB"))
    except FileNotFoundError as error:
        raise UserError(f"expected embedded test images {dataset}/{path.name}, got no file: {_REMEDY}") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise _damaged(path, type(error).__name__) from error
    tiles = pixels.reshape(rows, height, columns, width, 3)[..., :channels]  # grey is three times the same
    return tiles.transpose(0, 2, 4, 1, 3).reshape(-1, channels, height, width)[:n]


def load_embedded_set(dataset: str, root: Path = CHECKPOINTS) -> ImageSet:
    """The embedded test images with their labels, the same as `load_images(dataset, "test", ...)`."""
    known = load_labels(dataset, root)
    images = load_embedded(dataset, root)
    return ImageSet(images, known.labels, np.arange(len(images)), known.class_names)


def thumbnails(
    images: np.ndarray, ids: Sequence[int] | np.ndarray, tile: int = 32, columns: int = 20, quality: int | None = None
) -> bytes:
    """One picture with the images of these ids side by side, row by row, for a gallery.

    Args:
        images: uint8 (examples, channels, height, width), from `load_embedded`.
        ids: one or more rows of it, in the order to show.
        tile: width and height of each thumbnail in pixels; pixels are enlarged to squares, or averaged.
        columns: thumbnails in a row.
        quality: of the compression, 0..100; None keeps every pixel.

    Returns:
        A WebP file of `ceil(len(ids) / columns)` rows; unused places are black.

    Raises:
        ValueError: no ids, or more than fit on one sheet (16,383 pixels a side).
    """
    columns = min(columns, len(ids))
    if columns < 1 or max(columns, -(-len(ids) // columns)) * tile > LONGEST_WEBP_SIDE:
        raise ValueError(f"expected ids for a sheet of 1 to {LONGEST_WEBP_SIDE} pixels a side, got {len(ids)}")
    shown = _scaled(images[np.asarray(ids, dtype=np.int64)], tile)
    buffer = io.BytesIO()
    sprite = Image.fromarray(_sheet(shown, columns))
    sprite.save(buffer, "WEBP", lossless=quality is None, quality=quality or 0, method=0)
    return buffer.getvalue()


def pixel_hash(images: np.ndarray) -> str:
    """SHA-256 of uint8 images (examples, channels, height, width), in hex."""
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def _scaled(images: np.ndarray, tile: int) -> np.ndarray:
    """(n, channels, h, w) -> (n, channels, tile, tile)."""
    _, channels, height, width = images.shape
    if tile >= max(height, width):
        rows, columns = np.arange(tile) * height // tile, np.arange(tile) * width // tile
        return images[:, :, rows[:, None], columns]
    flat = images.reshape(-1, height, width)
    small = [np.asarray(Image.fromarray(plane).resize((tile, tile), Image.Resampling.BOX)) for plane in flat]
    return np.stack(small).reshape(-1, channels, tile, tile)


def _columns(n: int) -> int:
    """Images in a row of the sheet: as square as can be."""
    return max(1, int(np.ceil(np.sqrt(n))))


def _sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """(n, channels, h, w) -> (rows h, columns w) or (rows h, columns w, 3); places left over are black."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, channels, height, width), dtype=np.uint8)
    tiles[:n] = images
    sheet = tiles.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return np.ascontiguousarray(sheet[..., 0] if channels == 1 else sheet)


def _facts(path: Path, values: Any) -> tuple[int, int, int, int]:
    """Checks a label file and returns the shape it tells."""
    keys = {"shape", "sha256", "class_names", "labels"}
    if not isinstance(values, dict) or set(values) != keys:
        raise _damaged(path, "other contents")
    shape, labels, names = values["shape"], values["labels"], values["class_names"]
    sizes = isinstance(shape, list) and len(shape) == 4 and all(type(v) is int and v > 0 for v in shape)
    if not sizes or shape[1] not in (1, 3) or shape[0] * shape[2] * shape[3] > LARGEST_SHEET:
        raise _damaged(path, f"shape {shape!r}")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(path, "class names that are no texts")
    known = range(len(names))
    if not isinstance(labels, list) or len(labels) != shape[0]:
        raise _damaged(path, "not one label for each image")
    if not all(type(label) is int and label in known for label in labels):
        raise _damaged(path, f"labels outside 0..{len(names) - 1}")
    n, channels, height, width = shape
    return n, channels, height, width


def _damaged(path: Path, found: str) -> UserError:
    return UserError(f"expected whole embedded test images, got {found} in {path.parent.name}/{path.name}: {_REMEDY}")


def _replace(path: Path, data: bytes) -> None:
    """Written whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(data)
    unfinished.replace(path)
