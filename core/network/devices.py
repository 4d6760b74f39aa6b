"""The devices a network can run on here, with names that people know."""

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from core.errors import UserError

AUTO = "auto"


@dataclass(frozen=True)
class Device:
    """A device of this machine.

    Args:
        name: what torch and `--device` call it: `cuda:0`, `mps`, `cpu`.
        label: what a person calls it.
    """

    name: str
    label: str


def available_devices() -> tuple[Device, ...]:
    """Devices of this machine, the fastest first; the CPU is always there, last."""
    devices = [
        Device(f"cuda:{index}", f"GPU {torch.cuda.get_device_name(index)}")
        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "GPU of this Mac"))
    return (*devices, Device("cpu", f"CPU {_processor_name()}"))


def pick_device(name: str = AUTO) -> Device:
    """The device of that name; `auto` is the fastest, `cuda` the first CUDA GPU.

    Raises:
        UserError: this machine has none of that name.
    """
    devices = available_devices()
    if name == AUTO:
        return devices[0]
    for device in devices:
        if device.name == name or device.name.split(":")[0] == name:
            return device
    names = ", ".join(device.name for device in devices)
    raise UserError(f"expected a device of this machine ({names}) or auto, got {name!r}: choose one of these")


def _processor_name() -> str:
    """The processor's name as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
