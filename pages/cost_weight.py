"""Cost weight: what lambda buys, trained end to end and refitted while you wait."""

import streamlit as st

from app import cache, controls, cost_charts, cost_controls, cost_weight, explorer, journey, refits, state, theme
from app.cost_weight import Line
from core.errors import UserError
from core.refit_recipe import RefitRecipe

zoo = cache.zoo()
cards = zoo.explorable
known = cost_weight.grounds(cards)
if not known:
    cost_controls.nothing_to_show(cards)
    st.stop()

scene = cost_weight.current_scene(known)
ground = cost_weight.ground_of(scene.model, known) or known[0]
card = cards[ground.names[0]]
present = state.presenting()
device = state.current_device()

st.html(f"<style>{cost_controls.CSS}</style>")
if not present:
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.pick_device(compact=True)
        controls.present_button()
    with st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="medium"):
        cost_controls.pick_ground(known, ground, cards)
        cost_controls.pick_rule(scene)
said = cost_weight.problems()
for line in said:
    st.warning(controls.plain_text(line), icon=":material/link_off:")

try:
    trained = cost_weight.trained_lines(ground, cards, scene)
except UserError as error:
    st.error(controls.plain_text(str(error)), icon=":material/broken_image:")
    st.stop()

top = st.empty()
problem = refits.can_refit(ground.base or ground.names[0])
if not present:
    with st.container(key="cost_refit"):
        if problem is None:
            cost_controls.pick_refit(ground, scene)
        else:
            st.caption(controls.plain_text(f"No refit here: {problem}"))
progress = st.container(height=36, border=False, key="cost_progress")
left, right = st.columns([0.62, 0.38], gap="large")
chart, small = left.empty(), right.empty()
plain = explorer.plain_counterpart(card, zoo.cards)
found: dict[RefitRecipe, refits.Refit | str] = {}


def draw() -> None:
    """Sentence and charts of the trained networks and the refits that are there."""
    refitted = {
        recipe: cost_weight.refit_line(refit, scene)
        for recipe, refit in found.items()
        if isinstance(refit, refits.Refit)
    }
    lines: list[Line] = [*trained, *(line for line in refitted.values() if line is not None)]
    largest = max(4.0, *ground.cost_weights)
    scheme = theme.current_scheme()
    with top.container():
        parts = cost_weight.sentence(trained, refitted.get(scene.current) if scene.current else None)
        n = trained[0].sweep.n
        journey.show_sentence(parts, cost_weight.below(ground, cards, scene, n), card.num_exits, present)
    against = None if plain is None else (plain.name, plain.accuracy)
    chart.plotly_chart(cost_charts.curves(lines, largest, against, scheme, present), config=cost_charts.CONFIG)
    small.plotly_chart(cost_charts.against_lambda(lines, largest, scheme, present), config=cost_charts.CONFIG)


jobs: dict[RefitRecipe, refits.Job] = {}
for recipe in scene.wanted:
    try:
        jobs[recipe] = refits.start(ground.base or ground.names[0], recipe, device)
    except UserError as error:
        found[recipe] = str(error)
waiting = [recipe for recipe, job in jobs.items() if not job.done]
for recipe, job in jobs.items():
    if job.done:
        found[recipe] = job.problem or job.result
draw()
with progress:
    if not scene.wanted and problem is None and not present:
        st.caption(cost_controls.INVITATION)
    for recipe in waiting:
        bar = st.progress(0.0, text=cost_weight.refit_words(recipe))
        cost_controls.follow(jobs[recipe], recipe, bar)
if waiting:
    cost_weight.say_again(said)
    st.rerun()  # everything is there now: drawn in one go
if scene.wanted and not present:
    cost_controls.show_refits(scene, found, trained, ground, cards, device)
if present:
    controls.end_presentation()
if problem is None:
    refits.begin(ground.base or ground.names[0], device)  # while the visitor looks: a refit then waits for less
