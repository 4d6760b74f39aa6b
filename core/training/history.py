"""The epochs of a training, read back from its folder. Needs no torch."""

import json
from pathlib import Path
from typing import Any

from core.checkpoints import HISTORY_FILE
from core.errors import UserError

LARGEST = 16 * 2**20  # bytes
_HUGE = 10**12
_NUMBERS = ("loss", "mean_cost", "seconds")
_LISTS = ("training_accuracy", "exit_shares")  # one number for each exit


def read_history(folder: Path, num_exits: int) -> list[dict[str, Any]]:
    """One dict for each finished epoch, in their order; none where no history was kept.

    Args:
        num_exits: N of the network that was trained.

    Raises:
        UserError: the file is something else.
    """
    path = folder / HISTORY_FILE
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("more than 16 MB")
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"expected one JSON object for each epoch in {HISTORY_FILE} of {folder.name}, got "
            f"{' '.join(str(error).split())}: copy the file again"
        ) from None
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not _whole(line.get("epoch")) or not _fits(line, num_exits):
            raise UserError(
                f"expected epoch, loss and {num_exits} numbers for the exits in line {number} of {HISTORY_FILE} of "
                f"{folder.name}, got something else: copy the file again"
            )
    return sorted(lines, key=lambda line: line["epoch"])


def _fits(line: dict[str, Any], num_exits: int) -> bool:
    lists = [line[name] for name in _LISTS if name in line]
    return all(_finite(line[name]) for name in _NUMBERS if name in line) and all(
        isinstance(values, list) and len(values) == num_exits and all(map(_finite, values)) for values in lists
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _HUGE


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _HUGE  # false for NaN
