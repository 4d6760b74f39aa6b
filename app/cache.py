"""What is read or computed once and shared by all visitors: read-only, keyed by the hash of the weights."""

import base64
import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.analysis.calibration import fit_temperatures
from core.analysis.sweep import Sweep, exact_sweep, operating_point
from core.analysis.thresholds import Front, per_exit_front
from core.checkpoints import (
    CHECKPOINTS,
    Card,
    CheckpointEntry,
    checkpoint_folder,
    checkpoint_hash,
    list_checkpoints,
    trace_path,
)
from core.checkpoints import load_trace as read_trace
from core.data.embedded import load_embedded, load_labels, thumbnails
from core.errors import UserError
from core.trace import SPLITS, Trace, has_class_table

# Where checkpoints are looked for; set EENET_CHECKPOINTS to open another folder.
ROOT = Path(os.environ.get("EENET_CHECKPOINTS", CHECKPOINTS))
_STAMPED = ("card.json", "model.safetensors", "trace-test.npz", "trace-calibration.npz")


@dataclass(frozen=True)
class Zoo:
    """The checkpoints as they stand.

    Args:
        cards: those that can be opened, by name.
        problems: one line for each broken folder, by name.
    """

    cards: Mapping[str, Card]
    problems: Mapping[str, str]

    @property
    def explorable(self) -> dict[str, Card]:
        """Networks with early exits, by name."""
        return {name: card for name, card in self.cards.items() if not card.is_plain}


def zoo() -> Zoo:
    """All checkpoints; read again as soon as a file changes."""
    return _zoo(_stamp(ROOT))


def _stamp(root: Path) -> str:
    """Name, size and time of every file of every checkpoint, what a change would change: as one hash."""
    found: list[tuple[str, int, int]] = []

    def visit(folder: str, inside: str, depth: int) -> None:
        with suppress(OSError), os.scandir(folder) as entries:  # a folder that just went away
            for entry in entries:
                if entry.is_dir():
                    found.append((inside + entry.name, 0, entry.stat().st_mtime_ns))
                    if depth < 2:
                        visit(entry.path, f"{inside}{entry.name}/", depth + 1)
                elif entry.name in _STAMPED:
                    facts = entry.stat()
                    found.append((inside + entry.name, facts.st_size, facts.st_mtime_ns))

    visit(str(root), "", 0)
    return hashlib.blake2b(repr(sorted(found)).encode(), digest_size=16).hexdigest()


@st.cache_resource(max_entries=4, show_spinner=False)
def _zoo(stamp: str) -> Zoo:
    entries: list[CheckpointEntry] = list_checkpoints(ROOT)
    return Zoo(
        {entry.name: entry.card for entry in entries if entry.card},
        {entry.name: entry.problem for entry in entries if entry.problem},
    )


def weights_hash(name: str) -> str:
    """SHA-256 of a checkpoint's weights; computed again when the file changes.

    Raises:
        UserError: no such checkpoint.
    """
    folder = checkpoint_folder(name, ROOT)
    weights = folder / "model.safetensors"
    stamp = weights.stat().st_mtime_ns if weights.exists() else 0
    return _hash(folder, stamp)


@st.cache_data(max_entries=200, show_spinner=False)
def _hash(folder: Path, stamp: int) -> str:
    return checkpoint_hash(folder)


def load_trace(name: str, split: str = "test") -> Trace:
    """A checkpoint's trace without its class table, shared by all visitors.

    Raises:
        UserError: no such checkpoint or trace, or one of other weights.
    """
    return _trace(name, split, weights_hash(name), _trace_stamp(name, split), True)


def load_full_trace(name: str, split: str = "test") -> Trace:
    """The same with the class table: for temperatures.

    Raises:
        UserError: as `load_trace`.
    """
    return _trace(name, split, weights_hash(name), _trace_stamp(name, split), False)


def has_class_tables(name: str) -> bool:
    """Whether temperatures can be fitted and shown: a zoo's traces may be in the compact form, without class tables."""
    return all(has_class_table(trace_path(checkpoint_folder(name, ROOT), split)) for split in SPLITS)


def _trace_stamp(name: str, split: str) -> int:
    path = checkpoint_folder(name, ROOT) / f"trace-{split}.npz"
    return path.stat().st_mtime_ns if path.exists() else 0


@st.cache_resource(max_entries=16, show_spinner=False)
def _trace(name: str, split: str, weights: str, stamp: int, small: bool) -> Trace:
    return read_trace(name, split, ROOT, small=small)


def fingerprint(trace: Trace) -> str:
    """A hash of a trace's contents: what everything computed from it is kept under."""
    digest = hashlib.blake2b(f"{trace.checkpoint_hash} {trace.split}".encode(), digest_size=16)
    for array in (trace.ids, trace.labels, trace.predicted, trace.confidence, trace.relative_cost):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


@st.cache_resource(max_entries=32, show_spinner=False)
def _sweep(key: str, rule: str, temperatures: tuple[float, ...] | None, off: tuple[int, ...], _trace: Trace) -> Sweep:
    scores = switched_off(_trace.rule_scores(rule, temperatures), off)
    return exact_sweep(scores, _trace.correct, _trace.relative_cost)


def sweep(trace: Trace, rule: str, temperatures: tuple[float, ...] | None = None, off: tuple[int, ...] = ()) -> Sweep:
    """The exact curve of a rule on a trace, with some exits switched off."""
    return _sweep(fingerprint(trace), rule, temperatures, off, trace)


def switched_off(scores: np.ndarray, off: tuple[int, ...]) -> np.ndarray:
    """Scores (examples, exits) with those of some exits out of reach of every threshold above 0."""
    if not off:
        return scores
    scores = scores.copy()
    scores[:, list(off)] = np.nan  # "does not leave here"
    return scores


@st.cache_resource(max_entries=16, show_spinner=False)
def _table(key: str, rule: str, temperatures: tuple[float, ...] | None, _trace: Trace) -> pd.DataFrame:
    scores = _trace.rule_scores(rule, temperatures)
    columns: dict[str, Any] = {f"score{n}": scores[:, n] for n in range(_trace.num_exits - 1)}
    for word in range(-(-_trace.num_exits // 32)):
        bits = np.zeros(_trace.n, np.uint32)
        for bit, flags in enumerate(_trace.correct[:, 32 * word : 32 * word + 32].T):
            bits |= flags.astype(np.uint32) << np.uint32(bit)
        columns[f"right{word}"] = bits
    return pd.DataFrame(columns)


@st.cache_data(max_entries=64, show_spinner=False)
def _temperatures(key: str, _trace: Trace) -> tuple[float, ...]:
    return fit_temperatures(_trace.tuning())


def temperatures(name: str) -> tuple[float, ...]:
    """One temperature per exit, fitted on the tuning part of the calibration split.

    Raises:
        UserError: no calibration trace, or one without its class table.
    """
    trace = load_full_trace(name, "calibration")
    return _temperatures(fingerprint(trace), trace)


@dataclass(frozen=True)
class TestedFront:
    """Thresholds of their own for every exit: found on calibration, measured on test.

    Args:
        front: on calibration.
        accuracy, relative_cost, exit_counts: on test, row by row.
    """

    front: Front
    accuracy: np.ndarray
    relative_cost: np.ndarray
    exit_counts: np.ndarray


@st.cache_resource(max_entries=32, show_spinner=False)
def _front(
    key: str,
    rule: str,
    fitted: tuple[float, ...] | None,
    off: tuple[int, ...],
    points: int,
    _calibration: Trace,
    _test: Trace,
) -> TestedFront:
    active = [n not in off for n in range(_test.num_exits - 1)]
    calibration_scores = _calibration.rule_scores(rule, fitted)
    front = per_exit_front(calibration_scores, _calibration.correct, _calibration.relative_cost, active)
    if len(front) > points:
        # evenly over the cost; both ends stay
        wanted = np.linspace(front.relative_cost[0], front.relative_cost[-1], points)
        rows = np.unique(np.searchsorted(-front.relative_cost, -wanted).clip(0, len(front) - 1))
        front = Front(front.thresholds[rows], front.accuracy[rows], front.relative_cost[rows])
    scores = _test.rule_scores(rule, fitted)
    tested = [operating_point(scores, _test.correct, _test.relative_cost, row) for row in front.thresholds]
    return TestedFront(
        front,
        np.array([point.accuracy for point in tested]),
        np.array([point.relative_cost for point in tested]),
        np.array([point.exit_counts for point in tested]),
    )


def tested_front(
    name: str, rule: str, fitted: tuple[float, ...] | None, off: tuple[int, ...], points: int = 40
) -> TestedFront:
    """The Pareto front of per-exit thresholds, found on calibration and measured on test.

    Args:
        fitted: temperatures, or None.
        off: columns of exits that are switched off.
        points: the most to keep.

    Raises:
        UserError: a trace is missing.
    """
    load = load_trace if fitted is None else load_full_trace
    calibration, test = load(name, "calibration"), load(name, "test")
    key = fingerprint(calibration) + fingerprint(test)
    return _front(key, rule, fitted, off, points, calibration, test)


def component_table(trace: Trace, rule: str, temperatures: tuple[float, ...] | None = None) -> pd.DataFrame:
    """The compact trace for the explorer: a float32 column of scores per early exit, right answers as bits."""
    return _table(fingerprint(trace), rule, temperatures, trace)


@st.cache_resource(max_entries=4, show_spinner=False)
def _images(dataset: str, stamp: int) -> np.ndarray:
    images = load_embedded(dataset, ROOT)
    images.setflags(write=False)
    return images


def test_images(dataset: str) -> np.ndarray:
    """The embedded test images, uint8 (examples, channels, height, width); row i is the example with id i.

    Raises:
        UserError: none are there.
    """
    labels = ROOT / dataset / "test-images.json"
    return _images(dataset, labels.stat().st_mtime_ns if labels.exists() else 0)


def has_images(dataset: str) -> bool:
    """Whether there are embedded test images of that dataset; looked at again when the file changes."""
    labels = ROOT / dataset / "test-images.json"
    return _has_images(dataset, ROOT, labels.stat().st_mtime_ns if labels.exists() else 0)


@st.cache_data(max_entries=16, show_spinner=False)
def _has_images(dataset: str, root: Path, stamp: int) -> bool:
    try:
        load_labels(dataset, root)
    except UserError:
        return False
    return True


@st.cache_data(max_entries=512, show_spinner=False)
def sprite(dataset: str, ids: tuple[int, ...], tile: int, columns: int) -> str:
    """Thumbnails of test images as one picture, a data URL.

    Raises:
        UserError: there are no embedded images.
    """
    return draw_sprite(dataset, ids, tile, columns)


def sheet(dataset: str, ids: np.ndarray, tile: int, columns: int) -> str:
    """The same for hundreds of images; fewer are kept, so that all visitors together take some ten megabytes.

    Raises:
        UserError: there are no embedded images.
    """
    return _sheet(dataset, ids.astype(np.int32).tobytes(), tile, columns)  # bytes are hashed at once, numbers singly


@st.cache_data(max_entries=48, show_spinner=False)
def _sheet(dataset: str, ids: bytes, tile: int, columns: int) -> str:
    return draw_sprite(dataset, tuple(np.frombuffer(ids, np.int32).tolist()), tile, columns)


def draw_sprite(dataset: str, ids: tuple[int, ...], tile: int, columns: int) -> str:
    """Thumbnails of test images as one picture, a data URL; drawn anew each time.

    Raises:
        UserError: there are no embedded images.
    """
    images = test_images(dataset)
    # strokes on black compress without loss; photographs would weigh four times as much
    picture = thumbnails(images, ids, tile=tile, columns=columns, quality=None if images.shape[1] == 1 else 90)
    return "data:image/webp;base64," + base64.b64encode(picture).decode()


@st.cache_resource(max_entries=6, show_spinner="Loading the network …")
def _network(name: str, weights: str, device: str) -> tuple[Any, Card, Any]:
    from threading import Lock

    from core.checkpoints import load_network as read_network

    network, card = read_network(name, device, ROOT)
    return network, card, Lock()


def load_network(name: str, device: str = "cpu") -> tuple[Any, Card, Any]:
    """A checkpoint's network on a device, its card, and the lock to hold while running it. Imports torch.

    Raises:
        UserError: no such checkpoint, or its card or weights are broken.
    """
    return _network(name, weights_hash(name), device)
