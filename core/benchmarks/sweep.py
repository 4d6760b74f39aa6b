"""How long the exact sweep and the per-exit search take, on synthetic traces."""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.analysis.sweep import exact_sweep
from core.analysis.thresholds import per_exit_front

Arrays = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]


def synthetic_trace(n: int, num_exits: int, seed: int = 0) -> Arrays:
    """Scores, correct and relative cost that look like a trained network's.

    Each example has a difficulty; later exits see more of it, scores say how likely an answer is right, with noise.
    """
    rng = np.random.default_rng(seed)
    ease = rng.standard_normal(n, np.float32)
    scores = np.empty((n, num_exits), np.float32)
    correct = np.empty((n, num_exits), np.bool_)
    for exit_ in range(num_exits):
        depth = (exit_ + 1) / num_exits
        margin = 2 * ease + 4 * np.float32(depth) - 1 + rng.standard_normal(n, np.float32)
        chance = 1 / (1 + np.exp(-margin))
        correct[:, exit_] = rng.random(n, np.float32) < chance
        noisy = margin + rng.standard_normal(n, np.float32)
        scores[:, exit_] = np.minimum(1 / (1 + np.exp(-noisy)), np.nextafter(np.float32(1), np.float32(0)))
    return scores, correct, np.linspace(1 / num_exits, 1.02, num_exits)


def grid_sweep(scores: NDArray, correct: NDArray, relative_cost: NDArray, points: int = 101) -> tuple[NDArray, ...]:
    """What others do: a grid of thresholds, all examples at once for each."""
    rows = np.arange(len(scores))
    thresholds = np.linspace(1, 0, points, dtype=np.float32)
    accuracy, cost = np.empty(points), np.empty(points)
    for k, threshold in enumerate(thresholds):
        leaves = scores >= threshold
        leaves[:, -1] = True
        exits = leaves.argmax(axis=1)
        accuracy[k] = correct[rows, exits].mean()
        cost[k] = relative_cost[exits].mean()
    return thresholds, accuracy, cost


def _best_of(repeats: int, call: Callable[[], Any]) -> float:
    """The shortest of several runs, in seconds: the one that other work disturbed least."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def time_small(repeats: int = 20) -> dict[str, float]:
    """10,000 examples x 5 exits: the exact curve against a grid of 101 thresholds."""
    arrays = synthetic_trace(10_000, 5)
    return {
        "examples": 10_000,
        "exits": 5,
        "exact_ms": 1000 * _best_of(repeats, lambda: exact_sweep(*arrays)),
        "grid_101_ms": 1000 * _best_of(repeats, lambda: grid_sweep(*arrays)),
        "rows": len(exact_sweep(*arrays)),
    }


def time_large(repeats: int = 2) -> dict[str, float]:
    """1,000,000 examples x 8 exits: time, and the most memory at once, the trace itself included."""
    arrays = synthetic_trace(1_000_000, 8)
    seconds = _best_of(repeats, lambda: exact_sweep(*arrays))
    tracemalloc.start()
    rows = len(exact_sweep(*arrays))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    own = sum(array.nbytes for array in arrays)
    return {"examples": 1_000_000, "exits": 8, "seconds": seconds, "peak_gib": (peak + own) / 2**30, "rows": rows}


def time_per_exit(repeats: int = 3) -> dict[str, float]:
    """The whole front of 5,000 examples: x 8 exits (search) and x 3 exits (exact)."""
    large, small = synthetic_trace(5_000, 8), synthetic_trace(5_000, 3)
    return {
        "examples": 5_000,
        "search_8_exits_seconds": _best_of(repeats, lambda: per_exit_front(*large)),
        "exact_3_exits_seconds": _best_of(repeats, lambda: per_exit_front(*small)),
        "points": len(per_exit_front(*large)),
    }


def run() -> dict[str, Any]:
    """All of them."""
    return {"sweep": time_small(), "sweep_large": time_large(), "per_exit_search": time_per_exit()}
