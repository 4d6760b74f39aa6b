"""The feature map: where the examples of a split lie in the feature space of each exit, and which lie next to them.

checkpoints/DATASET/MODEL/map-test.npz   two coordinates and a few neighbours of every example at every exit

An exit's features are its feature map averaged over space. Two coordinates are the part of them that a screen can show
(principal components); neighbours are found among all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.arrays import open_arrays, read_file, write_arrays
from core.checkpoints import CHECKPOINTS, checkpoint_folder, checkpoint_hash, read_card
from core.errors import UserError
from core.trace import SPLITS

FORMAT = 1
NEIGHBOURS = 5
MAX_FILE_BYTES = 2**29  # uncompressed
_STEPS = 4095  # of a coordinate on either side of 0: finer than the pixels of a screen
_BLOCK = 500  # examples whose distances are held at once


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Examples in the feature space of each exit. Arrays are not to be written to.

    Args:
        coordinates: float32 (examples, exits, 2), the first two principal components, each exit's plane turned onto
            the one before it, so that an example moves no further than it has to.
        neighbours: int32 (examples, exits, k), rows of the nearest other examples in the whole feature space of that
            exit by Euclidean distance, nearest first.
        explained: float64 (exits, 2), the share of the features' variance along each component, before turning.
        ids: which example of the split's dataset each row is, int64 (examples,); a trace with the same ids has the
            same rows.
        checkpoint_hash: SHA-256 of the weights that made it.
        split: `calibration` or `test`.
    """

    coordinates: NDArray[np.float32]
    neighbours: NDArray[np.int32]
    explained: NDArray[np.float64]
    ids: NDArray[np.int64]
    checkpoint_hash: str
    split: str

    @classmethod
    def from_features(
        cls,
        features: Sequence[ArrayLike],
        ids: ArrayLike,
        checkpoint_hash: str,
        split: str,
        k: int = NEIGHBOURS,
    ) -> "FeatureMap":
        """The map of pooled features.

        Args:
            features: for each exit (examples, channels).
            ids: (examples,).
            checkpoint_hash: SHA-256 of the weights, in hex.
            split: `calibration` or `test`.
            k: neighbours per example; fewer where there are fewer others.

        Raises:
            UserError: shapes that do not fit, features that are not finite.
        """
        arrays = [np.asarray(values, np.float64) for values in features]
        ids = np.asarray(ids, np.int64)
        if not arrays or any(a.ndim != 2 or 0 in a.shape or len(a) != ids.size for a in arrays) or ids.ndim != 1:
            raise UserError(
                f"expected features (examples, channels) of each exit for {ids.size} ids, got "
                f"{[a.shape for a in arrays]}: pass the features of one network"
            )
        if not all(np.isfinite(a).all() for a in arrays):
            raise UserError("expected finite features, got NaN or infinity: the training diverged, train again")
        planes: list[NDArray[np.float64]] = []
        shares, nearby = [], []
        for values in arrays:
            plane, share = principal_plane(values)
            planes.append(turned_onto(plane, planes[-1]) if planes else plane)
            shares.append(share)
            nearby.append(nearest(values, k))
        coordinates = _restore(*_quantise(np.stack(planes, axis=1)))
        made = cls(coordinates, np.stack(nearby, axis=1), np.stack(shares), ids, checkpoint_hash, split)
        _check(made)
        return made

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.coordinates.shape[0]

    @property
    def num_exits(self) -> int:
        """N, the last exit counted."""
        return self.coordinates.shape[1]

    def save(self, path: Path | str) -> None:
        """Write one compressed .npz without pickle, in one step: a file is there whole or not at all."""
        path = Path(path)
        steps, sizes = _quantise(self.coordinates)
        row = np.uint16 if self.n <= 2**16 else np.int32
        meta = {
            "format": FORMAT,
            "checkpoint_hash": self.checkpoint_hash,
            "split": self.split,
            "examples": self.n,
            "exits": self.num_exits,
            "neighbours": self.neighbours.shape[2],
        }
        arrays: dict[str, NDArray] = {
            "explained": self.explained,
            "id_steps": np.diff(self.ids, prepend=0).astype(np.int32),
            "step_size": sizes,
            "steps": _planes_of_bytes(steps.transpose(1, 2, 0)),
            "neighbours": _planes_of_bytes(self.neighbours.transpose(1, 2, 0).astype(row)),
        }
        write_arrays(path, meta, arrays)

    @classmethod
    def load(cls, path: Path | str) -> "FeatureMap":
        """Read a map.

        Raises:
            UserError: no such file, or not a whole map of this format.
        """
        return read_file(_read, Path(path), "a feature map", "make it with `core map`")


def map_path(folder: Path, split: str = "test") -> Path:
    """Where a checkpoint's feature map of a split lies."""
    return folder / f"map-{split}.npz"


def load_feature_map(name: str, root: Path = CHECKPOINTS) -> FeatureMap:
    """A checkpoint's feature map of the test split.

    Raises:
        UserError: no such checkpoint or map, or a map made with other weights.
    """
    folder = checkpoint_folder(name, root)
    card = read_card(folder)
    path = map_path(folder)
    remedy = f"run `python -m core map {name}`"
    if not path.is_file():
        raise UserError(f"expected {path.name} in {name}, got no such file: {remedy}")
    found = FeatureMap.load(path)
    if found.checkpoint_hash != checkpoint_hash(folder):
        raise UserError(f"expected {path.name} of the weights in {name}, got one of other weights: {remedy}")
    if (found.split, found.num_exits) != ("test", card.num_exits):
        raise UserError(
            f"expected {path.name} with {card.num_exits} exits, split test, "
            f"got {found.num_exits}, {found.split}: {remedy}"
        )
    return found


def principal_plane(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates along the first two principal components, and the share of the variance along each.

    A component's sign is chosen so that its largest loading is positive.

    Args:
        features: (examples, channels).

    Returns:
        (examples, 2) with zeros where there is no second component, and (2,).
    """
    centred = features - features.mean(axis=0)
    _, singular, loadings = np.linalg.svd(centred, full_matrices=False)
    loadings = loadings[:2]  # (components, channels)
    largest = np.abs(loadings).argmax(axis=1)
    loadings = loadings * np.where(loadings[np.arange(len(loadings)), largest] < 0, -1, 1)[:, None]
    total = float((singular**2).sum())
    plane, share = np.zeros((len(features), 2)), np.zeros(2)
    plane[:, : len(loadings)] = centred @ loadings.T
    if total > 0:
        share[: len(loadings)] = singular[:2] ** 2 / total
    return plane, share


def turned_onto(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points rotated or mirrored about the origin so that they lie as near as can be to their targets.

    Distances among the points stay. Both (examples, 2). Source: Schönemann 1966, orthogonal Procrustes.
    """
    left, _, right = np.linalg.svd(points.T @ target)
    turned: NDArray[np.float64] = points @ (left @ right)
    return turned


def nearest(features: NDArray[np.float64], k: int = NEIGHBOURS) -> NDArray[np.int32]:
    """Rows of the k nearest other examples by Euclidean distance, nearest first, (examples, k); ties by row.

    Args:
        features: (examples, channels).
        k: fewer are found where there are fewer others.
    """
    n = len(features)
    k = min(k, n - 1)
    centred = features - features.mean(axis=0)  # small numbers lose fewer digits below
    lengths = (centred**2).sum(axis=1)
    found = np.empty((n, k), np.int32)
    if k == 0:
        return found
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        squared = lengths[block, None] + lengths - 2 * centred[block] @ centred.T  # (block, examples)
        squared[np.arange(block.stop - start), np.arange(start, block.stop)] = np.inf
        rows = np.sort(np.argpartition(squared, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(np.take_along_axis(squared, rows, axis=1), axis=1, kind="stable")
        found[block] = np.take_along_axis(rows, order, axis=1)
    return found


def _quantise(coordinates: NDArray) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """(examples, exits, 2) as whole steps, and the size of a step at each exit.

    It is a power of two, so that steps times size is the same float32 however often it is done.
    """
    largest = np.abs(coordinates).max(axis=(0, 2), initial=0).astype(np.float64)  # (exits,)
    sizes = np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, 1) / _STEPS)))
    return np.rint(coordinates / sizes[:, None]).astype(np.int16), sizes


def _restore(steps: NDArray[np.int16], sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    """The inverse of `_quantise`."""
    return (steps * sizes[:, None]).astype(np.float32)


def _planes_of_bytes(array: NDArray) -> NDArray[np.uint8]:
    """Numbers as planes of equal bytes, (bytes, ...): high bytes alike lie together and compress."""
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    planes = array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    return np.ascontiguousarray(np.moveaxis(planes, -1, 0))


def _numbers_of_planes(planes: NDArray[np.uint8], dtype: str) -> NDArray:
    """The inverse of `_planes_of_bytes`."""
    if planes.dtype != np.uint8 or planes.ndim != 4 or planes.shape[0] != np.dtype(dtype).itemsize:
        raise ValueError("byte planes of another type")
    joined = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return joined.view(dtype)[..., 0]


def _read(path: Path) -> FeatureMap:
    with open_arrays(path, FORMAT, MAX_FILE_BYTES) as (meta, arrays):
        steps = _numbers_of_planes(arrays["steps"], "<i2").transpose(2, 0, 1)
        row = "<u2" if meta["examples"] <= 2**16 else "<i4"
        neighbours = _numbers_of_planes(arrays["neighbours"], row).transpose(2, 0, 1)
        sizes = arrays["step_size"].astype(np.float64)
        if sizes.shape != steps.shape[1:2] or not ((sizes > 0) & (sizes < 1e30)).all():  # NaN is neither
            raise ValueError("the size of a step is no sensible number for each exit")
        found = FeatureMap(
            np.ascontiguousarray(_restore(steps, sizes)),
            np.ascontiguousarray(neighbours.astype(np.int32)),
            arrays["explained"].astype(np.float64),
            np.cumsum(arrays["id_steps"], dtype=np.int64),
            str(meta["checkpoint_hash"]),
            str(meta["split"]),
        )
        if neighbours.shape != (meta["examples"], meta["exits"], meta["neighbours"]):
            raise ValueError("the arrays do not have the size the file announces")
        _check(found)
    return found


def _check(found: FeatureMap) -> None:
    """Raise a ValueError unless all arrays fit together."""
    n, exits, axes = found.coordinates.shape
    if found.split not in SPLITS:
        raise ValueError(f"split {found.split!r}, which is none of {', '.join(SPLITS)}")
    if axes != 2 or not np.isfinite(found.coordinates).all():
        raise ValueError("coordinates that are not two finite numbers")
    if found.neighbours.shape[:2] != (n, exits) or found.ids.shape != (n,) or found.explained.shape != (exits, 2):
        raise ValueError("arrays of different lengths")
    inside = (found.neighbours >= 0) & (found.neighbours < n)
    if not inside.all() or (found.neighbours == np.arange(n)[:, None, None]).any():
        raise ValueError("neighbours that are no other rows")
    if not ((found.explained >= 0) & (found.explained <= 1 + 1e-9)).all():
        raise ValueError("shares of variance outside 0..1")
