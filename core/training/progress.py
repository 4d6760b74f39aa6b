"""What a training says about itself while it works: a small file, about once a second, with an estimate of the rest."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.training.confidence import BATCH, STEPS
from core.training.jobs import PROGRESS_FILE, write_json
from core.training.losses import CONFIDENCE_LOSSES
from core.training.recipe import Recipe

EVERY = 1.0  # seconds between two writings
FIRST_ESTIMATE = 60.0  # seconds of training before a rest is told
RECORDED = 15_000  # images of calibration and test together, or less where there are few
_FORWARD = 1 / 3  # of a training step's time


class Watch:
    """Follows a training step by step and writes `progress.json`.

    Args:
        folder: where the file goes.
        recipe: what is trained.
        examples: training images.
        clock: seconds that only grow.
    """

    def __init__(self, folder: Path, recipe: Recipe, examples: int, clock: Callable[[], float] = time.monotonic):
        self._path = folder / PROGRESS_FILE
        self._recipe = recipe
        self._examples = examples
        self._clock = clock
        self._phase, self._begun, self._at_first = "", 0.0, 0
        self._last = 0.0  # time of the last step
        self._written = float("-inf")
        self._seconds: dict[int, float] = defaultdict(float)  # of the steps at each side in pixels
        self._steps: dict[int, int] = defaultdict(int)

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Hears how much of a phase is done; for `training` in steps of all epochs together."""
        now = self._clock()
        if phase != self._phase:  # its first step has warmed up: count from here
            self._phase, self._begun, self._at_first = phase, now, done
            self._written = float("-inf")
        elif phase == "training":
            side = self._side((done - 1) * self._recipe.epochs // total)
            self._seconds[side] += now - self._last
            self._steps[side] += 1
        self._last = now
        if now - self._written < EVERY and done < total:
            return
        self._written = now
        facts: dict[str, Any] = {"phase": phase, "done": done, "total": total, "epochs": self._recipe.epochs}
        if phase == "training":
            facts["epoch"] = min((done - 1) * self._recipe.epochs // total + 1, self._recipe.epochs)
            left = self.seconds_left(done, total)
        else:
            spent, steps = now - self._begun, done - self._at_first
            left = spent / steps * (total - done) if steps else None
        facts["seconds_left"] = None if left is None else round(left)
        with suppress(OSError):  # where the disk is full, the next state says so
            write_json(self._path, facts)

    def fail(self, line: str) -> None:
        """Keeps the one line on why the training ended."""
        with suppress(OSError):
            write_json(self._path, {"phase": "failed", "error": line})

    def seconds_left(self, done: int, total: int) -> float | None:
        """An estimate of all that is to come, from the speed so far; None within the first minute.

        A step at a side not met yet takes the time of the nearest one times the ratio of the areas; fitting the
        confidences and recording answers are forward passes at full size.

        Args:
            done, total: steps of all epochs.
        """
        if sum(self._seconds.values()) < FIRST_ESTIMATE:
            return None
        per_epoch = total // self._recipe.epochs
        left = 0.0
        for epoch in range((done * self._recipe.epochs) // total, self._recipe.epochs):
            steps = min(per_epoch, total - done, (epoch + 1) * per_epoch - done)
            left += steps * self._rate(self._side(epoch))
        recipe = self._recipe
        fits = recipe.method == "alive" and recipe.loss in CONFIDENCE_LOSSES and recipe.network.num_early_exits > 0
        passes = (STEPS * BATCH if fits else 0) + 2 * min(RECORDED, 0.6 * self._examples)  # once more for the map
        return left + passes * _FORWARD * self._rate(self._side(recipe.epochs)) / recipe.batch_size

    def _side(self, epoch: int) -> int:
        return self._recipe.side(epoch) or self._recipe.network.input_shape[1]

    def _rate(self, side: int) -> float:
        """Seconds of a training step at a side."""
        nearest = min(self._steps, key=lambda met: abs(met - side))
        return self._seconds[nearest] / self._steps[nearest] * (side / nearest) ** 2
