"""Which examples are meant: a filter over the examples of a trace at an operating point, and its short form in a link.

A filter holds plain wishes (classes, exits, ...) and marks that were clicked. Marks of one kind are alternatives, all
else must hold together.
"""

import base64
import binascii
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.analysis.overthinking import GROUPS, groups, prediction_depth
from core.trace import Trace

LONGEST_LASSO = 4000  # characters of a link
_LARGEST_LASSO = 2**24  # rows; what a link may unpack to
_SEPARATOR, _NAME, _VALUE, _PART = ";", ":", ",", "_"
_ANY = "x"


@dataclass(frozen=True, order=True)
class Leaver:
    """A square or a ribbon: examples of a class that leave at an exit, right or wrong there. None: any.

    Args:
        label: the true class.
        exit: column of the exit taken.
        right: whether the exit taken is right.
    """

    label: int | None = None
    exit: int | None = None
    right: bool | None = None


@dataclass(frozen=True, order=True)
class Answer:
    """A cell of an exit's confusion matrix.

    Args:
        exit: column of the exit that is asked.
        label, predicted: the true class and what that exit says.
        leaving: only those that leave there.
    """

    exit: int
    label: int
    predicted: int
    leaving: bool = False


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle in the plane of two exits' scores; low ends belong to it, high ends do not.

    Args:
        exits: their columns.
        first, second: (low, high) of each.
    """

    exits: tuple[int, int]
    first: tuple[float, float]
    second: tuple[float, float]


@dataclass(frozen=True, order=True)
class Move:
    """Examples that leave at another exit, or answer otherwise, than at the pinned point. None: any.

    Args:
        before, now: columns of the exits taken.
        turned: True for those that turned right, False for those that turned wrong.
        changed: only those whose exit changed.
    """

    before: int | None = None
    now: int | None = None
    turned: bool | None = None
    changed: bool = False


@dataclass(frozen=True)
class Selection:
    """A filter; empty, every example passes.

    Args:
        labels: true classes, any of them.
        predicted: classes that the exit taken says, any of them.
        right: whether the exit taken is right.
        exits: columns of exits taken, any of them.
        scores: (low, high) of the score at the exit taken, both ends included.
        leavers, answers, depths, groups, boxes, moves: marks; of each kind any of them. Depths are columns; groups are
            names in `core.analysis.overthinking.GROUPS`.
        rows: of the trace, drawn on the map; None: no lasso.
    """

    labels: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()
    right: bool | None = None
    exits: tuple[int, ...] = ()
    scores: tuple[float, float] | None = None
    leavers: tuple[Leaver, ...] = ()
    answers: tuple[Answer, ...] = ()
    depths: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    moves: tuple[Move, ...] = ()
    rows: tuple[int, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every example passes."""
        return self == Selection()

    def without_marks(self) -> "Selection":
        """The plain wishes alone."""
        return Selection(self.labels, self.predicted, self.right, self.exits, self.scores)

    def marked(self, kind: str, mark: Any, add: bool) -> "Selection":
        """The filter after a mark was clicked.

        Args:
            kind: `leavers`, `answers`, `depths`, `groups`, `boxes` or `moves`.
            mark: the one that was clicked.
            add: keep the other marks. A mark that is on alone, or is clicked to be added again, goes off.
        """
        there: tuple[Any, ...] = getattr(self, kind)
        changes: dict[str, Any] = {kind: (mark,)}
        if add:
            changes[kind] = tuple(m for m in there if m != mark) if mark in there else (*there, mark)
            return replace(self, **changes)
        plain = self.without_marks()
        only_this = replace(plain, **changes)
        return plain if self == only_this else only_this


def comparable_scores(scores: NDArray[np.float32], trace: Trace) -> NDArray[np.float32]:
    """Scores with something to compare at the last exit: where a rule says the same there for all examples (a learned
    confidence that nothing trains, as the last exit decides nothing), its largest probability stands in.

    Args:
        scores: (examples, exits).
    """
    last = scores[:, -1]
    if len(last) and (last == last[0]).all():
        scores = scores.copy()
        scores[:, -1] = trace.scores["probability"][:, -1]
    return scores


def matching(
    selection: Selection,
    trace: Trace,
    exits: NDArray[np.int64],
    scores: NDArray[np.float32],
    before: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Which examples pass a filter, bool (examples,).

    Args:
        exits: column of the exit each example takes.
        scores: (examples, exits), from `comparable_scores`.
        before: the exit each takes at the pinned point; without one, moves are not looked at.
    """
    everyone = np.arange(trace.n)
    said = trace.predicted[everyone, exits]
    right = trace.correct[everyone, exits]
    passes = np.ones(trace.n, np.bool_)
    if selection.labels:
        passes &= np.isin(trace.labels, selection.labels)
    if selection.predicted:
        passes &= np.isin(said, selection.predicted)
    if selection.right is not None:
        passes &= right == selection.right
    if selection.exits:
        passes &= np.isin(exits, selection.exits)
    if selection.scores is not None:
        taken = scores[everyone, exits].astype(np.float64)
        passes &= (taken >= selection.scores[0]) & (taken <= selection.scores[1])
    if selection.depths:
        passes &= np.isin(prediction_depth(trace.predicted), selection.depths)
    if selection.groups:
        passes &= np.isin(groups(trace.correct), [list(GROUPS).index(name) for name in selection.groups])
    if selection.rows is not None:
        inside = np.zeros(trace.n, np.bool_)
        inside[list(selection.rows)] = True
        passes &= inside

    def any_of(marks: Iterable[Any], holds: Callable[[Any], NDArray[np.bool_]]) -> None:
        found = np.zeros(trace.n, np.bool_)
        for mark in marks:
            found |= holds(mark)
        np.logical_and(passes, found, out=passes)

    if selection.leavers:
        any_of(
            selection.leavers,
            lambda m: _is(trace.labels, m.label) & _is(exits, m.exit) & _is(right, m.right),
        )
    if selection.answers:
        any_of(
            selection.answers,
            lambda m: (
                (trace.labels == m.label)
                & (trace.predicted[:, m.exit] == m.predicted)
                & _is(exits, m.exit if m.leaving else None)
            ),
        )
    if selection.boxes:
        any_of(
            selection.boxes,
            lambda m: _inside(scores[:, m.exits[0]], m.first) & _inside(scores[:, m.exits[1]], m.second),
        )
    if selection.moves and before is not None:
        was_right = trace.correct[everyone, before]

        def moved(m: Move) -> NDArray[np.bool_]:
            found = _is(before, m.before) & _is(exits, m.now)
            if m.turned is not None:
                found = found & (was_right != right) & (right == m.turned)
            return found & (before != exits) if m.changed else found

        any_of(selection.moves, moved)
    return passes


def _is(values: NDArray, wanted: int | bool | None) -> NDArray[np.bool_]:
    return np.ones(len(values), np.bool_) if wanted is None else values == wanted


def _inside(values: NDArray[np.float32], ends: tuple[float, float]) -> NDArray[np.bool_]:
    wide = values.astype(np.float64)
    return (wide >= ends[0]) & (wide < ends[1])


def write_selection(selection: Selection) -> str:
    """A filter as a short word for a link; empty for the empty filter.

    A lasso that would take more than `LONGEST_LASSO` characters is left out.
    """
    parts: dict[str, list[str]] = {
        "class": [str(label) for label in selection.labels],
        "said": [str(label) for label in selection.predicted],
        "answer": [] if selection.right is None else ["right" if selection.right else "wrong"],
        "exit": [str(n + 1) for n in selection.exits],
        "score": [] if selection.scores is None else [_PART.join(map(_number, selection.scores))],
        "leave": [
            _PART.join((_maybe(m.label), _maybe(m.exit, 1), *_flag(m.right, "r", "w"))) for m in selection.leavers
        ],
        "cell": [
            _PART.join((str(m.exit + 1), str(m.label), str(m.predicted), *(["h"] if m.leaving else [])))
            for m in selection.answers
        ],
        "depth": [str(n + 1) for n in selection.depths],
        "group": list(selection.groups),
        "box": [
            _PART.join([*(str(n + 1) for n in m.exits), *map(_number, m.first + m.second)]) for m in selection.boxes
        ],
        "move": [
            _PART.join(
                (_maybe(m.before, 1), _maybe(m.now, 1), *_flag(m.turned, "r", "w"), *(["c"] if m.changed else []))
            )
            for m in selection.moves
        ],
    }
    words = [name + _NAME + _VALUE.join(values) for name, values in parts.items() if values]
    if selection.rows is not None:
        lasso = _pack(selection.rows)
        words += [f"lasso{_NAME}{lasso}"] if len(lasso) <= LONGEST_LASSO else []
    return _SEPARATOR.join(words)


def read_selection(text: str, classes: int, num_exits: int, examples: int) -> tuple[Selection, list[str]]:
    """The inverse of `write_selection`, for a trace of that size.

    Returns:
        The filter made of all that makes sense, and the parts of the text that do not.
    """
    reader = _Reader(classes, num_exits, examples)
    found: dict[str, Any] = {}
    bad: list[str] = []
    for word in filter(None, text.split(_SEPARATOR)):
        name, _, values = word.partition(_NAME)
        read = reader.parts().get(name)
        if read is None or not values or read[0] in found:
            bad.append(word)
            continue
        field, function = read
        try:
            found[field] = function(values)
        except (ValueError, binascii.Error, zlib.error):
            bad.append(word)
    return Selection(**found), bad


class _Reader:
    """Reads the values of each part; a ValueError says that one makes no sense."""

    def __init__(self, classes: int, num_exits: int, examples: int):
        self.classes, self.num_exits, self.examples = classes, num_exits, examples

    def parts(self) -> dict[str, tuple[str, Callable[[str], Any]]]:
        """Name in a link -> field of the filter, and how its values are read."""
        return {
            "class": ("labels", self.several(self.label)),
            "said": ("predicted", self.several(self.label)),
            "answer": ("right", self.right),
            "exit": ("exits", self.several(self.exit)),
            "score": ("scores", self.scores),
            "leave": ("leavers", self.several(self.leaver)),
            "cell": ("answers", self.several(self.answer)),
            "depth": ("depths", self.several(self.exit)),
            "group": ("groups", self.several(self.group)),
            "box": ("boxes", self.several(self.box)),
            "move": ("moves", self.several(self.move)),
            "lasso": ("rows", lambda text: _unpack(text, self.examples)),
        }

    @staticmethod
    def several(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
        return lambda text: tuple(dict.fromkeys(read(word) for word in text.split(_VALUE)))

    def label(self, word: str) -> int:
        return _whole(word, self.classes)

    def exit(self, word: str) -> int:
        return _whole(word, self.num_exits + 1, 1) - 1

    def scores(self, text: str) -> tuple[float, float]:
        low, high = map(_float, text.split(_PART))
        return _ordered(low, high)

    @staticmethod
    def right(text: str) -> bool:
        return ("wrong", "right").index(text) == 1

    @staticmethod
    def group(word: str) -> str:
        return list(GROUPS)[list(GROUPS).index(word)]

    def leaver(self, word: str) -> Leaver:
        label, exit_, *rest = word.split(_PART)
        return Leaver(
            None if label == _ANY else self.label(label), None if exit_ == _ANY else self.exit(exit_), _turn(rest)
        )

    def answer(self, word: str) -> Answer:
        exit_, label, said, *rest = word.split(_PART)
        return Answer(self.exit(exit_), self.label(label), self.label(said), _only(rest, "h"))

    def box(self, word: str) -> Box:
        first, second, *ends = word.split(_PART)
        a, b, c, d = map(_float, ends)
        return Box((self.exit(first), self.exit(second)), _ordered(a, b), _ordered(c, d))

    def move(self, word: str) -> Move:
        before, now, *rest = word.split(_PART)
        changed = rest[-1:] == ["c"]
        return Move(
            None if before == _ANY else self.exit(before),
            None if now == _ANY else self.exit(now),
            _turn(rest[:-1] if changed else rest),
            changed,
        )


def _whole(word: str, end: int, start: int = 0) -> int:
    if not (word.isascii() and word.isdigit() and start <= int(word[:9]) < end and len(word) < 10):
        raise ValueError(word)
    return int(word)


def _float(word: str) -> float:
    value = float(word)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(word)
    return value


def _ordered(low: float, high: float) -> tuple[float, float]:
    if low > high:
        raise ValueError(low)
    return low, high


def _turn(rest: list[str]) -> bool | None:
    if not rest:
        return None
    (word,) = rest
    return ("w", "r").index(word) == 1


def _only(rest: list[str], word: str) -> bool:
    if rest not in ([], [word]):
        raise ValueError(rest)
    return bool(rest)


def _number(value: float) -> str:
    return np.format_float_positional(value, unique=True, trim="-")


def _maybe(value: int | None, offset: int = 0) -> str:
    return _ANY if value is None else str(value + offset)


def _flag(value: bool | None, yes: str, no: str) -> list[str]:
    return [] if value is None else [yes if value else no]


def _pack(rows: tuple[int, ...]) -> str:
    """Rows as packed bits, compressed, in letters that a link carries."""
    bits = np.zeros(max(rows, default=0) + 1, np.bool_)
    bits[list(rows)] = True
    return base64.urlsafe_b64encode(zlib.compress(np.packbits(bits).tobytes(), 9)).decode().rstrip("=")


def _unpack(text: str, examples: int) -> tuple[int, ...]:
    data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(data, _LARGEST_LASSO // 8)
    rows = np.flatnonzero(np.unpackbits(np.frombuffer(raw, np.uint8)))
    if not unpacker.eof or (len(rows) and rows[-1] >= examples):
        raise ValueError("rows of another trace")
    return tuple(int(row) for row in rows)
