"""The trace: what every exit said about every example of a split, recorded once. All exploring is arithmetic on it."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.rules import (
    Scores,
    as_scores,
    check_temperatures,
    entropy,
    get_rule,
    log_softmax,
    margin,
    patience,
    probability,
    sigmoid,
)
from core.arrays import open_arrays, read_file, write_arrays
from core.errors import UserError

FORMAT = 1
SPLITS = ("calibration", "test")
TUNING_EXAMPLES = 2000
MAX_FILE_BYTES = 2**31  # uncompressed
_STORED_SCORES = ("probability", "margin", "entropy")  # confidence is stored unclipped, patience follows from predicted
_TABLE_ERROR = 0.00025
_COMPACT_BITS = 9  # of a score's distance below 1: about 0.2 % of it
_CODE_BITS = 11  # that two bytes of a file have room for, as many as float16
_ONE = np.float32(1).view(np.int32)


@dataclass(frozen=True, eq=False)
class Trace:
    """Answers of all N exits on n examples of one split. Arrays are not to be written to.

    Args:
        confidence: h, float32 (examples, exits); 1 in the last column where the last exit has no confidence branch.
        scores: for each rule float32 (examples, exits), computed before any rounding.
        predicted: the top class, int16 (examples, exits).
        labels: the true class, int64 (examples,).
        ids: which example of the split's dataset, int64 (examples,).
        relative_cost: float64 (exits,).
        checkpoint_hash: SHA-256 of the weights that made it.
        split: `calibration` or `test`.
        classes: how many there are.
        log_probabilities: float16 (examples, exits, classes), or None in the small form. Rounded so that each
            probability is within 0.002 of the network's and the top class stays `predicted`.
    """

    confidence: NDArray[np.float32]
    scores: Mapping[str, Scores]
    predicted: NDArray[np.int16]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    relative_cost: NDArray[np.float64]
    checkpoint_hash: str
    split: str
    classes: int
    log_probabilities: NDArray[np.float16] | None

    @classmethod
    def from_outputs(
        cls,
        logits: ArrayLike,
        confidence_logits: ArrayLike,
        labels: ArrayLike,
        ids: ArrayLike,
        relative_cost: ArrayLike,
        checkpoint_hash: str,
        split: str,
    ) -> "Trace":
        """Record a network's raw outputs.

        Args:
            logits: (examples, exits, classes), before softmax.
            confidence_logits: (examples, exits), before the sigmoid; +inf means confidence 1.
            labels, ids: (examples,).
            relative_cost: (exits,).
            checkpoint_hash: SHA-256 of the weights, in hex.
            split: `calibration` or `test`.

        Raises:
            UserError: shapes that do not fit, outputs that are not finite, labels that are no class.
        """
        logits = np.asarray(logits, np.float32)
        confidence_logits = np.asarray(confidence_logits, np.float32)
        if logits.ndim != 3 or 0 in logits.shape[1:] or confidence_logits.shape != logits.shape[:2]:
            raise UserError(
                "expected logits (examples, exits, classes) and confidence logits (examples, exits), got "
                f"{logits.shape} and {confidence_logits.shape}: pass the outputs of one network"
            )
        if not np.isfinite(logits).all() or np.isnan(confidence_logits).any():
            raise UserError("expected finite outputs, got NaN or infinity: the training diverged, train again")
        classes = logits.shape[2]
        log_p = log_softmax(logits)
        confidence = sigmoid(confidence_logits).astype(np.float32)
        predicted = log_p.argmax(axis=2).astype(np.int16)  # (examples, exits)
        scores = {
            "confidence": as_scores(confidence),
            "probability": probability(log_p),
            "margin": margin(log_p),
            "entropy": entropy(log_p),
            "patience": patience(predicted),
        }
        trace = cls(
            confidence,
            scores,
            predicted,
            np.asarray(labels, np.int64),
            np.asarray(ids, np.int64),
            np.asarray(relative_cost, np.float64),
            checkpoint_hash,
            split,
            classes,
            _round_table(log_p, predicted),
        )
        _check(trace)
        return trace

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.predicted.shape[0]

    @property
    def num_exits(self) -> int:
        """N, the last exit counted."""
        return self.predicted.shape[1]

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each exit's top class is the label, (examples, exits)."""
        return self.predicted == self.labels[:, None]

    @cached_property
    def probabilities(self) -> NDArray[np.float32] | None:
        """Class probabilities, float32 (examples, exits, classes) summing to 1, or None in the small form."""
        if self.log_probabilities is None:
            return None
        return np.exp(log_softmax(self.log_probabilities)).astype(np.float32)

    def table(self) -> NDArray[np.float16]:
        """The class table as log-probabilities.

        Raises:
            UserError: this is the small form.
        """
        if self.log_probabilities is None:
            raise UserError("expected a full trace, got the small form without the class table: load it in full")
        return self.log_probabilities

    def rule_scores(self, rule: str, temperatures: ArrayLike | None = None) -> Scores:
        """Scores of a rule, (examples, exits).

        With temperatures, rules that look at probabilities are computed from the rounded class table: within
        0.01 of what the executor computes from the network's own logits.

        Raises:
            UserError: unknown rule, bad temperatures, or temperatures asked of the small form.
        """
        chosen = get_rule(rule)
        if temperatures is None or not chosen.uses_temperature:
            return self.scores[rule]
        checked = check_temperatures(np.asarray(temperatures).tolist(), self.num_exits)
        return chosen.function(log_softmax(self.table(), checked))

    def small(self) -> "Trace":
        """The same without the class table."""
        return replace(self, log_probabilities=None)

    def compact(self) -> "Trace":
        """The form for a repository with many networks: no class table, scores with `_COMPACT_BITS` significant bits.

        What is rounded is a score's distance below 1, in steps of float32: scores next to 1 stay apart, order is kept,
        and a file takes about half of its size.
        """
        confidence = _round_scores(self.confidence)
        scores = {name: _round_scores(values) for name, values in self.scores.items()}
        scores |= {"confidence": as_scores(confidence), "patience": self.scores["patience"]}
        return replace(self, confidence=confidence, scores=scores, log_probabilities=None)

    def select(self, rows: NDArray) -> "Trace":
        """The same for some examples, given by row numbers or a mask."""
        return replace(
            self,
            confidence=self.confidence[rows],
            scores={name: values[rows] for name, values in self.scores.items()},
            predicted=self.predicted[rows],
            labels=self.labels[rows],
            ids=self.ids[rows],
            log_probabilities=None if self.log_probabilities is None else self.log_probabilities[rows],
        )

    def tuning(self) -> "Trace":
        """The part with the first 2,000 ids (two fifths of a split smaller than 5,000)."""
        return self.select(np.argsort(self.ids, kind="stable")[: self._tuning_examples])

    def certifying(self) -> "Trace":
        """The rest, which the tuning part never saw."""
        return self.select(np.argsort(self.ids, kind="stable")[self._tuning_examples :])

    @property
    def _tuning_examples(self) -> int:
        return min(TUNING_EXAMPLES, 2 * self.n // 5)

    def save(self, path: Path | str) -> None:
        """Write one compressed .npz without pickle, in one step: a file is there whole or not at all."""
        path = Path(path)
        meta = {
            "format": FORMAT,
            "checkpoint_hash": self.checkpoint_hash,
            "split": self.split,
            "examples": self.n,
            "exits": self.num_exits,
            "classes": self.classes,
        }
        small_int = np.uint8 if self.classes <= 256 else np.int16
        arrays: dict[str, NDArray] = {
            "relative_cost": self.relative_cost,
            "labels": self.labels.astype(small_int),
            "id_steps": np.diff(self.ids, prepend=0).astype(np.int32),
            "predicted": np.ascontiguousarray(self.predicted.T.astype(small_int)),  # (exits, examples)
            "confidence": _pack_scores(self.confidence),
        }
        for name in _STORED_SCORES:
            arrays[name] = _pack_scores(self.scores[name])
        if self.log_probabilities is not None:
            values, ranks = _pack_table(self.log_probabilities, self.predicted)
            arrays["log_probabilities"], arrays["log_probability_ranks"] = values, ranks
        write_arrays(path, meta, arrays)

    @classmethod
    def load(cls, path: Path | str, small: bool = False) -> "Trace":
        """Read a trace.

        Args:
            small: leave the class table on disk.

        Raises:
            UserError: no such file, or not a whole trace of this format.
        """
        return read_file(partial(_read, small=small), Path(path), "a trace", "make it with `core trace`")


def has_class_table(path: Path) -> bool:
    """Whether a trace's file holds the class table, told from its list of contents; true where there is no such file.

    What is wrong with a file, `Trace.load` says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return "log_probabilities.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return True


def _check(trace: Trace) -> None:
    """Raise a UserError unless all arrays fit together."""
    n, num_exits = trace.predicted.shape
    if trace.split not in SPLITS:
        raise UserError(f"expected a split among {SPLITS}, got {trace.split!r}: name one of these")
    expected: list[tuple[str, NDArray, tuple[int, ...]]] = [
        ("confidence", trace.confidence, (n, num_exits)),
        ("labels", trace.labels, (n,)),
        ("ids", trace.ids, (n,)),
        ("relative_cost", trace.relative_cost, (num_exits,)),
        *((rule, values, (n, num_exits)) for rule, values in trace.scores.items()),
    ]
    for name, array, shape in expected:
        if array.shape != shape:
            raise UserError(f"expected {name} of shape {shape}, got {array.shape}: pass one row per example")
    if not (np.isfinite(trace.relative_cost) & (trace.relative_cost > 0)).all():
        raise UserError(f"expected positive relative costs, got {trace.relative_cost.tolist()}: use the cost table")
    for name, values in (("labels", trace.labels), ("predictions", trace.predicted)):
        if n and not (values.min() >= 0 and values.max() < trace.classes):
            raise UserError(
                f"expected {name} from 0 to {trace.classes - 1}, got {values.min()} to {values.max()}: "
                "use the class order the network was trained with"
            )


def _round_table(log_p: NDArray[np.float64], predicted: NDArray[np.int16]) -> NDArray[np.float16]:
    """Log-probabilities as float16 with no more digits than a probability needs.

    float16 alone keeps digits of log p that nobody can see where p is small, and they do not compress. Each value is
    rounded to the largest power of two that moves its probability by at most `_TABLE_ERROR`, and to 1/4 at most.
    """
    exponent = np.floor(np.log2(2 * _TABLE_ERROR) - log_p / np.log(2))
    step = np.exp2(np.minimum(exponent, -2))
    rounded = np.maximum(np.round(log_p / step) * step, -60000).astype(np.float16)
    # rounding can tie or swap the top two classes: lift the true one, so that the table agrees with `predicted`
    swapped = rounded.argmax(axis=2) != predicted
    rows, exits = np.nonzero(swapped)
    rounded[rows, exits, predicted[rows, exits]] = np.nextafter(rounded.max(axis=2)[swapped], np.float16(np.inf))
    return rounded


def _from_predicted(predicted: NDArray[np.int16], classes: int, back: bool = False) -> NDArray[np.int64]:
    """Indices (examples, exits, classes) that count the classes from the predicted one on, or back from there."""
    offsets = -predicted[..., None].astype(np.int64) if back else predicted[..., None].astype(np.int64)
    return (np.arange(classes) + offsets) % classes


def _pack_table(table: NDArray[np.float16], predicted: NDArray[np.int16]) -> tuple[NDArray, NDArray]:
    """The class table as its distinct values and byte planes of their ranks (2, exits, classes, examples).

    Classes are counted from the predicted one on, so that the large values lie together and compress.
    """
    values, ranks = np.unique(table, return_inverse=True)
    order = _from_predicted(predicted, table.shape[2])
    ranks = np.take_along_axis(ranks.reshape(table.shape).astype(np.uint16), order, axis=2)
    return values, _pack_bytes(ranks.transpose(1, 2, 0))


def _unpack_table(values: NDArray, planes: NDArray, predicted: NDArray[np.int16], classes: int) -> NDArray[np.float16]:
    """The inverse of `_pack_table`."""
    ranks = _unpack_bytes(planes, "<u2").transpose(2, 0, 1)
    if values.dtype != np.float16 or values.ndim != 1 or np.isnan(values).any():
        raise ValueError("the class table is not float16")
    if ranks.shape != (*predicted.shape, classes) or (ranks.size and ranks.max() >= len(values)):
        raise ValueError("the class table does not fit")
    return np.take_along_axis(values[ranks], _from_predicted(predicted, classes, back=True), axis=2)


def _pack_bytes(array: NDArray) -> NDArray[np.uint8]:
    """Split numbers into planes of equal bytes, (bytes, ...): high bytes alike lie together and compress."""
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    planes = array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    return np.ascontiguousarray(np.moveaxis(planes, -1, 0))


def _unpack_bytes(planes: NDArray[np.uint8], dtype: str) -> NDArray:
    """The inverse of `_pack_bytes`."""
    if planes.dtype != np.uint8 or planes.shape[0] != np.dtype(dtype).itemsize:
        raise ValueError("byte planes of another type")
    joined = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return joined.view(dtype)[..., 0].astype(np.dtype(dtype).newbyteorder("="))


def _distance(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """How far float32 in 0..1 lies below 1, in float steps."""
    return _ONE - (scores + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0


def _spare_bits(distance: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """How many of its last bits a number has beyond its first `bits`."""
    return np.maximum(np.frexp(distance.astype(np.float64))[1] - bits, 0).astype(np.int32)


def _round_scores(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores whose distance below 1 has at most `_COMPACT_BITS` significant bits, rounded up; order is kept."""
    distance = _distance(scores)
    spare = _spare_bits(distance, _COMPACT_BITS)
    return (_ONE - (distance >> spare << spare)).view(np.float32)


def _pack_scores(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 in 0..1 (examples, exits) as byte planes (bytes, exits, examples) of its distance below 1 in float steps.

    Four bytes, or two where the scores are those of a compact trace: the bits that count, and how often to double them.
    """
    distance = _distance(scores.T)
    spare = _spare_bits(distance, _CODE_BITS)
    digits = distance >> spare
    if (digits << spare == distance).all():
        return _pack_bytes((digits + (spare << (_CODE_BITS - 1))).astype(np.uint16))
    return _pack_bytes(distance)


def _unpack_scores(planes: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    """The inverse of `_pack_scores`, (examples, exits)."""
    if planes.shape[0] == 2:
        code = _unpack_bytes(planes, "<u2").astype(np.int32)
        spare = np.maximum((code >> (_CODE_BITS - 1)) - 1, 0)
        if (spare > 31 - _CODE_BITS).any():
            raise ValueError(f"{name} is outside 0..1")
        distance = (code - (spare << (_CODE_BITS - 1))) << spare
    else:
        distance = _unpack_bytes(planes, "<i4")
    scores = np.ascontiguousarray((_ONE - distance).T).view(np.float32)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"{name} is outside 0..1")
    return scores


def _read(path: Path, small: bool) -> Trace:
    with open_arrays(path, FORMAT, MAX_FILE_BYTES) as (meta, arrays):
        predicted = np.ascontiguousarray(arrays["predicted"].T.astype(np.int16))
        confidence = _unpack_scores(arrays["confidence"], "confidence")
        scores = {"confidence": as_scores(confidence), "patience": patience(predicted)}
        for name in _STORED_SCORES:
            scores[name] = _unpack_scores(arrays[name], name)
        table = None
        if not small and "log_probabilities" in arrays:
            values, ranks = arrays["log_probabilities"], arrays["log_probability_ranks"]
            table = _unpack_table(values, ranks, predicted, int(meta["classes"]))
        trace = Trace(
            confidence,
            scores,
            predicted,
            arrays["labels"].astype(np.int64),
            np.cumsum(arrays["id_steps"], dtype=np.int64),
            arrays["relative_cost"].astype(np.float64),
            str(meta["checkpoint_hash"]),
            str(meta["split"]),
            int(meta["classes"]),
            table,
        )
        if predicted.shape != (meta["examples"], meta["exits"]):
            raise ValueError("the arrays do not have the size the file announces")
        _check(trace)
    return trace
