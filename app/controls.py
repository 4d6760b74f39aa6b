"""Controls that several pages share: which network, which device."""

import platform
import sys
from pathlib import Path

import streamlit as st

from app import cache, state, timing
from app.cache import Zoo
from app.state import View
from core.analysis.rules import RULES
from core.checkpoints import Card

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def plain_text(text: str) -> str:
    """Text that Markdown leaves as it is: names and links come from outside."""
    return text.translate({ord(character): "\\" + character for character in "\\`*_{}[]()#+-!|<>~$:"})


def nothing_to_explore(zoo: Zoo) -> None:
    """The page of an empty checkpoints folder: what to do, and what is broken."""
    st.title("No network to explore yet")
    st.text(
        "Expected a trained early-exit network in checkpoints/DATASET/MODEL/, found none. "
        "Copy one there, or train one: "
        "python -m core train --dataset mnist --model eenet8 --exits 2 --out checkpoints/mnist/eenet8"
    )
    for name, problem in zoo.problems.items():
        st.error(plain_text(f"{name}: {problem}"), icon=":material/broken_image:")


def pick_model(zoo: Zoo, view: View) -> None:
    """The list of networks with early exits; a choice becomes the view at once."""
    cards = zoo.explorable
    st.session_state["network"] = view.model
    broken = "\n\n".join(plain_text(f"{name}: {problem}") for name, problem in zoo.problems.items())
    st.selectbox(
        "Network",
        list(cards),
        key="network",
        format_func=lambda name: state.model_label(name, cards[name]) if name in cards else name,
        on_change=lambda: state.choose_model(st.session_state["network"], cards),
        help=f"Could not be opened:\n\n{broken}" if broken else None,
        width="stretch",
    )


def pick_rule(card: Card, view: View) -> None:
    """The rule, and for those that look at probabilities whether at a fitted temperature."""
    st.session_state["rule_choice"] = view.rule
    st.segmented_control(
        "Leave when this is high enough",
        list(RULES),
        key="rule_choice",
        format_func=lambda name: RULES[name].label.lower(),
        required=True,
        on_change=lambda: state.choose_rule(st.session_state["rule_choice"], card),
        help="\n\n".join(f"**{rule.label}**: {rule.meaning} ({rule.formula})" for rule in RULES.values()),
        width="content",
    )
    st.session_state["calibrated_choice"] = view.calibrated
    st.checkbox(
        "calibrated",
        key="calibrated_choice",
        disabled=not state.can_calibrate(view.model, view.rule),
        on_change=lambda: state.change_view(calibrated=st.session_state["calibrated_choice"]),
        help="Brings each exit's probabilities closer to how often it is right: its logits are divided by one "
        "temperature per exit, fitted on the calibration split (temperature scaling)."
        + ("" if cache.has_class_tables(view.model) else f"\n\nNot for this network: {state.NO_TABLES}"),
        width="content",
    )


def pick_axis(view: View) -> None:
    """What the cost axis shows; measured times can be measured again."""
    st.session_state["axis_choice"] = view.axis
    st.selectbox(
        "Cost axis",
        list(state.AXES),
        key="axis_choice",
        format_func=state.AXES.__getitem__,
        on_change=lambda: state.change_view(axis=st.session_state["axis_choice"]),
        width=205,
    )
    if view.axis == "ms":
        st.button(
            "",
            key="measure_again",
            icon=":material/timer:",
            on_click=lambda: timing.forget(view.model, state.current_device()),
            help="Measure again: best while nothing else runs on this machine",
        )


def measured_time(view: View, card: Card) -> timing.Measured | None:
    """Milliseconds per exit: an earlier measurement, or a new one where the axis asks for it.

    Raises:
        UserError: the network cannot be loaded, or there is no such device.
    """
    device = state.current_device()
    known = timing.stored(view.model, device, card.num_exits)
    if known is None and view.axis == "ms":
        bar = st.progress(0.0, text="Measuring how long each exit takes on this machine …")
        known = timing.measure(view.model, device, lambda part: bar.progress(part) and None)
        bar.empty()
    return known


def present_button() -> None:
    """Bigger, and nothing but the picture."""

    def begin() -> None:
        st.query_params["present"] = "1"

    st.button("Present", type="tertiary", on_click=begin, help="Bigger, without controls: for a stage. Escape ends it.")


def end_presentation() -> None:
    """The way back, small and at the bottom."""

    def end() -> None:
        st.query_params.pop("present", None)

    st.button("End presentation", type="tertiary", on_click=end, shortcut="Escape")


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
    return {"auto": f"Runs on {best}", **devices}


def _nvidia_name(folder: Path) -> str:
    try:
        lines = (folder / "information").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "NVIDIA"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")), "NVIDIA")


def pick_device(compact: bool = False) -> str:
    """The list of devices, the best by default; shared by all pages.

    Args:
        compact: without its label, for the corner.

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
        help=None
        if compact
        else "Where networks run when an image is tried or time is measured. Curves come from recorded answers.",
        label_visibility="collapsed" if compact else "visible",
    )
