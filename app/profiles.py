"""The numbers of every checkpoint, read once and read again when one of its files changes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import cache
from core.checkpoints import HISTORY_FILE, WEIGHTS_FILE, Card, load_trace, trace_path
from core.errors import UserError
from core.profile import Profile, Size, profile, size_of
from core.training.history import read_history

_WATCHED = (WEIGHTS_FILE, "card.json", "trace-test.npz", HISTORY_FILE)
_PATIENCE = 0.4  # seconds before progress is shown


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a checkpoint beside its card.

    Args:
        size: of its files, None where they vanished meanwhile.
        profile: on the test split, None without a test trace.
        problem: why there is no profile, in one line.
    """

    size: Size | None
    profile: Profile | None
    problem: str | None


def of(name: str) -> Known:
    """A checkpoint's numbers, shared by all visitors."""
    return _known(name, str(cache.ROOT), _stamp(name))


def of_all(cards: Mapping[str, Card], report: Callable[[float], Any] = lambda part: None) -> dict[str, Known]:
    """The numbers of all of them; `report` hears the part that is done, 0..1, where reading takes a while."""
    started, found = time.perf_counter(), {}
    for done, name in enumerate(cards):
        found[name] = of(name)
        if time.perf_counter() - started > _PATIENCE:
            report((done + 1) / len(cards))
    return found


def _stamp(name: str) -> tuple[tuple[int, int], ...]:
    facts = []
    for file in _WATCHED:
        try:
            found = (cache.ROOT / name / file).stat()
            facts.append((found.st_mtime_ns, found.st_size))
        except OSError:
            facts.append((0, 0))
    return tuple(facts)


@st.cache_resource(max_entries=400, show_spinner=False)
def _known(name: str, root: str, stamp: tuple[tuple[int, int], ...]) -> Known:
    folder = cache.ROOT / name
    try:
        size = size_of(folder)
    except (OSError, UserError) as error:
        return Known(None, None, str(error))
    if not trace_path(folder, "test").exists():
        return Known(size, None, f"No test trace: run python -m core trace {name}")
    try:
        # read past the pages' own store of traces, which so many would empty
        return Known(size, profile(load_trace(name, "test", cache.ROOT, small=True)), None)
    except UserError as error:
        return Known(size, None, str(error))


def history(name: str, card: Card) -> list[dict[str, Any]]:
    """The epochs of a checkpoint's training; none where they were not kept.

    Raises:
        UserError: the file is something else.
    """
    return _history(name, str(cache.ROOT), _stamp(name), card.num_exits)


@st.cache_data(max_entries=50, show_spinner=False)
def _history(name: str, root: str, stamp: tuple[tuple[int, int], ...], num_exits: int) -> list[dict[str, Any]]:
    return read_history(cache.ROOT / name, num_exits)
