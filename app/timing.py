"""Milliseconds per exit on this machine: measured when asked, then kept with the device's name."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from app import cache

KEPT = Path(__file__).resolve().parents[1] / "runs" / "timings"
_REPEATS = 40
_BUDGET = 0.4  # seconds per exit


@dataclass(frozen=True)
class Measured:
    """Times of one image by itself, from the host's memory to the answer.

    Args:
        device: its name.
        exits: milliseconds until the answer of each exit, every exit block on the way tried. Lower quartiles: what else
            the machine does can only add to them.
        full: milliseconds of the network without early exits.
    """

    device: str
    exits: tuple[float, ...]
    full: float


def stored(name: str, device: str, num_exits: int) -> Measured | None:
    """An earlier measurement of these weights on this device, if there is a sound one."""
    try:
        values = json.loads(_path(name, device).read_text(encoding="utf-8"))
        measured = Measured(str(values["device"]), tuple(float(ms) for ms in values["exits"]), float(values["full"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = len(measured.exits) == num_exits and all(0 < ms < 1e7 for ms in (*measured.exits, measured.full))
    return measured if sound else None


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
    from core.network.timing import time_image

    chosen = pick_device(device)
    network, card, lock = cache.load_network(name, chosen.name)
    image = torch.zeros(1, *card.spec.input_shape)
    exits, full = [], []
    with lock:
        for exit_ in range(card.num_exits):
            timing = time_image(network, image, exit_, _REPEATS, _BUDGET)
            exits.append(1000 * timing.early[0])
            full.append(1000 * timing.full[0])
            progress((exit_ + 1) / card.num_exits)
    measured = Measured(chosen.label, tuple(exits), min(full))
    KEPT.mkdir(parents=True, exist_ok=True)
    path = _path(name, device)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    part.replace(path)
    return measured
