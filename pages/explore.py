"""Explore: thresholds under the hand, accuracy and cost, the images behind them."""

import streamlit as st

from app import cache, compare, controls, explorer, gallery, share, state, wish
from core.analysis.sweep import route
from core.errors import UserError

zoo = cache.zoo()
cards = zoo.explorable
if not cards:
    controls.nothing_to_explore(zoo)
    st.stop()

view = state.current_view(cards)
card = cards[view.model]
present = state.presenting()
for line in state.problems():
    st.warning(controls.plain_text(line), icon=":material/link_off:")


@st.fragment(key="share")
def sharing() -> None:
    """The link follows the thresholds."""
    share.control()


if not present:
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.pick_device(compact=True)
        sharing()
        controls.present_button()
    with st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="small"):
        controls.pick_model(zoo, view)
        controls.pick_rule(card, view)
        controls.pick_axis(view)
        wish.control(card)

try:
    fitted = cache.temperatures(view.model) if view.calibrated else None
    trace = cache.load_trace(view.model) if fitted is None else cache.load_full_trace(view.model)
    measured = controls.measured_time(view, card)
except UserError as error:
    st.error(controls.plain_text(str(error)), icon=":material/broken_image:")
    st.stop()
scores = trace.rule_scores(view.rule, fitted)


def released() -> None:
    """Thresholds were let go: what depends on them follows, the explorer itself only where it gets a new front."""
    current = st.session_state["view"]
    parts = ["consequences"] if present else ["consequences", "share"]
    front_now = (len(current.thresholds) > 1, current.off)
    if front_now[0] and st.session_state.get("front_of") != front_now:
        parts.append("explorer")
    st.rerun(parts)


@st.fragment(key="explorer")
def live() -> None:
    """The part that answers at once; it does not run again when a handle is let go."""
    current = st.session_state["view"]
    front = None
    if len(current.thresholds) > 1:
        try:
            front = cache.tested_front(current.model, current.rule, fitted, current.off)
        except UserError:
            front = None  # without a calibration trace there is none to show
        st.session_state["front_of"] = (True, current.off)
    else:
        st.session_state.pop("front_of", None)
    explorer.show(
        current,
        card,
        trace,
        cache.component_table(trace, current.rule, fitted),
        on_release=released,
        plain=explorer.plain_counterpart(card, zoo.cards),
        front=front,
        timing=measured,
        note=st.session_state.get("note"),
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
if present:
    controls.end_presentation()
else:
    compare.show(zoo, view)
