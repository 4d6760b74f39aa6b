"""Explore: thresholds under the hand, accuracy and cost, the images behind them."""

import streamlit as st

from app import cache, controls, explorer, gallery, state
from core.analysis.rules import RULES
from core.analysis.sweep import route
from core.errors import UserError

zoo = cache.zoo()
cards = zoo.explorable
if not cards:
    st.title("No network to explore yet")
    st.text(
        "Expected a trained early-exit network in checkpoints/DATASET/MODEL/, found none. "
        "Copy one there, or train one: "
        "python -m core train --dataset mnist --model eenet8 --exits 2 --out checkpoints/mnist/eenet8"
    )
    for name, problem in zoo.problems.items():
        st.error(f"{name}: {problem}", icon=":material/broken_image:")
    st.stop()

view = state.current_view(cards)
card = cards[view.model]
present = state.presenting()
for line in state.problems():
    st.warning(line.translate({ord(c): "\\" + c for c in "\\`*_[]#<>~$:"}), icon=":material/link_off:")

if not present:
    with st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="medium"):
        controls.pick_model(zoo, view)
        st.session_state["rule_choice"] = view.rule
        st.segmented_control(
            "Leave when this is high enough",
            list(RULES),
            key="rule_choice",
            format_func=lambda name: RULES[name].label.lower(),
            required=True,
            on_change=lambda: state.choose_rule(st.session_state["rule_choice"], card),
            help="\n\n".join(f"{rule.label}: {rule.formula}" for rule in RULES.values()),
            width="content",
        )
        st.session_state["axis_choice"] = view.axis
        st.selectbox(
            "Cost axis",
            list(state.AXES),
            key="axis_choice",
            format_func=state.AXES.__getitem__,
            on_change=lambda: state.change_view(axis=st.session_state["axis_choice"]),
            width=190,
        )

try:
    trace = cache.load_trace(view.model)
except UserError as error:
    st.error(str(error), icon=":material/broken_image:")
    st.stop()
scores = trace.rule_scores(view.rule)


@st.fragment(key="explorer")
def live() -> None:
    """The part that answers at once; it does not run again when a handle is let go."""
    explorer.show(
        view,
        card,
        trace,
        cache.component_table(trace, view.rule),
        on_release=lambda: st.rerun("consequences"),
        plain=explorer.plain_counterpart(card, zoo.cards),
        present=present,
    )


@st.fragment(key="consequences")
def consequences() -> None:
    """What follows the thresholds once they are let go: the images behind the numbers."""
    current = st.session_state["view"]
    exits = route(scores, current.effective(trace.num_exits - 1))
    picked = gallery.show(exits, trace, card, present)
    if picked is not None:
        gallery.show_story(picked, trace, card, current, scores)


live()
consequences()
