"""What becomes of accuracy, cost and exits when pictures get harder, and whether the network knows it.

Read from one small file per checkpoint, `corruptions-test.npz`: every exit's scores by two rules and right or wrong,
for every corruption and severity of the same test images. `python -m core corruptions NAME` makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.rules import BELOW_ONE, Scores, as_scores
from core.analysis.sweep import mean_cost, route
from core.arrays import open_arrays, read_file, write_arrays
from core.checkpoints import CHECKPOINTS, checkpoint_folder, checkpoint_hash, read_card
from core.errors import UserError
from core.trace import Trace

FORMAT = 2
FILE = "corruptions-test.npz"
RULES = ("confidence", "probability")
LARGEST_ERROR = 0.002  # of a stored score
_STEP = 1 / 64  # of the score's logit
_REACH = 16  # logits from -16 to 16: scores from 1e-7 to 1 - 1e-7
_MAX_FILE_BYTES = 2**28  # uncompressed


@dataclass(frozen=True, eq=False)
class CorruptedAnswers:
    """Answers of all N exits on n pictures made harder in several ways. Arrays are not to be written to.

    Args:
        corruptions: their names.
        scores: for each of `RULES`, float32 (corruptions, severities, examples, exits); severity 1 first. Within
            `LARGEST_ERROR` of the network's: steps of 1/64 of the logit, so that they are finest near 0 and 1.
        correct: (corruptions, severities, examples, exits).
        ids: of the test images, int64 (examples,).
        relative_cost: float64 (exits,).
        checkpoint_hash: SHA-256 of the weights that made it.
    """

    corruptions: tuple[str, ...]
    scores: dict[str, Scores]
    correct: NDArray[np.bool_]
    ids: NDArray[np.int64]
    relative_cost: NDArray[np.float64]
    checkpoint_hash: str

    @property
    def n(self) -> int:
        """Number of pictures."""
        return self.correct.shape[2]

    @property
    def severities(self) -> int:
        """How many there are, 0 not counted."""
        return self.correct.shape[1]

    @property
    def num_exits(self) -> int:
        """N, the last exit counted."""
        return self.correct.shape[3]

    def rounded(self) -> "CorruptedAnswers":
        """With scores as they are after saving and loading."""
        scores = {rule: _from_codes(_to_codes(values)) for rule, values in self.scores.items()}
        return CorruptedAnswers(
            self.corruptions, scores, self.correct, self.ids, self.relative_cost, self.checkpoint_hash
        )

    def save(self, path: Path | str) -> None:
        """Write one compressed .npz without pickle, in one step: a file is there whole or not at all."""
        _check(self)
        path = Path(path)
        meta = {
            "format": FORMAT,
            "checkpoint_hash": self.checkpoint_hash,
            "corruptions": list(self.corruptions),
            "rules": list(RULES),
            "severities": self.severities,
            "examples": self.n,
            "exits": self.num_exits,
        }
        # exits before examples: what is alike lies together and compresses
        codes = np.stack([_to_codes(self.scores[rule]) for rule in RULES]).swapaxes(-1, -2)
        arrays: dict[str, NDArray] = {
            "id_steps": np.diff(self.ids, prepend=0).astype(np.int32),
            "relative_cost": self.relative_cost,
            "scores": np.stack([codes & 255, codes >> 8]).astype(np.uint8),  # low bytes, high bytes
            "correct": np.packbits(self.correct.swapaxes(-1, -2)),
        }
        write_arrays(path, meta, arrays)

    @classmethod
    def load(cls, path: Path | str, name: str = "NAME") -> "CorruptedAnswers":
        """Read what `save` wrote.

        Args:
            name: of the checkpoint, for the remedy.

        Raises:
            UserError: no such file, or not a whole one of this format.
        """
        return read_file(_read, Path(path), "answers to corrupted pictures", _remedy(name))


@dataclass(frozen=True, eq=False)
class Robustness:
    """An operating point under corruption; column 0 of every array is severity 0, the pictures as they are.

    Args:
        corruptions: their names.
        accuracy, relative_cost: (corruptions, severities + 1).
        certainty: mean probability that the exit taken gives its answer, (corruptions, severities + 1); what accuracy
            would be if the network knew exactly how good it is.
        exit_shares: (corruptions, severities + 1, exits).
        n: how many pictures each number is a mean of.
    """

    corruptions: tuple[str, ...]
    accuracy: NDArray[np.float64]
    relative_cost: NDArray[np.float64]
    certainty: NDArray[np.float64]
    exit_shares: NDArray[np.float64]
    n: int

    @property
    def gap(self) -> NDArray[np.float64]:
        """How much surer than right it is, (corruptions, severities + 1); negative where it is too modest."""
        return self.certainty - self.accuracy


def load_corrupted(name: str, root: Path = CHECKPOINTS) -> CorruptedAnswers:
    """A checkpoint's answers to corrupted test images.

    Raises:
        UserError: no such checkpoint or file, or one made with other weights.
    """
    folder = checkpoint_folder(name, root)
    card = read_card(folder)
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"expected {FILE} in {name}, got no such file: {_remedy(name)}")
    answers = CorruptedAnswers.load(path, name)
    if answers.checkpoint_hash != checkpoint_hash(folder) or answers.num_exits != card.num_exits:
        raise UserError(f"expected {FILE} of the weights in {name}, got one of other weights: {_remedy(name)}")
    return answers


def robustness(
    answers: CorruptedAnswers, trace: Trace, rule: str, thresholds: float | Sequence[float] | NDArray
) -> Robustness:
    """Accuracy, cost, exits and certainty at an operating point, per corruption and severity.

    Args:
        trace: of the same weights on the test split; severity 0 is its part with the same ids.
        rule: one of `RULES`.
        thresholds: one for all or K of them, in 0..1.

    Raises:
        UserError: another rule, a trace of other weights or without these images, bad thresholds.
    """
    if rule not in RULES:
        raise UserError(f"expected one of the rules recorded, {' or '.join(RULES)}, got {rule}: choose one of these")
    clean = _same_images(trace, answers)
    count, severities, n, num_exits = answers.correct.shape
    accuracy, cost, certainty = (np.empty((count, severities + 1)) for _ in range(3))
    shares = np.empty((count, severities + 1, num_exits))
    rows = np.arange(n)

    def measure(place: Any, scores: NDArray, sure: NDArray, correct: NDArray) -> None:
        exits = route(scores, thresholds)
        counts = np.bincount(exits, minlength=num_exits)
        accuracy[place] = correct[rows, exits].mean()
        certainty[place] = sure[rows, exits].mean(dtype=np.float64)
        cost[place] = mean_cost(counts, answers.relative_cost, n)
        shares[place] = counts / n

    measure((slice(None), 0), clean.scores[rule], clean.scores["probability"], clean.correct)
    for c in range(count):
        for s in range(severities):
            sure = answers.scores["probability"][c, s]
            measure((c, s + 1), answers.scores[rule][c, s], sure, answers.correct[c, s])
    return Robustness(answers.corruptions, accuracy, cost, certainty, shares, n)


def _same_images(trace: Trace, answers: CorruptedAnswers) -> Trace:
    """The part of a trace about the images that were corrupted, in their order."""
    if trace.checkpoint_hash != answers.checkpoint_hash or trace.split != "test":
        raise UserError("expected the test trace of the same weights, got another: record both again")
    row_of = {int(id_): row for row, id_ in enumerate(trace.ids)}
    rows = np.array([row_of.get(int(id_), -1) for id_ in answers.ids], np.int64)
    if rows.min() < 0:
        raise UserError("expected a test trace with the images that were corrupted, got one without: record both again")
    return trace.select(rows)


def _to_codes(scores: ArrayLike) -> NDArray[np.uint16]:
    """Scores 0..1 as steps of their logit, 0..2048."""
    p = np.asarray(scores, np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(p) - np.log1p(-p)
    return np.rint((np.clip(logits, -_REACH, _REACH) + _REACH) / _STEP).astype(np.uint16)


def _from_codes(codes: NDArray[np.uint16]) -> Scores:
    """The inverse of `_to_codes`; the highest code is the highest score there is."""
    logits = codes.astype(np.float64) * _STEP - _REACH
    scores = as_scores(1 / (1 + np.exp(-logits)))
    return np.where(codes == round(2 * _REACH / _STEP), BELOW_ONE, scores)


def _check(answers: CorruptedAnswers) -> None:
    """Raise a UserError unless all arrays fit together."""
    shape = (len(answers.corruptions), *answers.correct.shape[1:])
    fits = (
        answers.correct.ndim == 4
        and 0 not in answers.correct.shape
        and answers.correct.shape == shape
        and set(answers.scores) == set(RULES)
        and all(values.shape == shape for values in answers.scores.values())
        and answers.ids.shape == (answers.n,)
        and answers.relative_cost.shape == (answers.num_exits,)
    )
    if not fits:
        raise UserError(
            f"expected answers (corruptions, severities, examples, exits) to {len(answers.corruptions)} corruptions, "
            f"got {answers.correct.shape}: pass scores and right answers of one network"
        )
    if not (np.isfinite(answers.relative_cost) & (answers.relative_cost > 0)).all():
        raise UserError(f"expected positive relative costs, got {answers.relative_cost.tolist()}: use the cost table")
    if len(np.unique(answers.ids)) != answers.n:
        raise UserError("expected every image once, got some twice: take the first of the test split")


def _read(path: Path) -> CorruptedAnswers:
    with open_arrays(path, FORMAT, _MAX_FILE_BYTES) as (meta, arrays):
        if meta.get("rules") != list(RULES):
            raise ValueError("another format")
        names = meta["corruptions"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("no names of corruptions")
        sizes = (len(names), meta["severities"], meta["exits"], meta["examples"])
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError("sizes that are no numbers")
        planes, bits = arrays["scores"], arrays["correct"]
        if planes.dtype != np.uint8 or planes.shape != (2, len(RULES), *sizes):
            raise ValueError("scores of another shape")
        codes = planes[0].astype(np.uint16) | (planes[1].astype(np.uint16) << 8)
        if codes.max() > 2 * _REACH / _STEP:
            raise ValueError("scores out of range")
        total = int(np.prod(sizes))
        if bits.dtype != np.uint8 or bits.shape != (-(-total // 8),):
            raise ValueError("right answers of another shape")
        answers = CorruptedAnswers(
            tuple(names),
            {rule: np.ascontiguousarray(_from_codes(codes[r]).swapaxes(-1, -2)) for r, rule in enumerate(RULES)},
            np.ascontiguousarray(np.unpackbits(bits, count=total).reshape(sizes).astype(np.bool_).swapaxes(-1, -2)),
            np.cumsum(arrays["id_steps"], dtype=np.int64),
            arrays["relative_cost"].astype(np.float64),
            str(meta["checkpoint_hash"]),
        )
    _check(answers)
    return answers


def _remedy(name: str) -> str:
    return f"run `python -m core corruptions {name}`"
