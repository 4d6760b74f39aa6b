"""One image's way through a network: the picture, the story that the executor tells, and how it is drawn."""

import base64
import hashlib
import html
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image

from app import cache, stopwatch, theme
from app.component import component
from app.state import DATASETS, View
from core.analysis.rules import RULES
from core.checkpoints import Card
from core.data.decode import decode_image, printable
from core.data.drawing import centred
from core.data.preprocess import Prepared, Preprocessing, to_image

if TYPE_CHECKING:
    from core.network.devices import Device
    from core.network.executor import Story

TOP_CLASSES = 3
_PREVIEW = 480  # pixels on the longer side


_mount_journey = component("journey")
_mount_sentence = component("sentence")


@dataclass(frozen=True)
class Picture:
    """A picture on its way into a network.

    Args:
        key: tells it from every other one.
        name: what it is called, fit for a line of text.
        preview: the original as a data URL, small enough to send.
        size: of the original, upright, (width, height) in pixels.
        about: what else there is to say about it, after its size.
        prepared: what the network sees.
        label: the class it is known to be, or None.
        uploaded: whether somebody brought it along.
    """

    key: str
    name: str
    preview: str
    size: tuple[int, int]
    about: str
    prepared: Prepared
    label: int | None = None
    uploaded: bool = False


def embedded_picture(card: Card, row: int, label: int) -> Picture:
    """A test image that travels with the checkpoints.

    Args:
        row: its id.
        label: its class.

    Raises:
        UserError: the embedded images are missing or damaged.
    """
    pixels = cache.test_images(card.dataset)[row]  # (channels, height, width)
    preprocessing = card.preprocessing
    if pixels.shape == preprocessing.input_shape:
        prepared = Prepared(preprocessing.normalise(pixels[None]), pixels, ())
    else:
        prepared = preprocessing.prepare(to_image(pixels))
    dataset = DATASETS.get(card.dataset, card.dataset).replace("-", "\u2011")  # not to be broken over two lines
    return Picture(
        key=f"{card.dataset} {row}",
        name=f"Test image {row}",
        preview=png_url(to_image(pixels)),
        size=(pixels.shape[2], pixels.shape[1]),
        about=f", {dataset}, a “{card.class_names[label]}”",
        prepared=prepared,
        label=label,
    )


@st.cache_data(max_entries=8, scope="session", show_spinner=False)
def uploaded_picture(name: str, data: bytes, preprocessing: str) -> Picture:
    """A file that somebody brought along, decoded and prepared; kept for this visitor.

    Args:
        data: the file.
        preprocessing: of the network's card, as JSON.

    Raises:
        UserError: one line on what is wrong with the file.
    """
    image = decode_image(data, name)
    wanted = Preprocessing.from_json(json.loads(preprocessing))
    prepared = wanted.prepare(image)
    if wanted.channels == 1 and _has_colour(image):
        prepared = Prepared(prepared.input, prepared.picture, ("colours dropped", *prepared.steps))
    small = image.copy()
    small.thumbnail((_PREVIEW, _PREVIEW))
    kind = Image.open(io.BytesIO(data)).format or "image"
    return Picture(
        key=f"upload {hashlib.sha1(data, usedforsecurity=False).hexdigest()}",
        name=printable(name, 40),
        preview=png_url(small) if max(image.size) <= 128 else _jpeg_url(small),
        size=image.size,
        about=f", {kind}",
        prepared=prepared,
        uploaded=True,
    )


@st.cache_data(max_entries=8, scope="session", show_spinner=False)
def drawn_picture(data: bytes, preprocessing: str) -> Picture:
    """What somebody drew on the pad, centred as the digits of MNIST are; kept for this visitor.

    Args:
        data: the pad's PNG.
        preprocessing: of the network's card, as JSON.

    Raises:
        UserError: nothing is drawn, or no picture came.
    """
    image = decode_image(data, "the drawing")
    wanted = Preprocessing.from_json(json.loads(preprocessing))
    digit = centred(image, wanted.size)
    picture = np.asarray(digit)[None].repeat(wanted.channels, axis=0)
    steps = (f"scaled and centred in {wanted.size} x {wanted.size}, as the digits of MNIST are",)
    return Picture(
        key=f"drawing {hashlib.sha1(data, usedforsecurity=False).hexdigest()}",
        name="Your drawing",
        preview=png_url(image),
        size=image.size,
        about="",
        prepared=Prepared(wanted.normalise(picture[None]), picture, steps),
        uploaded=True,
    )


def _has_colour(image: Image.Image) -> bool:
    if image.mode != "RGB":
        return False
    small = np.asarray(image.resize((64, 64))).astype(np.int16)
    return bool((small.max(axis=2) - small.min(axis=2)).max() > 12)


def png_url(image: Image.Image) -> str:
    """A picture as a data URL, every pixel kept."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _jpeg_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def tell(network: Any, card: Card, view: View, picture: Picture, fitted: tuple[float, ...] | None = None) -> "Story":
    """The executor's story of a picture, later exits heard as well. Hold the network's lock.

    Args:
        fitted: a temperature for each exit, or None.
    """
    from core.network.executor import Policy, run_exit_by_exit

    policy = Policy(view.rule, view.effective(card.spec.num_early_exits), fitted)
    return run_exit_by_exit(network, picture.prepared.input, policy, card.cost, beyond=True)


def leaves_by_threshold(scores: list[float], off: tuple[int, ...] = ()) -> list[tuple[float, float, int]]:
    """Where an image leaves for every threshold that is one for all exits.

    Args:
        scores: of exits 1..N; the last exit's does not matter.
        off: columns of early exits that are switched off.

    Returns:
        (T above, T up to, exit column), T rising from 0 to 1.
    """
    parts, reached = [], 0.0
    for n, score in enumerate(scores[:-1]):
        if n not in off and score > reached:
            parts.append((reached, score, n))
            reached = score
    return [*parts, (reached, 1.0, len(scores) - 1)]


def sentence(story: "Story", card: Card, view: View, picture: Picture) -> list[tuple[str, int | str | None]]:
    """What happened, in words: parts of text with the exit or the role whose colour they wear, or None."""
    end = story.taken
    said = card.class_names[int(end.probabilities.argmax())]
    share = f"{100 * end.relative_cost:.0f}\u202f%"
    last = story.exit == card.num_exits - 1
    parts: list[tuple[str, int | str | None]] = []
    if last:
        sure = f", {100 * float(end.probabilities.max()):.0f}\u202f% likely"
        parts = [("Goes all the way to ", None), (f"exit {story.exit + 1}", story.exit), (", which says ", None)]
    else:
        sure = f", sure {shown_score(end.score)}"
        parts = [("Leaves at ", None), (f"exit {story.exit + 1}", story.exit), (" as ", None)]
    wrong = picture.label is not None and said != card.class_names[picture.label]
    parts += [(f"“{said}”", "wrong" if wrong else story.exit), (f"{sure}, after ", None), (share, story.exit)]
    parts.append((" of the computation", None))
    if wrong and picture.label is not None:
        parts.append((f"; in truth it is a “{card.class_names[picture.label]}”", None))
    return parts


def shown_score(score: float) -> str:
    """A score in as few digits as show it below 1; cut, not rounded, as the component writes it."""
    if score > 0.9999:
        return "> 0.9999"
    digits = 2 if 1 - score >= 0.05 else math.ceil(-math.log10(1 - score)) + 1
    return f"{math.floor(score * 10**digits + 1e-9) / 10**digits:.{digits}f}"


def below(card: Card, picture: Picture, view: View) -> str:
    """The quiet line under the sentence: the rule, and what the network knows."""
    thresholds = view.effective(card.spec.num_early_exits)
    one = len(set(thresholds)) == 1
    values = (
        f"{thresholds[0]:g}"
        if one
        else ", ".join("off" if n in view.off else f"{t:g}" for n, t in enumerate(thresholds))
    )
    label = RULES[view.rule].label.lower() + (", with temperature," if view.calibrated else "")
    rule = f"Leaves at the first exit whose {label} reaches T = {values}."
    if not picture.uploaded:
        return rule
    names = ", ".join(card.class_names[:10]) + (", …" if len(card.class_names) > 10 else "")
    classes = len(card.class_names)
    return f"{rule} Whatever the picture shows, the answer is one of the {classes} classes it learned: {names}."


def blocks_of(card: Card) -> list[dict[str, Any]]:
    """The backbone's blocks in order, each with the exit column it leads to."""
    cost = card.cost
    ends = [*cost.exit_after, len(cost.block_macs)]
    found, column = [], 0
    for n, macs in enumerate(cost.block_macs):
        found.append({"name": "stem" if n == 0 else f"block {n}", "macs": macs, "exit": column})
        if n == ends[column]:
            column += 1
    found.append({"name": "last classifier", "macs": cost.final_macs, "exit": card.num_exits - 1})
    return found


def payload(
    story: "Story",
    card: Card,
    view: View,
    picture: Picture,
    device: "Device",
    present: bool = False,
    note: tuple[str, bool] | None = None,
) -> dict[str, Any]:
    """The journey component's data, plain JSON.

    Args:
        note: a line about how usual the picture is, and whether it is unusual.
    """
    names, rule = card.class_names, RULES[view.rule]
    last = card.num_exits - 1

    def exit_of(n: int) -> dict[str, Any]:
        verdict = story.verdicts[n]
        best = np.argsort(-verdict.probabilities, kind="stable")[:TOP_CLASSES]
        return {
            "top": [[names[i], float(verdict.probabilities[i])] for i in best],
            "right": None if picture.label is None else int(best[0]) == picture.label,
            "score": verdict.score,
            "threshold": verdict.threshold,
            "off": n in view.off,
            "executed": verdict.executed,
            "cost": verdict.relative_cost,
            "macs": verdict.macs,
        }

    seen = picture.prepared.picture
    data = {
        "id": f"{picture.key} {view.model} {story.exit}",
        "image": picture.name,
        "taken": story.exit,
        "exits": [exit_of(n) for n in range(last + 1)],
        "blocks": blocks_of(card),
        "plainMacs": card.cost.plain_macs,
        "rule": {"label": rule.label + (" with temperature" if view.calibrated else ""), "formula": rule.formula},
        "thresholds": list(view.thresholds),
        "strip": [list(part) for part in leaves_by_threshold([v.score for v in story.verdicts], view.off)],
        "original": {
            "url": picture.preview,
            "name": picture.name,
            "width": picture.size[0],
            "height": picture.size[1],
            "about": picture.about,
            "pixels": max(picture.size) <= 128,
        },
        "seen": {
            "url": png_url(to_image(seen)),
            "width": seen.shape[2],
            "height": seen.shape[1],
            "channels": seen.shape[0],
            "steps": list(picture.prepared.steps),
        },
        "device": device.label.removeprefix("GPU ").removeprefix("CPU "),
        "kind": "CPU" if device.name == "cpu" else "GPU",
        "note": note[0] if note else None,
        "unusual": bool(note and note[1]),
        "palette": theme.palette(card.num_exits),
        "present": present,
    }
    json.dumps(data, allow_nan=False)
    return data


def show_sentence(
    parts: list[tuple[str, int | str | None]], line: str, num_exits: int, present: bool = False, key: str = "sentence"
) -> None:
    """Draw the sentence on top of the page, or with another key one further down."""
    data = {
        "parts": [list(part) for part in parts],
        "below": line,
        "palette": theme.palette(num_exits),
        "present": present,
    }
    _mount_sentence(key=key, data=data)


@st.fragment
def show(data: dict[str, Any], run: stopwatch.Run, network: Any, lock: Any, picture: Picture) -> None:
    """Draw the journey from its `payload`; once drawn it asks for its times, and this alone runs again."""

    def measure() -> None:
        with lock:
            stopwatch.measure(run, network, picture.prepared.input)

    timing = stopwatch.known(run)
    data = {**data, "timing": None if timing is None else asdict(timing)}
    _mount_journey(key="journey", data=data, on_time_change=measure)


# in place of the sentence and the journey while torch is loaded, of the same height
def waiting_sentence(words: str) -> str:
    """HTML of plain words where the sentence will stand."""
    style = "height:50px;font-size:23px;line-height:1.25;font-weight:700"
    return f'<div role="status" style="{style}">{html.escape(words)}</div>'


WAITING_SENTENCE = waiting_sentence("Waking the network up …")
WAITING = """
<style>
.waiting { display: grid; gap: 22px; opacity: .9; }
.waiting div { display: flex; gap: 22px; align-items: center; }
.waiting i { background: color-mix(in srgb, currentColor 7%, transparent); border-radius: 8px; }
.waiting i { height: 168px; flex: 0 0 168px; }
.waiting .rail i { height: 16px; flex: 1; border-radius: 3px; }
.waiting .columns i { height: 190px; flex: 1; }
.waiting p { margin: 0; font-size: 14px; }
</style>
<div class="waiting"><div><i></i><i></i><p>The first image takes a few seconds, the next ones none.</p></div>
<div class="rail"><i></i><i></i><i></i><i></i><i></i></div><div class="columns"><i></i><i></i><i></i></div></div>
"""
