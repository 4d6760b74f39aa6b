"""Where each exit looks: Grad-CAM over what the network sees, one picture per exit. Nothing runs until it is opened."""

import json
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from app import cache, choice, state, theme
from app.component import component
from app.journey import Picture, png_url
from app.state import View
from core.checkpoints import Card
from core.data.preprocess import to_image
from core.errors import UserError

if TYPE_CHECKING:
    from core.network.attribution import Attention
    from core.network.executor import Story

_OWN = -1  # "each exit's own answer" among the classes

_mount = component("attention")


def heat_ramp(steps: int = 256) -> NDArray[np.uint8]:
    """Colours from dark violet over red to light yellow, uint8 (steps, 3).

    Lightness rises evenly in OKLab (Ottosson 2020), so equal steps of heat look equal, in grey too.
    """
    part = np.linspace(0, 1, steps)
    lightness = 0.28 + 0.66 * part
    chroma = 0.10 + 0.34 * part * (1 - part)
    hue = np.radians(-60 + 160 * part)  # violet, red, orange, yellow
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        axis=1,
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(cones**3 @ to_linear.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


def heat_picture(heat: NDArray[np.float32]) -> Image.Image:
    """A heat map 0..1 (h, w) as colours that are clear where there is no heat."""
    ramp = heat_ramp()
    levels = np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    # warm places cover the picture, cold ones leave it bare
    alpha = np.rint(255 * np.clip(heat, 0, 1) ** 0.7).astype(np.uint8)
    return Image.fromarray(np.dstack([ramp[levels], alpha]))


def payload(
    found: "Attention", story: "Story", card: Card, picture: Picture, chosen: int | None, present: bool = False
) -> dict[str, Any]:
    """The component's data, plain JSON.

    Args:
        chosen: the class the maps are for, or None for each exit's own answer.
    """
    names, last = card.class_names, card.num_exits - 1

    def exit_of(n: int) -> dict[str, Any]:
        answer = int(found.probabilities[n].argmax())
        state_ = "takes it" if n == story.exit == last else "leaves here" if n == story.exit else "goes on"
        return {
            "heat": None if found.looks_nowhere[n] else png_url(heat_picture(found.heat[n])),
            "answer": names[answer],
            "right": None if picture.label is None else answer == picture.label,
            "class": names[int(found.classes[n])],
            "p": float(found.probabilities[n, found.classes[n]]),
            "executed": n <= story.exit,
            "state": state_ if n <= story.exit else "not executed",
        }

    ramp = heat_ramp(9)
    data = {
        "image": picture.name,
        "url": png_url(to_image(picture.prepared.picture)),
        "exits": [exit_of(n) for n in range(card.num_exits)],
        "taken": story.exit,
        "chosen": None if chosen is None else names[chosen],
        "ramp": [f"rgb({r} {g} {b})" for r, g, b in ramp.tolist()],
        "palette": theme.palette(card.num_exits),
        "present": present,
    }
    json.dumps(data, allow_nan=False)
    return data


@st.cache_data(max_entries=64, scope="session", show_spinner=False)
def _look(key: str, model: str, weights: str, device: str, chosen: int | None, _input: NDArray) -> "Attention":
    from core.network.attribution import grad_cam

    network, _, lock = cache.load_network(model, device)
    with lock:
        return grad_cam(network, _input, chosen)


def look(view: View, picture: Picture, chosen: int | None = None) -> "Attention":
    """Grad-CAM of a picture at every exit, kept for this visitor. Imports torch.

    Raises:
        UserError: the network cannot be loaded, or there is no such device or class.
    """
    from core.network.devices import pick_device

    device = pick_device(state.current_device())
    weights = cache.weights_hash(view.model)
    return _look(picture.key, view.model, weights, device.name, chosen, picture.prepared.input)


@st.cache_resource(show_spinner=False)
def import_ahead(module: str) -> None:
    """Import a module, seconds of work, while the visitor looks at the rest of the page; once per server."""
    Thread(target=import_module, args=(module,), name=f"import {module}").start()


@st.fragment
def show(card: Card, view: View, picture: Picture, story: "Story", fitted: tuple[float, ...] | None = None) -> None:
    """The section of the page, closed until somebody opens it.

    Args:
        fitted: temperatures, which move no answer and no map; taken so that all sections are called alike.
    """
    section = st.expander("Where it looks", key="attention_open", icon=":material/visibility:", on_change="rerun")
    if not section.open:
        import_ahead("captum.attr")
        return
    with section:
        classes = range(-1, len(card.class_names))
        chosen = st.selectbox(
            "What speaks for",
            classes,
            key=f"attention_class {view.model}",
            format_func=lambda c: "each exit's own answer" if c == _OWN else card.class_names[c],
            width=260,
        )
        wanted = chosen if isinstance(chosen, int) and 0 <= chosen < len(card.class_names) else None
        try:
            found = look(view, picture, wanted)
        except UserError as error:
            st.error(choice.escaped(str(error)), icon=":material/visibility_off:")
            return
        _mount(key="attention", data=payload(found, story, card, picture, wanted, state.presenting()))
