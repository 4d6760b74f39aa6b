"""Who exits where: which images leave at which exit, and every count a door to the images behind it."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import bands, cache, choice, controls, doors, feature_map, filter_line, journey, state, story, who
from core.analysis.selection import comparable_scores, matching
from core.analysis.sweep import point_of_exits, route
from core.errors import UserError

zoo = cache.zoo()
cards = zoo.explorable
if not cards:
    controls.nothing_to_explore(zoo)
    st.stop()

view = state.current_view(cards)
card = cards[view.model]
early = card.spec.num_early_exits
present = state.presenting()
st.html(f"<style>{filter_line.CSS}{filter_line.STAGE_CSS if present else ''}</style>")
if not present:
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.pick_device(compact=True)
        controls.present_button()
    bar = st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="medium")
    with bar:
        controls.pick_model(zoo, view)
        controls.pick_rule(card, view)
        choice.pick_threshold(view, early)

try:
    fitted = cache.temperatures(view.model) if view.calibrated else None
    trace = cache.load_trace(view.model) if fitted is None else cache.load_full_trace(view.model)
    if trace.n == 0:
        raise UserError(
            f"expected examples in the test trace of {view.model}, got none: run `python -m core trace {view.model}`"
        )
except UserError as error:
    st.error(controls.plain_text(str(error)), icon=":material/broken_image:")
    st.stop()

left = st.session_state.get("who")
same_classes = bool(left) and left.model in cards and cards[left.model].class_names == card.class_names
scene = who.current_scene(view, trace.classes, trace.num_exits, trace.n, same_classes)
for line in [*state.problems(), *who.problems()]:
    st.warning(controls.plain_text(line), icon=":material/link_off:")
if not present:
    with bar:
        who.pin_button(view, trace.num_exits)

scores = comparable_scores(trace.rule_scores(view.rule, fitted), trace)
exits = route(scores, view.effective(early))


def draw_map(shown: NDArray[np.bool_]) -> None:
    """The examples in feature space; a lasso around some becomes the filter."""
    try:
        found = feature_map.load(view.model, trace)
    except UserError as error:
        st.caption(controls.plain_text(f"No map: {error}".replace("`", "")))
        return
    colours = {"exit": "by exit taken", "class": "by class", "right": "by right or wrong"}
    colour = st.segmented_control(
        "Colour",
        list(colours),
        default="exit",
        required=True,
        key="who_colour",
        format_func=colours.__getitem__,
        label_visibility="collapsed",
    )
    feature_map.show(found, trace, card, exits, shown, colour or "exit", who.MAP_KEY)


@st.fragment(key="who")
def live() -> None:
    """Everything that follows a click; the gallery is made first, it is what one waits for."""
    picked = who.take_lasso(trace.n)
    scene = who.scene()
    before = None if scene.pin is None else who.pinned_exits(scene.pin, view.model)
    passes = matching(scene.selection, trace, exits, scores, before)
    shown = None if scene.selection.is_empty else passes
    words, line = st.container(), st.container(key="who_line")
    marks, images = st.container(), st.container()
    with words:
        point = point_of_exits(exits, trace.correct, trace.relative_cost)
        parts = who.sentence(trace, exits, card.class_names)
        journey.show_sentence(parts, who.below(view, point, trace), trace.num_exits, present)
    with line:
        first, second = st.columns([0.58, 0.42], vertical_alignment="center", gap="large")
        with first:
            filter_line.show(scene, trace, card, int(passes.sum()), not present)
        if not present:
            with second:
                who.pick_chart(scene)
    with images:
        try:
            page = bands.choose_bands(trace, exits, scores, passes, scene)
            data = bands.payload(page, trace, card, scores, scene, shown is not None, present)
            if not data["sheet"]["url"] and any(band.rows for band in page):
                st.caption(f"No test images of {controls.plain_text(card.dataset)} lie in checkpoints/: answers only.")
            clicked = bands.show(data, trace)
            picked = clicked if clicked is not None else picked
        except UserError as error:
            st.error(controls.plain_text(str(error)), icon=":material/broken_image:")
    with marks:
        share = 0.42 if scene.chart == "map" else 0.58  # a map wants room
        squares, chart = st.columns([share, 1 - share], gap="large")
        with squares:
            panels = doors.leaving_panels(trace, exits, shown)
            panels = panels[:1] if scene.chart == "map" else panels  # the map takes the flow's room
            doors.show("who_leaving", panels, trace, card, scene, present)
        with chart:
            if scene.chart == "map":
                draw_map(passes)
            else:
                panel = doors.chart_panel(scene, trace, exits, scores, shown, before, view)
                doors.show("who_panel", [panel], trace, card, scene, present)
    if picked is not None:
        story.show(picked, trace, card, view, scores)


live()
if present:
    controls.end_presentation()
