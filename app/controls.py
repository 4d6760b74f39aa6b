"""Controls that several pages share: which network, which device."""

import platform
import sys
from pathlib import Path

import streamlit as st

from app import state
from app.cache import Zoo
from app.state import View

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def pick_model(zoo: Zoo, view: View) -> None:
    """The list of networks with early exits; a choice becomes the view at once."""
    cards = zoo.explorable
    st.session_state["network"] = view.model
    st.selectbox(
        "Network",
        list(cards),
        key="network",
        format_func=lambda name: state.model_label(name, cards[name]) if name in cards else name,
        on_change=lambda: state.choose_model(st.session_state["network"], cards),
        help=_broken(zoo),
    )


def _broken(zoo: Zoo) -> str | None:
    """Folders that could not be opened, each with its reason."""
    if not zoo.problems:
        return None
    lines = [f"{name}: {problem}" for name, problem in zoo.problems.items()]
    escaped = [line.translate({ord(c): "\\" + c for c in "\\`*_{}[]()#+-!|<>~$:"}) for line in lines]
    return "Could not be opened:\n\n" + "\n\n".join(escaped)


def device_choices() -> dict[str, str]:
    """Devices of this machine and their names, the best first, `auto` before them all.

    torch is asked only where it is loaded already; before, the system's own lists have to do.
    """
    if "torch" in sys.modules:
        from core.network.devices import available_devices

        devices = {device.name: device.label for device in available_devices()}
    else:
        devices = {}
        if _NVIDIA.is_dir():
            for index, gpu in enumerate(sorted(_NVIDIA.iterdir())):
                devices[f"cuda:{index}"] = f"GPU {_nvidia_name(gpu)}"
        if platform.system() == "Darwin" and platform.machine() == "arm64":
            devices["mps"] = "GPU of this Mac"
        devices["cpu"] = "CPU"
    best = next(iter(devices.values()))
    return {"auto": f"Best: {best}", **devices}


def _nvidia_name(folder: Path) -> str:
    try:
        lines = (folder / "information").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "NVIDIA"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")), "NVIDIA")


def pick_device() -> str:
    """The list of devices, the best by default; shared by all pages.

    Returns:
        `auto`, or a name that `core.network.devices.pick_device` understands.
    """
    choices = device_choices()
    if st.session_state.get("device", "auto") not in choices:
        st.session_state["device"] = "auto"
    return st.selectbox(
        "Runs on",
        list(choices),
        key="device",
        format_func=lambda name: choices.get(name, name),
        persist_state="session",
        help="Where networks run when an image is tried or time is measured. Curves come from recorded answers.",
    )
