"""How long one picture takes through a network: measured once its story stands on the page, kept for this visitor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from core.network.timing import Timing

_KEPT = "stopwatch"
_MOST = 64  # runs


@dataclass(frozen=True)
class Run:
    """What a time depends on.

    Args:
        model: the checkpoint's name.
        device: the device's name.
        picture: its key.
        exit: the column at which it leaves.
    """

    model: str
    device: str
    picture: str
    exit: int


def known(run: Run) -> "Timing | None":
    """What was measured for this run, if it was."""
    return st.session_state.get(_KEPT, {}).get(run)


def measure(run: Run, network: Any, image: Any) -> None:
    """Time leaving at the run's exit against the full network, and keep it. Hold the network's lock."""
    from core.network.timing import time_image

    kept = st.session_state.setdefault(_KEPT, {})
    kept[run] = time_image(network, image, run.exit)
    while len(kept) > _MOST:
        del kept[next(iter(kept))]
