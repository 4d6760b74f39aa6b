"""How long one image takes: left early, and through the whole network without exits."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.network.early_exit import EarlyExitNetwork

FEWEST = 5


@dataclass(frozen=True)
class Timing:
    """Wall-clock times of one image, from the host's memory to the answer back in it.

    Args:
        early: seconds up to the exit taken, every exit block on the way tried; quartiles (25 %, median, 75 %).
        full: seconds of the same network without early exits; quartiles.
        repeats: how often each was run.
    """

    early: tuple[float, float, float]
    full: tuple[float, float, float]
    repeats: int

    @property
    def speed_up(self) -> float:
        """Median of the full network over the median of leaving early."""
        return self.full[1] / self.early[1]


def time_image(
    network: EarlyExitNetwork, image: NDArray[np.float32] | Tensor, exit: int, repeats: int = 15, budget: float = 0.15
) -> Timing:
    """Times leaving at an exit against the full network, in turns, so that a busy moment hits both.

    Args:
        network: in evaluation mode, on the device to time.
        image: preprocessed, (1, channels, h, w).
        exit: the column 0..N-1 at which it leaves.
        repeats: of each, at most.
        budget: seconds after which no further repeat starts; five of each are always run.
    """
    where = next(network.parameters()).device
    start = torch.as_tensor(image)
    last = network.num_exits - 1

    def early() -> None:
        x = start.to(where)
        for column in range(exit + 1):
            x = network.segments[column](x)
            for answer in network.exits[column](x):
                answer.cpu()  # the rule reads it, and the copy waits for the device

    def full() -> None:
        x = start.to(where)
        for segment in network.segments:
            x = segment(x)
        network.exits[last](x)[0].cpu()

    times: dict[Callable[[], None], list[float]] = {early: [], full: []}
    with torch.inference_mode():
        for run in times:
            run()  # unmeasured: a first run pays for allocations and kernel choice
        began = time.perf_counter()
        for repeat in range(max(repeats, FEWEST)):
            if repeat >= FEWEST and time.perf_counter() - began > budget:
                break
            for run, seconds in times.items():
                started = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - started)
    return Timing(_quartiles(times[early]), _quartiles(times[full]), len(times[full]))


def time_exits(
    network: EarlyExitNetwork,
    image: NDArray[np.float32] | Tensor,
    repeats: int = 60,
    budget: float = 1.5,
    progress: Callable[[float], None] = lambda part: None,
) -> tuple[list[float], float]:
    """Times every exit and the network without early exits, in turns.

    One pass through all exits gives a time for each step between two of them. The lower quartile of each step counts:
    what else the machine does can only add to it. Their sums never fall from exit to exit.

    Args:
        network: in evaluation mode, on the device to time.
        image: preprocessed, (1, channels, h, w).
        repeats: of each, at most.
        budget: seconds after which no further repeat starts; five of each are always run.
        progress: told the part that is done, 0..1.

    Returns:
        Seconds to the answer of each exit 1..N, every exit block on the way tried, and of the network without them.
    """
    where = next(network.parameters()).device
    start = torch.as_tensor(image)
    last = network.num_exits - 1
    steps: list[list[float]] = []
    plain: list[float] = []

    def through_all() -> list[float]:
        marks = [time.perf_counter()]
        x = start.to(where)
        for segment, exit_block in zip(network.segments, network.exits, strict=True):
            x = segment(x)
            for answer in exit_block(x):
                answer.cpu()  # the rule reads it, and the copy waits for the device
            marks.append(time.perf_counter())
        return [after - before for before, after in pairwise(marks)]

    def without_exits() -> float:
        began = time.perf_counter()
        x = start.to(where)
        for segment in network.segments:
            x = segment(x)
        network.exits[last](x)[0].cpu()
        return time.perf_counter() - began

    with torch.inference_mode():
        through_all(), without_exits()  # unmeasured: a first run pays for allocations and kernel choice
        began = time.perf_counter()
        while len(plain) < max(repeats, FEWEST):
            spent = time.perf_counter() - began
            if len(plain) >= FEWEST and spent > budget:
                break
            steps.append(through_all())
            plain.append(without_exits())
            progress(min(1.0, max(len(plain) / repeats, spent / budget if budget else 1.0)))
    exits = np.cumsum(np.quantile(np.array(steps), 0.25, axis=0))
    return exits.tolist(), float(np.quantile(plain, 0.25))


def _quartiles(seconds: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)
