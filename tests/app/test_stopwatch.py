"""Times are measured once for each picture, network, device and exit, and kept for the visitor."""

from typing import Any

import numpy as np
import pytest
import streamlit as st

from app import stopwatch
from core.checkpoints import load_network
from core.data.embedded import load_embedded


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    values: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", values)
    return values


def test_a_run_is_timed_and_kept(session: dict[str, Any]) -> None:
    network, card = load_network("mnist/eenet8")
    image = card.preprocessing.normalise(load_embedded("mnist")[:1])
    run = stopwatch.Run("mnist/eenet8", "cpu", "mnist 0", 0)
    assert stopwatch.known(run) is None
    stopwatch.measure(run, network, image)
    timing = stopwatch.known(run)
    assert timing and timing.repeats >= 5 and timing.early[1] > 0 and timing.full[1] > 0
    assert stopwatch.known(stopwatch.Run("mnist/eenet8", "cpu", "mnist 0", 2)) is None


def test_old_times_are_forgotten(session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.network.timing.time_image", lambda network, image, exit: (network, exit))
    runs = [stopwatch.Run("a/b", "cpu", str(n), 0) for n in range(70)]
    for n, run in enumerate(runs):
        stopwatch.measure(run, n, np.zeros(1))
    assert [stopwatch.known(run) is not None for run in runs] == [False] * 6 + [True] * 64
