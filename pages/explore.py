"""Explore: thresholds under the hand, accuracy and cost, the images behind them."""

import streamlit as st

from app import cache, compare, controls, explorer, gallery, share, state, story, wish
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


if not present:
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.pick_device(compact=True)
        share.control()
        controls.present_button()
    with st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="small"):
        controls.pick_model(zoo, view)
        controls.pick_rule(card, view)
        controls.pick_axis(view)
        wish.control(card)

try:
    fitted = cache.temperatures(view.model) if view.calibrated else None
    trace = cache.load_trace(view.model) if fitted is None else cache.load_full_trace(view.model)
    if trace.n == 0:
        raise UserError(
            f"expected examples in the test trace of {view.model}, got none: run `python -m core trace {view.model}`"
        )
    measured = controls.measured_time(view, card)
except UserError as error:
    st.error(controls.plain_text(str(error)), icon=":material/broken_image:")
    st.stop()
scores = trace.rule_scores(view.rule, fitted)


def draw_explorer() -> None:
    """The part that answers at once; what it is given changes only where a front of per-exit thresholds comes in."""
    current = st.session_state["view"]
    front = None
    if len(current.thresholds) > 1:
        try:
            front = cache.tested_front(current.model, current.rule, fitted, current.off)
        except UserError:
            front = None  # without a calibration trace there is none to show
    explorer.show(
        current,
        card,
        trace,
        cache.component_table(trace, current.rule, fitted),
        plain=explorer.plain_counterpart(card, zoo.cards),
        front=front,
        timing=measured,
        note=st.session_state.get("note"),
        present=present,
    )


def draw_gallery() -> None:
    """What follows the thresholds once they are let go: the images behind the numbers."""
    current = st.session_state["view"]
    exits = route(scores, current.effective(trace.num_exits - 1))
    picked = gallery.show(exits, trace, card, present, current.off)
    if picked is not None:
        story.show(picked, trace, card, current, scores)


@st.fragment(key="live")
def live() -> None:
    """Explorer and gallery. At first the explorer comes first; after that the gallery, which is waited for."""
    above, below = st.container(), st.container()
    parts = [(above, draw_explorer), (below, draw_gallery)]
    if explorer.just_released():
        parts.reverse()
    for place, draw in parts:
        with place:
            draw()


live()
if present:
    controls.end_presentation()
else:
    compare.show(zoo, view)
