"""Milliseconds per exit on this machine: measured when asked, then kept with the device's name."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from app import cache

KEPT = Path(__file__).resolve().parents[1] / "runs" / "timings"


@dataclass(frozen=True)
class Measured:
    """Times of one image by itself, from the host's memory to the answer.

    Args:
        device: its name.
        exits: milliseconds until the answer of each exit, every exit block on the way tried, rising.
        full: milliseconds of the network without early exits.
        when: the day it was measured.
    """

    device: str
    exits: tuple[float, ...]
    full: float
    when: str


def stored(name: str, device: str, num_exits: int) -> Measured | None:
    """An earlier measurement of these weights on this device, if there is a sound one."""
    try:
        values = json.loads(_path(name, device).read_text(encoding="utf-8"))
        exits = tuple(float(ms) for ms in values["exits"])
        measured = Measured(str(values["device"]), exits, float(values["full"]), str(values["when"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = len(measured.exits) == num_exits and all(0 < ms < 1e7 for ms in (*measured.exits, measured.full))
    rising = all(before <= after for before, after in pairwise(measured.exits))
    return measured if sound and rising else None


def forget(name: str, device: str) -> None:
    """Drops what was measured, so that it is measured again."""
    _path(name, device).unlink(missing_ok=True)


def _path(name: str, device: str) -> Path:
    return KEPT / f"{cache.weights_hash(name)[:16]}-{device.replace(':', '')}.json"


def measure(name: str, device: str, progress: Callable[[float], None] = lambda part: None) -> Measured:
    """Time every exit of a checkpoint and keep the result. Imports torch.

    Args:
        device: `auto`, or a device's name.
        progress: told the part that is done, 0..1.

    Raises:
        UserError: no such checkpoint or device.
    """
    import torch

    from core.network.devices import pick_device
    from core.network.timing import time_exits

    chosen = pick_device(device)
    network, card, lock = cache.load_network(name, chosen.name)
    with lock:
        exits, full = time_exits(network, torch.zeros(1, *card.spec.input_shape), progress=progress)
    measured = Measured(chosen.label, tuple(1000 * seconds for seconds in exits), 1000 * full, date.today().isoformat())
    KEPT.mkdir(parents=True, exist_ok=True)
    path = _path(name, device)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    part.replace(path)
    return measured
