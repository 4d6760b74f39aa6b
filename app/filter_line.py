"""The line that says what is filtered: how many images are left, what is on, and a drawer to combine freely."""

from dataclasses import replace
from typing import Any

import streamlit as st

from app import who
from app.controls import plain_text
from app.who import Scene
from core.analysis.selection import Selection
from core.checkpoints import Card
from core.trace import Trace

_EITHER = ("any", "right", "wrong")
CSS = """
[data-testid="stLayoutWrapper"]:has(> .st-key-who_line) { position: sticky; top: 3.75rem; z-index: 90; }
.st-key-who_line { background: light-dark(#FFFFFF, #0E1117); padding: 0.35rem 0; }
.st-key-who_line button { min-height: 2rem; }
.st-key-who_chips button { min-height: 1.7rem; padding: 0 0.55rem; border-radius: 1rem; font-size: 0.85rem; }
.st-key-who_chips p { font-size: 0.85rem; }
.st-key-who_count p { font-size: 0.95rem; white-space: nowrap; }
"""
STAGE_CSS = (
    '[data-testid="stLayoutWrapper"]:has(> .st-key-who_line) { top: 0; } .st-key-who_count p { font-size: 1.3rem; }'
)


def show(scene: Scene, trace: Trace, card: Card, passing: int, controls: bool) -> None:
    """Draw the line.

    Args:
        passing: examples that pass the filter.
        controls: whether it can be changed; on a stage it only tells.
    """
    selection = scene.selection
    with st.container(key="who_chips", horizontal=True, vertical_alignment="center", gap="small"):
        if controls:
            _drawer(scene, trace, card)
        chips = who.chips(selection, card.class_names)
        with st.container(key="who_count", width="content"):
            st.markdown(_count(trace, passing, selection.is_empty, [] if controls else [c.text for c in chips]))
        if not controls or selection.is_empty:
            return
        for number, chip in enumerate(chips):
            st.button(
                plain_text(chip.text),
                key=f"who_chip{number}",
                icon=":material/close:",
                icon_position="right",
                on_click=_keep,
                args=(chip.rest,),
                help="Take this away",
            )
        st.button("Clear all", key="who_clear", type="tertiary", on_click=_keep, args=(Selection(),))


def _count(trace: Trace, passing: int, everyone: bool, told: list[str]) -> str:
    """`**474** of 10,000 test images`, and on a stage what is on."""
    noun = f"{trace.split} image{'s' if trace.n != 1 else ''}"
    if everyone:
        return f"**{trace.n:,}** {noun}"
    return f"**{passing:,}** of {trace.n:,} {noun}" + "".join(f" · {plain_text(text)}" for text in told)


def _keep(selection: Selection) -> None:
    who.change(selection=selection)


def _drawer(scene: Scene, trace: Trace, card: Card) -> None:
    """Plain controls for what need not be clicked."""
    drawer = st.popover("Filter", icon=":material/filter_alt:", key="who_filter", on_change="rerun")
    if not drawer.open:
        return
    selection, names = scene.selection, card.class_names
    with drawer:
        _several("Class", "who_labels", "labels", selection.labels, list(range(trace.classes)), names.__getitem__)
        _several("Answer", "who_said", "predicted", selection.predicted, list(range(trace.classes)), names.__getitem__)
        columns = list(range(trace.num_exits))
        _several("Leaves at exit", "who_exits", "exits", selection.exits, columns, lambda n: str(n + 1))
        st.session_state["who_right"] = _EITHER[0 if selection.right is None else 1 if selection.right else 2]
        st.segmented_control(
            "There it is",
            _EITHER,
            key="who_right",
            required=True,
            on_change=lambda: _set(right={"right": True, "wrong": False}.get(st.session_state["who_right"])),
        )
        st.session_state["who_scores"] = selection.scores or (0.0, 1.0)
        st.slider(
            "Score at that exit",
            0.0,
            1.0,
            step=0.001,
            key="who_scores",
            format="%.3f",
            on_change=_set_scores,
            help="The rule's score at the exit taken; at a last exit without a confidence of its own, the largest "
            "probability.",
        )


def _several(label: str, key: str, field: str, chosen: tuple[int, ...], options: list[int], say: Any) -> None:
    st.session_state[key] = list(chosen)
    st.multiselect(
        label,
        options,
        key=key,
        format_func=say,
        placeholder="any",
        on_change=lambda: _set(**{field: tuple(sorted(st.session_state[key]))}),
    )


def _set(**changes: Any) -> None:
    who.change(selection=replace(who.scene().selection, **changes))


def _set_scores() -> None:
    low, high = st.session_state["who_scores"]
    _set(scores=None if (low, high) == (0.0, 1.0) else (float(low), float(high)))
