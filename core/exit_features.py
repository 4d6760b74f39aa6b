"""What exits can be refitted from without a dataset: pooled features of some training images.

checkpoints/DATASET/MODEL/features-training.npz   every early exit's feature map averaged over space, as float16

Exit types `pool` and `bnpool` see nothing else of an image: in evaluation BatchNorm is one scale and shift per channel,
the same before and behind the average. The last exit is not refitted, so its answer is all there is of it. The images
are training images, never of the calibration or the test split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.arrays import open_arrays, read_file, write_arrays
from core.checkpoints import CHECKPOINTS, checkpoint_folder, checkpoint_hash, read_card
from core.errors import UserError

FORMAT = 1
FILE = "features-training.npz"
EXAMPLES = 10_000
SEED = 20_241_121  # of the choice of images
MAX_FILE_BYTES = 2**29  # uncompressed


@dataclass(frozen=True, eq=False)
class PooledFeatures:
    """What the exits of a frozen network see of n images. Arrays are not to be written to.

    Args:
        pooled: for each early exit float32 (examples, channels), its feature map averaged over space.
        last_logits: what the last exit answers, float32 (examples, classes).
        labels: the true class, int64 (examples,).
        ids: which example of the dataset's train or test images, int64 (examples,).
        checkpoint_hash: SHA-256 of the weights that made it.
        split: `training`, or `test` where a refit is tried out.
    """

    pooled: tuple[NDArray[np.float32], ...]
    last_logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    checkpoint_hash: str
    split: str

    @classmethod
    def from_arrays(
        cls,
        pooled: Sequence[ArrayLike],
        last_logits: ArrayLike,
        labels: ArrayLike,
        ids: ArrayLike,
        checkpoint_hash: str,
        split: str,
    ) -> "PooledFeatures":
        """The same from whatever can become these arrays.

        Raises:
            UserError: shapes that do not fit, features that are not finite.
        """
        made = cls(
            tuple(np.asarray(values, np.float32) for values in pooled),
            np.asarray(last_logits, np.float32),
            np.asarray(labels, np.int64),
            np.asarray(ids, np.int64),
            checkpoint_hash,
            split,
        )
        try:
            _check(made)
        except ValueError as error:
            raise UserError(f"expected features of one network, got {error}: record them again") from None
        return made

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.last_logits.shape[1]

    def save(self, path: Path | str) -> None:
        """Write one compressed .npz without pickle, as float16, in one step: a file is there whole or not at all.

        Raises:
            UserError: features too large for float16.
        """
        with np.errstate(over="ignore"):
            columns = np.concatenate([*self.pooled, self.last_logits], axis=1).astype(np.float16)
        if not np.isfinite(columns).all():
            raise UserError("expected features below 65,504, got larger ones, which float16 cannot hold: train again")
        meta = {
            "format": FORMAT,
            "checkpoint_hash": self.checkpoint_hash,
            "split": self.split,
            "examples": self.n,
            "channels": [values.shape[1] for values in self.pooled],
            "classes": self.classes,
        }
        bits = np.ascontiguousarray(columns.T).view(np.uint16)  # (columns, examples)
        arrays: dict[str, NDArray] = {
            "labels": self.labels.astype(np.uint8 if self.classes <= 256 else np.int16),
            "id_steps": np.diff(self.ids, prepend=0).astype(np.int32),
            # high bytes alike lie together and compress; the low ones are noise and hardly do
            "high": (bits >> 8).astype(np.uint8),
            "low": (bits & 255).astype(np.uint8),
        }
        write_arrays(Path(path), meta, arrays)

    @classmethod
    def load(cls, path: Path | str) -> "PooledFeatures":
        """Read what `save` wrote.

        Raises:
            UserError: no such file, or not a whole one of this format.
        """
        return read_file(_read, Path(path), "features", "make it with `core features`")


def features_path(folder: Path) -> Path:
    """Where a checkpoint's features lie."""
    return folder / FILE


def load_features(name: str, root: Path = CHECKPOINTS) -> PooledFeatures:
    """A checkpoint's features of training images.

    Raises:
        UserError: no such checkpoint or file, or a file made with other weights.
    """
    folder = checkpoint_folder(name, root)
    card = read_card(folder)
    path = features_path(folder)
    remedy = f"run `python -m core features {name}`"
    if not path.is_file():
        raise UserError(f"expected {path.name} in {name}, got no such file: {remedy}")
    found = PooledFeatures.load(path)
    if found.checkpoint_hash != checkpoint_hash(folder):
        raise UserError(f"expected {path.name} of the weights in {name}, got one of other weights: {remedy}")
    shape = (found.split, len(found.pooled) + 1, found.classes)
    if shape != ("training", card.num_exits, card.spec.num_classes):
        raise UserError(
            f"expected {path.name} with {card.num_exits} exits, {card.spec.num_classes} classes, split training, "
            f"got {shape[1]}, {shape[2]}, {shape[0]}: {remedy}"
        )
    return found


def chosen_rows(available: int, examples: int = EXAMPLES) -> NDArray[np.int64]:
    """Rows of the training images that are taken, rising; the same for everybody, by a fixed seed.

    Args:
        available: how many training images there are.
    """
    return np.sort(np.random.default_rng(SEED).permutation(available)[:examples])


def _read(path: Path) -> PooledFeatures:
    with open_arrays(path, FORMAT, MAX_FILE_BYTES) as (meta, arrays):
        channels, classes = [int(width) for width in meta["channels"]], int(meta["classes"])
        high, low = arrays["high"], arrays["low"]
        if high.dtype != np.uint8 or low.dtype != np.uint8 or high.shape != low.shape:
            raise ValueError("bytes of another type")
        if min([*channels, classes]) < 1 or high.shape != (sum(channels) + classes, meta["examples"]):
            raise ValueError("the arrays do not have the size the file announces")
        bits = low.astype(np.uint16) | (high.astype(np.uint16) << 8)
        columns = np.ascontiguousarray(bits.view(np.float16).T.astype(np.float32))  # (examples, columns)
        *pooled, last = np.split(columns, np.cumsum(channels), axis=1)
        found = PooledFeatures(
            tuple(np.ascontiguousarray(values) for values in pooled),
            last,
            arrays["labels"].astype(np.int64),
            np.cumsum(arrays["id_steps"], dtype=np.int64),
            str(meta["checkpoint_hash"]),
            str(meta["split"]),
        )
        _check(found)
    return found


def _check(found: PooledFeatures) -> None:
    """Raise a ValueError unless all arrays fit together."""
    n = found.labels.size
    arrays = (*found.pooled, found.last_logits)
    if n == 0 or any(a.ndim != 2 or a.shape[1] == 0 or len(a) != n for a in arrays) or found.ids.shape != (n,):
        raise ValueError(f"arrays of {[a.shape for a in arrays]} for {n} labels")
    if not all(np.isfinite(a).all() for a in arrays):
        raise ValueError("NaN or infinity")
    if not (found.labels.min() >= 0 and found.labels.max() < found.classes):
        raise ValueError(f"labels outside 0..{found.classes - 1}")
