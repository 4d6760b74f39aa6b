"""The laboratory: a picture, brought by whatever way, taken through the network to its exit; or many at once."""

import sys
from dataclasses import replace

import streamlit as st

from app import attention, cache, choice, controls, harder, journey, many, picker, state, stopwatch, unusual
from core.analysis.sweep import route
from core.errors import UserError

zoo = cache.zoo()
cards = zoo.explorable
if not cards:
    st.title("No network to try an image on yet")
    st.text("Expected a trained early-exit network in checkpoints/DATASET/MODEL/, found none. Copy or train one there.")
    for name, problem in zoo.problems.items():
        st.error(choice.escaped(f"{name}: {problem}"), icon=":material/broken_image:")
    st.stop()

view = state.current_view(cards)
card = cards[view.model]
early = card.spec.num_early_exits
present = state.presenting()

if not present:
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.pick_device(compact=True)
        controls.present_button()
    with st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="medium"):
        controls.pick_model(zoo, view)
        controls.pick_rule(card, view)
        choice.pick_threshold(view, early)

labels = choice.test_labels(card.dataset)
first, fitted, no_trace = 0, None, None
try:
    fitted = cache.temperatures(view.model) if view.calibrated else None
    trace = cache.load_trace(view.model) if fitted is None else cache.load_full_trace(view.model)
    exits = route(trace.rule_scores(view.rule, fitted), view.effective(early))
    first = choice.first_picture(exits, trace)
except UserError as error:
    no_trace = str(error)
    view = replace(view, calibrated=False)  # as far as this page goes: no temperatures without recorded answers
current = choice.current_picture(labels, first)
job = many.current_job() if current.way == "many" else None
for line in [*state.problems(), *choice.problems()]:
    st.warning(choice.escaped(line), icon=":material/link_off:")

sentence = st.container()  # not st.empty(): that would take the old sentence and story away before the new ones come
waiting_sentence = sentence.empty()


def say(parts: list[tuple[str, int | str | None]], line: str = "") -> None:
    waiting_sentence.empty()
    with sentence:
        journey.show_sentence(parts, line, card.num_exits, present)


if present:
    story_column = st.container()
else:
    choice.pick_way(current, labels is not None)
    choose_column, story_column = st.columns([0.22, 0.78], gap="large")
    with choose_column:
        if current.way == "many":
            many.pick()
        elif current.way != "test":
            choice.pick_picture(current, card, choice.network_for_digits(cards))
        elif labels is not None:
            seed = choice.shuffle_controls(len(labels))
            try:
                if no_trace:
                    raise UserError(no_trace)
                picker.show(picker.payload(exits, trace, card, seed, current.row), len(labels), choice.choose_row)
            except UserError as error:
                st.error(choice.escaped(str(error)), icon=":material/broken_image:")

device = None
with story_column:
    batch = st.container()
    place = st.container()
    waiting = place.empty()
    if job and not job.done and not job.stopped:
        waiting_sentence.html(journey.waiting_sentence(f"Reading {len(job.files.files):,} files …"))
    try:
        if current.way == "many":
            if many.line():
                raise UserError(many.line())
            answers = None
            if job:
                from core.network.devices import pick_device

                device = pick_device(state.current_device())
                network, _, lock = cache.load_network(view.model, device.name)
                job.turn_to(card, cache.weights_hash(view.model))
                with batch:
                    answers = many.show(job, network, lock, card, view, fitted, present)
                say(many.sentence(job, answers, card), many.below(job, card, device.label))
                current = replace(current, brought=many.opened(job))
        picture = choice.load_picture(current, card, labels)
        if picture is None:
            if job is None:
                say([(choice.WAYS[current.way][2], None)])
            with place:
                choice.invite(current, card, job is not None)
            st.stop()
        if "torch" not in sys.modules:
            waiting_sentence.html(journey.WAITING_SENTENCE)
            waiting.html(journey.WAITING)
        from core.network.devices import pick_device

        device = pick_device(state.current_device())
        network, _, lock = cache.load_network(view.model, device.name)
        with lock:
            story = journey.tell(network, card, view, picture, fitted)
        note = unusual.look(view.model, card, picture.prepared, device.name) if picture.uploaded else None
        data = journey.payload(story, card, view, picture, device, present, note)
    except UserError as error:
        if job is None:
            say([("This picture did not reach the network", None)])
        place.error(choice.escaped(str(error)), icon=":material/image_not_supported:")
        st.stop()
    parts, line = journey.sentence(story, card, view, picture), journey.below(card, picture, view)
    waiting.empty()
    with place:
        if job:
            journey.show_sentence(parts, line, card.num_exits, present, key="picture_sentence")
        journey.show(data, stopwatch.Run(view.model, device.name, picture.key, story.exit), network, lock, picture)
if job is None:
    say(parts, line)
with story_column:
    attention.show(card, view, picture, story, fitted)
    harder.show(card, view, picture, fitted)
unusual.prepare(view.model, card, device.name)  # while the visitor looks: the next picture may come from outside
