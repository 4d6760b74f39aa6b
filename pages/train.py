"""Train: choose, look what it will be, start; then watch it, stop it, go on, and find it on every page."""

from dataclasses import replace

import streamlit as st

from app import controls, state, training, training_form
from core.errors import UserError

st.html("<style>.train-sentence { font-size: 1.35rem; line-height: 1.35; }</style>")
if not state.presenting():
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.pick_device(compact=True)

found = training.names()
chosen = training.pick(found)
training.show_problem()
if chosen != training.NEW:
    training.show(chosen, found)
    st.stop()

training.watch(found)
place = st.empty()
place.html('<div class="train-sentence">Choose images and a network, and press Start.</div>')
left, right = st.columns([0.42, 0.58], gap="large")
with left:
    wish = training_form.show()
wish = replace(wish, values={**wish.values, "device": state.current_device()})
with right:
    if wish.recipe is not None:
        try:
            built = training_form.build(wish.recipe)
            place.html(f'<div class="train-sentence">{training_form.sentence(wish, built)}</div>')
            training_form.show_outlook(wish, built)
        except UserError as error:
            wish = replace(wish, problems=[*wish.problems, str(error)])
        wish = training_form.name_it(wish)
    started = training_form.start_button(wish)
    training_form.show_command(wish)
if started:  # not in a callback: that would know the form as it was before the last field was left
    training.begin(wish)
    st.rerun()
