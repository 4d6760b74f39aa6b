"""What a checkpoint amounts to in numbers: read off its test trace once, off its files without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from core.analysis.calibration import expected_calibration_error
from core.analysis.reference_points import area_under_curve
from core.analysis.rules import RULES
from core.analysis.seeds import best_at, frontier
from core.analysis.sweep import exact_sweep
from core.checkpoints import WEIGHTS_FILE, check_safetensors
from core.trace import Trace

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # counted by BatchNorm, not learned


@dataclass(frozen=True, eq=False)
class Profile:
    """A network on one split.

    Args:
        split: `calibration` or `test`.
        n: number of examples.
        exit_accuracy: of each exit by itself, 0..1.
        calibration_error: expected calibration error of the largest probability at each exit, 0..1, 15 bins.
        fronts: for each rule (accuracy, relative cost) of the points of its exact curve that no cheaper one matches.
        area: for each rule the area under its curve; empty without early exits.
    """

    split: str
    n: int
    exit_accuracy: tuple[float, ...]
    calibration_error: tuple[float, ...]
    fronts: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    area: Mapping[str, float]

    def best(self, rule: str, most: float) -> float | None:
        """The highest accuracy at this mean relative cost or less, one threshold for all exits; None: not reached."""
        return best_at(*self.fronts[rule], most)


def profile(trace: Trace) -> Profile:
    """A trace's numbers.

    Raises:
        UserError: a trace without examples.
    """
    sure = trace.scores["probability"]
    errors = tuple(expected_calibration_error(sure[:, n], trace.correct[:, n]) for n in range(trace.num_exits))
    fronts, area = {}, {}
    for rule in RULES:
        sweep = exact_sweep(trace.scores[rule], trace.correct, trace.relative_cost)
        fronts[rule] = frontier(sweep.accuracy, sweep.relative_cost)
        if trace.num_exits > 1:
            area[rule] = area_under_curve(sweep.accuracy, sweep.relative_cost, float(trace.relative_cost[0]))
    accuracy = tuple(trace.correct.mean(axis=0).tolist())
    return Profile(trace.split, trace.n, accuracy, errors, fronts, area)


@dataclass(frozen=True)
class Size:
    """How large a checkpoint is.

    Args:
        parameters: learned numbers, those of the exits among them.
        exit_parameters: of the exits, the last one's classifier among them.
        disk_bytes: of all files in the folder.
    """

    parameters: int
    exit_parameters: int
    disk_bytes: int


def size_of(folder: Path) -> Size:
    """The size of a checkpoint; only the weights' header is read.

    Raises:
        UserError: no readable weights.
    """
    path = folder / WEIGHTS_FILE
    check_safetensors(path)
    total = exits = 0
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (it is no dict)
            if name.endswith(_BUFFERS):
                continue
            count = int(np.prod(file.get_slice(name).get_shape(), dtype=np.int64))
            total += count
            exits += count if name.startswith("exits.") else 0
    disk = sum(found.stat().st_size for found in folder.iterdir() if found.is_file())
    return Size(total, exits, disk)
