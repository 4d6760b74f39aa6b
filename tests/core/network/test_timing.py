"""Times of one image: what is run, how often, in which order."""

import numpy as np
import pytest

from core.network.registry import build_network
from core.network.spec import NetworkSpec
from core.network.timing import FEWEST, Timing, time_image


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
