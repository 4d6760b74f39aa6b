"""Thresholds by wish: say what you want, get the thresholds that give it, chosen on calibration and shown on test."""

import math
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app import cache, state
from app.state import View
from core.analysis.thresholds import Front, Fulfilment, Wish, fulfil
from core.checkpoints import Card
from core.errors import UserError

# kind -> words of the choice
_KINDS = {"loss": "lose at most", "accuracy": "be right at least", "cost": "cost at most"}
_OPEN = "wish_open"


@dataclass(frozen=True)
class Field:
    """The number a wish asks for, in the units the page shows.

    Args:
        label: what the number is.
        start, low, high, step: of the field.
        unit: what the field's number is divided by to become the wish's value.
        help: what it can be compared with.
    """

    label: str
    start: float
    low: float
    high: float
    step: float
    unit: float
    help: str


def field(kind: str, card: Card) -> Field:
    """Limits and start of a wish's number, from what the network can do on the calibration split."""
    exits = card.metrics.get("calibration", {}).get("exit_accuracy", [1.0])
    full = math.floor(1000 * exits[-1]) / 10
    if kind == "loss":
        return Field(
            "percentage points", 1.0, 0.0, 100.0, 0.1, 1, f"Below the full network, which is {full:.1f} % right."
        )
    if kind == "accuracy":
        return Field(
            "% of the time", max(0.0, full - 1), 0.0, 100.0, 0.1, 100, f"The full network is {full:.1f} % right."
        )
    cheapest = card.cost.relative()[0]
    return Field(
        "relative cost",
        max(0.5, math.ceil(100 * cheapest) / 100),
        0.0,
        1.2,
        0.01,
        1,
        f"Leaving always at exit 1 costs {cheapest:.2f}, the plain network 1.",
    )


def words(wish: Wish) -> str:
    """The wish as a person says it."""
    if wish.kind == "loss":
        return f"lose at most {wish.value:g} point{'' if wish.value == 1 else 's'}"
    if wish.kind == "accuracy":
        return f"be right at least {100 * wish.value:g} % of the time"
    return f"cost at most {wish.value:.2f}"


def missed_by(wish: Wish, accuracy: float, relative_cost: float, full_accuracy: float) -> str:
    """By how much a point misses a wish, rounded up so that it never reads 0."""
    if wish.kind == "cost":
        return f"{math.ceil(1000 * (relative_cost - wish.value)) / 1000:.3f}"
    least = wish.value if wish.kind == "accuracy" else full_accuracy - wish.value / 100
    return f"{math.ceil(1000 * (least - accuracy)) / 10:.1f} points"


def note(fulfilment: Fulfilment, full_on_test: float) -> dict[str, Any]:
    """What came of it, for the explorer, which shows it as long as the thresholds stand there.

    Args:
        full_on_test: accuracy of the full network on test, 0..1.
    """
    wish, chosen, tested = fulfilment.wish, fulfilment.calibration, fulfilment.test
    if not fulfilment.met:
        title = "Wish cannot be met"
    elif tested is None or fulfilment.kept:
        title = "Wish kept"
    else:
        title = f"Missed on test by {missed_by(wish, tested.accuracy, tested.relative_cost, full_on_test)}"
    text = (
        f"{words(wish).capitalize()}{'' if fulfilment.met else ': this is the nearest there is'}. "
        f"Chosen on {chosen.n:,} other images: {100 * chosen.accuracy:.1f} % right at cost {chosen.relative_cost:.3f}."
    )
    if tested is not None:
        text += f" On these {tested.n:,}: {100 * tested.accuracy:.1f} % at {tested.relative_cost:.3f}."
    return {"title": title, "text": text, "thresholds": [float(t) for t in fulfilment.thresholds]}


def apply(wish: Wish, per_exit: bool, view: View, fitted: tuple[float, ...] | None) -> tuple[View, dict[str, Any]]:
    """The view with the thresholds a wish asks for, and the note about it.

    Args:
        per_exit: whether every exit may have a threshold of its own.
        fitted: temperatures, or None.

    Raises:
        UserError: a trace is missing.
    """
    load = cache.load_trace if fitted is None else cache.load_full_trace
    calibration, test = load(view.model, "calibration"), load(view.model, "test")
    early = test.num_exits - 1
    active = [n not in view.off for n in range(early)]
    front: Front | None = None
    if per_exit:
        front = cache.tested_front(view.model, view.rule, fitted, view.off, points=100_000).front
    result = fulfil(wish, calibration, test, view.rule, per_exit, fitted, active, front)
    thresholds = result.thresholds
    if not per_exit:
        shared = next((t for t, on in zip(thresholds, active, strict=True) if on), 1.0)
        thresholds = (shared,)
    return replace(view, thresholds=thresholds), note(result, float(test.correct[:, -1].mean()))


def control(card: Card) -> None:
    """The wish as a drawer of controls; each acts at once, and the button closes the drawer."""

    def wish_now(close: bool = False) -> None:
        kind = st.session_state["wish_kind"]
        asked = field(kind, card)
        value = float(st.session_state.get(_key(kind), asked.start))  # another kind has no field yet
        view: View = st.session_state["view"]
        try:
            fitted = cache.temperatures(view.model) if view.calibrated else None
            wish = Wish(kind, value / asked.unit)
            changed, told = apply(wish, st.session_state.get("wish_per_exit", False), view, fitted)
        except UserError as error:
            st.session_state["problems"] = [str(error)]
            return
        state.set_view(changed, from_outside=True)
        st.session_state["note"] = told
        if close:
            st.session_state[_OPEN] = False

    def _key(kind: str) -> str:
        return f"wish_{kind}"

    with st.popover(
        "Wish",
        icon=":material/star:",
        help="Say what you want: the thresholds follow",
        key=_OPEN,
        on_change="rerun",
    ):
        kind = st.radio(
            "The network should",
            list(_KINDS),
            format_func=lambda name: f"{_KINDS[name]} …",
            key="wish_kind",
            on_change=wish_now,
        )
        asked = field(kind, card)
        st.number_input(
            f"{_KINDS[kind]} … {asked.label} ({asked.low:g} to {asked.high:g})",
            min_value=asked.low,
            max_value=asked.high,
            value=asked.start,
            step=asked.step,
            format="%.2f" if kind == "cost" else "%.1f",
            key=_key(kind),
            on_change=wish_now,
        )
        st.caption(asked.help)
        if card.spec.num_early_exits > 1:
            st.toggle("a threshold for each exit", key="wish_per_exit", on_change=wish_now)
        else:
            st.session_state["wish_per_exit"] = False
        st.button("Find thresholds", type="primary", on_click=wish_now, args=(True,), width="stretch")
        st.caption("Chosen on images set aside for it (the calibration split), shown on the test images.")
