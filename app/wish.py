"""Thresholds by wish: say what you want, get the thresholds that give it, chosen on calibration and shown on test."""

from dataclasses import replace
from typing import Any

import streamlit as st

from app import cache, state
from app.state import View
from core.analysis.thresholds import Front, Fulfilment, Wish, fulfil
from core.checkpoints import Card
from core.errors import UserError

# kind -> words of the choice, unit, start, smallest, largest, step
_KINDS: dict[str, tuple[str, str, float, float, float, float]] = {
    "loss": ("lose at most", "points", 1.0, 0.0, 100.0, 0.1),
    "accuracy": ("be right at least", "% of the time", 90.0, 0.0, 100.0, 0.5),
    "cost": ("cost at most", "of the computation, %", 50.0, 1.0, 120.0, 1.0),
}


def words(wish: Wish) -> str:
    """The wish as a person says it."""
    if wish.kind == "loss":
        return f"lose at most {wish.value:g} point{'' if wish.value == 1 else 's'}"
    if wish.kind == "accuracy":
        return f"be right at least {100 * wish.value:g} % of the time"
    return f"cost at most {wish.value:.2f}"


def note(fulfilment: Fulfilment) -> dict[str, Any]:
    """What came of it, for the explorer, which shows it as long as the thresholds stand there."""
    chosen, tested = fulfilment.calibration, fulfilment.test
    title = "Wish cannot be met" if not fulfilment.met else "Wish kept" if fulfilment.kept else "Wish missed on test"
    text = (
        f"{words(fulfilment.wish)}{'' if fulfilment.met else ', the nearest there is'}. "
        f"Chosen on calibration (n = {chosen.n:,}): {100 * chosen.accuracy:.1f} % at {chosen.relative_cost:.2f}."
    )
    if tested is not None:
        text += f" On test (n = {tested.n:,}): {100 * tested.accuracy:.1f} % at {tested.relative_cost:.2f}."
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
    return replace(view, thresholds=thresholds), note(result)


def control(card: Card) -> None:
    """The wish as a drawer of controls; each acts at once."""

    def wish_now() -> None:
        kind = st.session_state["wish_kind"]
        value = float(st.session_state.get(f"wish_{kind}", _KINDS[kind][2]))  # another kind has no field yet
        wish = Wish(kind, value if kind == "loss" else value / 100)
        view: View = st.session_state["view"]
        try:
            fitted = cache.temperatures(view.model) if view.calibrated else None
            changed, told = apply(wish, st.session_state.get("wish_per_exit", False), view, fitted)
        except UserError as error:
            st.session_state["problems"] = [str(error)]
            return
        state.set_view(changed, from_outside=True)
        st.session_state["note"] = told

    with st.popover("Wish", icon=":material/star:", help="Say what you want: the thresholds follow"):
        kind = st.radio(
            "The network should",
            list(_KINDS),
            format_func=lambda name: f"{_KINDS[name][0]} …",
            key="wish_kind",
            on_change=wish_now,
        )
        label, unit, start, low, high, step = _KINDS[kind]
        st.number_input(
            f"{label} … {unit}",
            min_value=low,
            max_value=high,
            value=start,
            step=step,
            key=f"wish_{kind}",
            on_change=wish_now,
            help="Points: percentage points below the full network." if kind == "loss" else None,
        )
        if card.spec.num_early_exits > 1:
            st.toggle("a threshold for each exit", key="wish_per_exit", on_change=wish_now)
        else:
            st.session_state["wish_per_exit"] = False
        st.button("Find thresholds", type="primary", on_click=wish_now, width="stretch")
        st.caption("Chosen on the calibration images, shown on the test images.")
