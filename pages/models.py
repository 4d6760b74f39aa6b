"""Models: every trained network in one table, side by side, and one by one."""

import streamlit as st

from app import anatomy, cache, carry, chance, controls, history, journey, model_card, models, profiles, state, theme
from app.navigation import build_pages
from app.zoo_table import as_csv, passing, rows_of
from core.errors import UserError
from core.training.command_line import command_line, recipe_of

zoo = cache.zoo()
if not zoo.cards:
    controls.nothing_to_explore(zoo)
    carry.upload()
    st.stop()

present = state.presenting()
st.html(f"<style>{model_card.CSS}{model_card.STAGE_CSS if present else ''}</style>")
name = models.shown(zoo)
card = zoo.cards[name]
picked = models.picked(zoo)
lines = st.container()
if not present:
    with st.container(key="corner", horizontal=True, vertical_alignment="center", gap="small", width="content"):
        controls.present_button()
words = st.container()
data, families, plain, rule, budget = models.filters(zoo)
known = models.read_profiles(zoo)
everything = rows_of(zoo.cards, known, rule, budget)
rows = passing(everything, data, families, plain)
with words:
    dataset = (
        card.dataset if any(row.card.dataset == card.dataset for row in rows) or not rows else rows[0].card.dataset
    )
    journey.show_sentence(
        models.sentence(rows, dataset, budget),
        models.below(rows, dataset, 0 if present else len(zoo.problems)),
        card.num_exits,
        present,
        key="models_top",
    )


def show_card() -> None:
    """One network: blocks drawn to cost, numbers, history, recipe, provenance."""
    of_it = known[name]
    doors = build_pages()
    st.html(model_card.head(name, card, present))
    if not present:
        with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="models_doors"):
            for address, label in (
                ("explore", "Explore"),
                ("who", "Who exits where"),
                ("try", "Try an image"),
                ("cost", "Cost weight"),
            ):
                if address in doors and not card.is_plain:
                    st.page_link(
                        doors[address], label=label, query_params={"model": name}, icon=":material/arrow_forward:"
                    )
            models.open_buttons(name, zoo)
            carry.download(name)
    if of_it.problem:
        st.caption(controls.plain_text(of_it.problem))
    accuracy = of_it.profile.exit_accuracy if of_it.profile else None
    anatomy.show(anatomy.payload(name, card, accuracy, present))
    st.html(model_card.numbers_table(card, of_it, present))
    try:
        recipe = recipe_of(card)
    except UserError:
        recipe = None  # imported, or made by hand
    show_history(recipe)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("##### How it was trained")
        if recipe is None:
            st.caption("No recipe that core train knows; its card says:" if card.recipe else "Its card does not say.")
            st.html(model_card.facts(model_card.loose_recipe(card.recipe), present))
        else:
            st.html(model_card.facts(model_card.recipe_facts(recipe, card.recipe), present))
    with right:
        st.markdown("##### Where it comes from")
        try:
            weights = cache.weights_hash(name)
            files = sorted(path.name for path in (cache.ROOT / name).iterdir())
            st.html(model_card.facts(model_card.provenance(name, card, of_it, weights, files, zoo.cards), present))
        except (OSError, UserError) as error:
            st.caption(controls.plain_text(f"Its files cannot be read any more: {error}"))
    if recipe is not None:
        again = command_line(recipe, f"checkpoints/{name}-again")
        st.markdown("##### Train it again")
        st.code(str(again), language="bash", wrap_lines=True)
        if again.unsaid:
            unsaid = ", ".join(f"{field} = {value}" for field, value in again.unsaid.items())
            st.caption(controls.plain_text(f"No flag says this part of its recipe: {unsaid}."))


def show_history(recipe) -> None:
    """Its training, epoch by epoch, or one quiet line."""
    st.markdown("##### Training, epoch by epoch")
    try:
        epochs = profiles.history(name, card)
    except UserError as error:
        st.caption(controls.plain_text(str(error)))
        return
    if not history.panels_of(epochs, card.num_exits):
        st.caption("No training history lies in its folder.")
        return
    resolution = recipe.resolution if recipe else ()
    length = recipe.epochs if recipe else len(epochs)
    drawn = history.figure(epochs, card.num_exits, resolution, length, theme.current_scheme(), present)
    st.plotly_chart(drawn, key="models_history")
    total = model_card.duration(sum(line.get("seconds", 0) for line in epochs))
    small = " Grey: epochs on smaller images." if resolution else ""
    st.caption(
        f"{len(epochs)} epochs in {total}; colours are exits, measured on the training images while they change.{small}"
    )


if rows and not present:
    models.table(rows, zoo, budget, picked)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(
            f"Click a row to open its card; tick up to {models.MOST_PICKED} at the left to see them side by side.",
            width="stretch",
        )
        st.download_button(
            "Table as CSV", data=lambda: as_csv(rows, budget), file_name="models.csv", mime="text/csv",
            icon=":material/download:", type="tertiary", on_click="ignore", key="models_csv",
        )  # fmt: skip
panel = models.pick_panel()
with lines:
    for line in models.problems():
        st.warning(controls.plain_text(line), icon=":material/link_off:")
if panel == "compare":
    models.side_by_side([row for row in everything if row.name in picked], budget)
elif panel == "chance":
    chance.show(rows, budget)
elif panel == "planned":
    carry.planned(zoo)
else:
    show_card()
if present:
    controls.end_presentation()
else:
    models.broken(zoo)
    carry.upload()
