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
from core.trace_codes import (
    code_open_shares,
    decode_open_shares,
    pack_scores,
    pack_table,
    round_scores,
    unpack_scores,
    unpack_table,
)

FORMAT = 1
SPLITS = ("calibration", "test")
TUNING_EXAMPLES = 2000
MAX_FILE_BYTES = 2**31  # uncompressed
_TABLE_ERROR = 0.00025


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
        """The form for a repository with many networks: no class table, scores rounded; a file takes a third.

        Of confidence and largest probability the distance below 1 is rounded, by 0.8 % at most: scores next to 1 stay
        apart, order is kept. Margin and entropy move by 0.02 at most, less the nearer p is to 1.
        """
        confidence = round_scores(self.confidence)
        p = round_scores(self.scores["probability"])
        margin, entropy = decode_open_shares(p, *code_open_shares(self.scores, self.classes), self.classes)
        scores = {"confidence": as_scores(confidence), "probability": p, "margin": margin, "entropy": entropy}
        return replace(self, confidence=confidence, scores={**self.scores, **scores}, log_probabilities=None)

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
            "confidence": pack_scores(self.confidence),
            "probability": pack_scores(self.scores["probability"]),
        }
        shares = code_open_shares(self.scores, self.classes)
        margin, entropy = decode_open_shares(self.scores["probability"], *shares, self.classes)
        if np.array_equal(margin, self.scores["margin"]) and np.array_equal(entropy, self.scores["entropy"]):
            arrays["second_share"], arrays["spread"] = (np.ascontiguousarray(codes.T) for codes in shares)
        else:
            arrays["margin"], arrays["entropy"] = (pack_scores(self.scores[name]) for name in ("margin", "entropy"))
        if self.log_probabilities is not None:
            values, ranks = pack_table(self.log_probabilities, self.predicted)
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


def _read(path: Path, small: bool) -> Trace:
    with open_arrays(path, FORMAT, MAX_FILE_BYTES) as (meta, arrays):
        predicted = np.ascontiguousarray(arrays["predicted"].T.astype(np.int16))
        confidence = unpack_scores(arrays["confidence"], "confidence")
        p = unpack_scores(arrays["probability"], "probability")
        if "margin" in arrays:
            margin, entropy = (unpack_scores(arrays[name], name) for name in ("margin", "entropy"))
        else:  # a compact trace
            second, spread = (np.ascontiguousarray(arrays[name].T) for name in ("second_share", "spread"))
            margin, entropy = decode_open_shares(as_scores(p), second, spread, int(meta["classes"]))
        scores = {
            "confidence": as_scores(confidence),
            "probability": p,
            "margin": margin,
            "entropy": entropy,
            "patience": patience(predicted),
        }
        table = None
        if not small and "log_probabilities" in arrays:
            values, ranks = arrays["log_probabilities"], arrays["log_probability_ranks"]
            table = unpack_table(values, ranks, predicted, int(meta["classes"]))
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
