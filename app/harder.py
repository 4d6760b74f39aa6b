"""Make it harder: one picture and all test images under corruption, and whether the network knows. Runs when opened."""

import json
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, choice, state, theme
from app.attention import import_ahead
from app.component import component
from app.journey import Picture, png_url
from app.state import View
from core.analysis.robustness import FILE, CorruptedAnswers, Robustness, load_corrupted, robustness
from core.analysis.robustness import RULES as RECORDED
from core.analysis.rules import RULES
from core.checkpoints import Card, checkpoint_folder
from core.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from core.data.preprocess import to_image
from core.errors import UserError

KEY = "harder"
CHOICE = "harder_corruption"
START = 3  # the severity a newcomer sees

_mount = component("harder")


@st.cache_data(max_entries=64, scope="session", show_spinner=False)
def _run(
    key: str,
    model: str,
    weights: str,
    device: str,
    rule: str,
    thresholds: tuple[float, ...],
    fitted: tuple[float, ...] | None,
    corruption: str,
    _card: Card,
    _picture: NDArray[np.uint8],
) -> list[dict[str, Any]]:
    from core.network.executor import Policy, execute

    network, _, lock = cache.load_network(model, device)
    harder = np.concatenate([corrupt(_picture[None], corruption, severity) for severity in range(SEVERITIES + 1)])
    images = _card.preprocessing.normalise(harder)
    with lock:
        found = execute(network, images, Policy(rule, thresholds, fitted))
    costs = _card.cost.relative()
    return [
        {
            "url": png_url(to_image(picture)),
            "words": CORRUPTIONS[corruption].describe(severity),
            "exit": int(exit_),
            "answer": int(answer),
            "score": float(found.scores[severity, exit_]),
            "p": float(found.probabilities[severity, answer]),
            "cost": float(costs[exit_]),
        }
        for severity, (picture, exit_, answer) in enumerate(zip(harder, found.exits, found.predicted, strict=True))
    ]


def run(
    card: Card, view: View, picture: Picture, corruption: str, fitted: tuple[float, ...] | None = None
) -> list[dict[str, Any]]:
    """What the executor makes of a picture at severities 0..5, in one batch; kept for this visitor. Imports torch.

    Raises:
        UserError: the network cannot be loaded, or there is no such device or corruption.
    """
    from core.network.devices import pick_device

    device = pick_device(state.current_device())
    weights, thresholds = cache.weights_hash(view.model), view.effective(card.spec.num_early_exits)
    seen = picture.prepared.picture
    return _run(picture.key, view.model, weights, device.name, view.rule, thresholds, fitted, corruption, card, seen)


@st.cache_resource(max_entries=8, show_spinner=False)
def _answers(name: str, weights: str, stamp: int) -> CorruptedAnswers:
    return load_corrupted(name, cache.ROOT)


def all_images(card: Card, view: View) -> Robustness:
    """The whole record at the view's operating point.

    Raises:
        UserError: one line: what is missing and how to make it, or which rules were recorded.
    """
    if view.rule not in RECORDED:
        labels = " and ".join(RULES[rule].label.lower() for rule in RECORDED)
        raise UserError(f"All test images under corruption are recorded for {labels}: choose one of them above.")
    if view.calibrated and RULES[view.rule].uses_temperature:
        raise UserError("All test images under corruption are recorded without temperature: switch calibrated off.")
    path = checkpoint_folder(view.model, cache.ROOT) / FILE
    answers = _answers(view.model, cache.weights_hash(view.model), path.stat().st_mtime_ns if path.exists() else 0)
    return robustness(answers, cache.load_trace(view.model), view.rule, view.effective(card.spec.num_early_exits))


def verdicts(found: Robustness) -> list[str]:
    """For each severity a sentence: does the network know that it got harder?"""
    accuracy, certainty, cost = (
        values.mean(axis=0) for values in (found.accuracy, found.certainty, found.relative_cost)
    )
    right = f"{_percent(accuracy[0])} right, {_percent(certainty[0])} sure, cost {cost[0]:.2f}"
    sentences = [f"As they are: {right}. Move the slider to see what becomes of that."]
    for severity in range(1, len(accuracy)):
        lost, doubt = accuracy[0] - accuracy[severity], certainty[0] - certainty[severity]
        change = cost[severity] - cost[0]
        if lost < 0.02:
            verdict = "there is little to know yet"
        else:
            known = doubt / lost
            verdict = "it knows" if known >= 0.8 else "it half knows" if known >= 0.4 else "it hardly knows"
        moved = "rises" if change > 0.005 else "falls" if change < -0.005 else "stays"
        worst = int(found.gap[:, severity].argmax())
        sentences.append(
            f"At severity {severity} {verdict}: over all {len(found.corruptions)} corruptions, accuracy goes from "
            f"{_percent(accuracy[0])} to {_percent(accuracy[severity])}, its certainty from {_percent(certainty[0])} "
            f"to {_percent(certainty[severity])}, and the cost {moved}, {cost[0]:.2f} to {cost[severity]:.2f}. "
            f"Most over-sure: {_label(found.corruptions[worst])}, by {100 * found.gap[worst, severity]:.0f} points."
        )
    return sentences


def _label(name: str) -> str:
    """A corruption in the middle of a sentence; one that this version does not know keeps its name."""
    if name not in CORRUPTIONS:
        return name
    label = CORRUPTIONS[name].label
    return label if label.isupper() else label.lower()


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u202f%"


def payload(
    runs: list[dict[str, Any]],
    corruption: str,
    card: Card,
    view: View,
    picture: Picture,
    found: Robustness | None,
    line: str = "",
    present: bool = False,
) -> dict[str, Any]:
    """The component's data, plain JSON.

    Args:
        runs: what `run` found.
        found: what `all_images` found, or None and why not in `line`.
    """
    names = card.class_names
    data = {
        "image": picture.name,
        "corruption": corruption,
        "label": CORRUPTIONS[corruption].label,
        "start": START,
        "severities": [
            {
                **run_,
                "answer": names[run_["answer"]],
                "right": None if picture.label is None else run_["answer"] == picture.label,
            }
            for run_ in runs
        ],
        "rule": RULES[view.rule].label,
        "line": line,
        "all": None
        if found is None
        else {
            "n": found.n,
            "sentences": verdicts(found),
            "charts": [
                {
                    "name": name,
                    "label": CORRUPTIONS[name].label,
                    "accuracy": found.accuracy[c].tolist(),
                    "certainty": found.certainty[c].tolist(),
                    "cost": found.relative_cost[c].tolist(),
                    "shares": found.exit_shares[c].tolist(),
                }
                for c, name in enumerate(found.corruptions)
                if name in CORRUPTIONS
            ],
        },
        "palette": theme.palette(card.num_exits),
        "present": present,
    }
    json.dumps(data, allow_nan=False)
    return data


@st.fragment
def show(card: Card, view: View, picture: Picture, fitted: tuple[float, ...] | None = None) -> None:
    """The section of the page, closed until somebody opens it.

    Args:
        fitted: temperatures the executor uses, or None.
    """
    section = st.expander("Make it harder", key="harder_open", icon=":material/blur_on:", on_change="rerun")
    if not section.open:
        import_ahead("torchvision.transforms.v2")
        return
    with section:
        if st.session_state.get(CHOICE) not in CORRUPTIONS:
            st.session_state[CHOICE] = next(iter(CORRUPTIONS))
        corruption = st.segmented_control(
            "What is done to the picture",
            list(CORRUPTIONS),
            key=CHOICE,
            format_func=lambda name: CORRUPTIONS[name].label,
            required=True,
            label_visibility="collapsed",
        )
        try:
            runs = run(card, view, picture, str(corruption), fitted)
        except UserError as error:
            st.error(choice.escaped(str(error)), icon=":material/blur_off:")
            return
        found, line = None, ""
        try:
            found = all_images(card, view)
        except UserError as error:
            line = f"Not for this view: {error}"
        _mount(
            key=KEY,
            data=payload(runs, str(corruption), card, view, picture, found, line, state.presenting()),
            on_pick_change=_pick,
        )


def _pick() -> None:
    """A chart was clicked: its corruption becomes the picture's."""
    picked = st.session_state[KEY].get("pick")
    if isinstance(picked, str) and picked in CORRUPTIONS:
        st.session_state[CHOICE] = picked
