"""The policy file: an operating point to take along. JSON, validated on reading."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.analysis.rules import RULES
from core.errors import UserError
from core.trace import SPLITS

FORMAT = "eenet-policy"
VERSION = 1
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What thresholds gave on a split.

    Args:
        split: `calibration` or `test`.
        n: examples.
        accuracy: 0..1.
        relative_cost: mean.
    """

    split: str
    n: int
    accuracy: float
    relative_cost: float


@dataclass(frozen=True)
class PolicyFile:
    """One operating point of one checkpoint.

    Args:
        checkpoint: DATASET/MODEL.
        checkpoint_hash: SHA-256 of its weights, 64 hex digits.
        rule: a name in `core.analysis.rules.RULES`.
        thresholds: K of them in 0..1 (float32 values), 1 for an exit that is switched off.
        temperatures: one per exit (K + 1), or None.
        chosen_on: the words for where and how the thresholds were chosen ("by hand", "calibration: cost 0.4").
        gave: what they gave, at least on one split.
    """

    checkpoint: str
    checkpoint_hash: str
    rule: str
    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...] | None
    chosen_on: str
    gave: tuple[Measured, ...]

    def to_json(self) -> str:
        """The file's text."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "checkpoint": self.checkpoint,
            "checkpoint_hash": self.checkpoint_hash,
            "rule": self.rule,
            "thresholds": list(self.thresholds),
            "temperatures": None if self.temperatures is None else list(self.temperatures),
            "chosen_on": self.chosen_on,
            "gave": [vars(measured) for measured in self.gave],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path | str) -> None:
        """Writes the file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def check_checkpoint(self, checkpoint_hash: str, num_exits: int) -> None:
        """Makes sure that the policy belongs to a checkpoint.

        Raises:
            UserError: it was made for other weights, or for another number of exits.
        """
        if checkpoint_hash != self.checkpoint_hash:
            raise UserError(
                f"expected the weights the policy was made for ({self.checkpoint}, {self.checkpoint_hash[:12]}), "
                f"got {checkpoint_hash[:12]}: choose that checkpoint or make the policy again"
            )
        if len(self.thresholds) != num_exits - 1:
            raise UserError(
                f"expected a policy with {num_exits - 1} thresholds for this checkpoint, got {len(self.thresholds)}: "
                "make the policy again"
            )


def parse_policy(text: str) -> PolicyFile:
    """A policy from its JSON text.

    Raises:
        UserError: not JSON, or a field that is missing or not what it should be.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0] if str(error) else "nested too deep"
        raise UserError(f"expected a policy file in JSON, got something else ({problem}): export it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise UserError(
            f'expected "format": "{FORMAT}", "version": {VERSION}, got another file: export the policy again'
        )
    thresholds = _numbers(content, "thresholds", lambda value: 0 <= value <= 1, "from 0 to 1")
    temperatures = None
    if content.get("temperatures") is not None:
        temperatures = _numbers(content, "temperatures", lambda value: value > 0, "above 0")
        if len(temperatures) != len(thresholds) + 1:
            raise _wrong("temperatures", f"{len(thresholds) + 1} numbers, one per exit", len(temperatures))
    rule = _text(content, "rule")
    if rule not in RULES:
        raise _wrong("rule", f"one of {', '.join(RULES)}", rule)
    checkpoint_hash = _text(content, "checkpoint_hash")
    if not re.fullmatch("[0-9a-f]{64}", checkpoint_hash):
        raise _wrong("checkpoint_hash", "64 hex digits", checkpoint_hash)
    gave = content.get("gave")
    if not isinstance(gave, list) or not gave:
        raise _wrong("gave", "a list of what the thresholds gave on which split", gave)
    return PolicyFile(
        _text(content, "checkpoint"),
        checkpoint_hash,
        rule,
        thresholds,
        temperatures,
        _text(content, "chosen_on"),
        tuple(_measured(entry) for entry in gave),
    )


def read_policy(path: Path | str) -> PolicyFile:
    """A policy from a file.

    Raises:
        UserError: no such file, or as `parse_policy`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"expected a policy file at {path}, got: {error.strerror}: check the path") from None
    if len(content) > MAX_FILE_BYTES:
        raise UserError(f"expected a policy file below 1 MiB, got a larger one at {path}: export it again")
    try:
        return parse_policy(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"expected a policy file in UTF-8, got other bytes at {path}: export it again") from None


def _wrong(field: str, expected: str, got: Any) -> UserError:
    shown = json.dumps(got, default=str)
    return UserError(f'expected "{field}" to be {expected}, got {shown[:80]}: export the policy again')


def _text(content: dict[str, Any], field: str) -> str:
    value = content.get(field)
    if not isinstance(value, str) or not value or len(value) > 500:
        raise _wrong(field, "a short text", value)
    return value


def _is_number(value: Any) -> bool:
    # an integer of hundreds of digits has no float
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and not math.isnan(value)
    )


def _numbers(content: dict[str, Any], field: str, fits: Any, words: str) -> tuple[float, ...]:
    values = content.get(field)
    if (
        not isinstance(values, list)
        or len(values) > 255
        or not all(_is_number(value) and fits(value) for value in values)
    ):
        raise _wrong(field, f"a list of numbers {words}", values)
    return tuple(float(value) for value in values)


def _measured(entry: Any) -> Measured:
    if not isinstance(entry, dict) or entry.get("split") not in SPLITS:
        raise _wrong("gave", f"split ({' or '.join(SPLITS)}), n, accuracy, relative_cost", entry)
    n, accuracy, cost = (entry.get(field) for field in ("n", "accuracy", "relative_cost"))
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise _wrong("n", "a number of examples", n)
    if not _is_number(accuracy) or not 0 <= accuracy <= 1:  # type: ignore[operator]
        raise _wrong("accuracy", "a number from 0 to 1", accuracy)
    if not _is_number(cost) or not cost > 0:  # type: ignore[operator]
        raise _wrong("relative_cost", "a number above 0", cost)
    return Measured(entry["split"], n, float(accuracy), float(cost))  # type: ignore[arg-type]
