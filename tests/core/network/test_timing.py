"""Times of one image: what is run, how often, in which order."""

import numpy as np
import pytest

from core.network.registry import build_network
from core.network.spec import NetworkSpec
from core.network.timing import FEWEST, Timing, time_exits, time_image


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec("eenet8", 2, "pareto", "pool", (1, 28, 28), 10))[0].eval()


@pytest.mark.parametrize("exit", [0, 1, 2])
def test_runs_only_what_is_needed(network, exit: int) -> None:
    calls: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=f"{kind}{n}": calls.append(name))
        for kind, modules in (("segment", network.segments), ("exit", network.exits))
        for n, module in enumerate(modules)
    ]
    try:
        timing = time_image(network, np.zeros((1, 1, 28, 28), np.float32), exit, repeats=FEWEST)
    finally:
        for handle in handles:
            handle.remove()
    early = [name for n in range(exit + 1) for name in (f"segment{n}", f"exit{n}")]
    full = ["segment0", "segment1", "segment2", "exit2"]
    assert calls == (early + full) * (1 + FEWEST)
    assert timing.repeats == FEWEST
    assert 0 < timing.early[0] <= timing.early[1] <= timing.early[2]


def test_budget_ends_the_repeats(network) -> None:
    assert time_image(network, np.zeros((1, 1, 28, 28), np.float32), 0, repeats=10_000, budget=0).repeats == FEWEST


def test_speed_up() -> None:
    assert Timing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 3).speed_up == 2.5


def test_times_never_fall_from_exit_to_exit(network) -> None:
    parts: list[float] = []
    exits, full = time_exits(network, np.zeros((1, 1, 28, 28), np.float32), repeats=8, budget=60, progress=parts.append)
    assert len(exits) == 3
    assert 0 < exits[0] < exits[1] < exits[2]
    assert full > 0
    assert parts == sorted(parts) and parts[-1] == 1


def test_exits_are_timed_in_the_order_they_run(network) -> None:
    calls: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=f"{kind}{n}": calls.append(name))
        for kind, modules in (("segment", network.segments), ("exit", network.exits))
        for n, module in enumerate(modules)
    ]
    try:
        time_exits(network, np.zeros((1, 1, 28, 28), np.float32), budget=0)
    finally:
        for handle in handles:
            handle.remove()
    through = ["segment0", "exit0", "segment1", "exit1", "segment2", "exit2"]
    assert calls == ([*through, "segment0", "segment1", "segment2", "exit2"]) * (1 + FEWEST)
