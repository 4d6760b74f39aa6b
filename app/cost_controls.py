"""Controls of *Cost weight*: which family, which rule and threshold, which refit, and the list of refits."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import streamlit as st

from app import cache, cost_weight, refits
from app.controls import plain_text
from app.cost_weight import MOST_HELD, Ground, Line, Scene
from core.analysis.rules import RULES
from core.checkpoints import Card
from core.errors import UserError
from core.refit_recipe import REFIT_EXIT_TYPES, REFIT_LOSSES, RefitRecipe, read_cost_weight

CSS = """
.st-key-cost_refit button[data-variant="segmented_control"] { min-height: 2.5rem; }
.st-key-cost_progress { margin: -0.6rem 0 -1.1rem; }
"""
INVITATION = (
    "Solid lines: trained networks. Move the slider to any λ: a dashed line appears, refitted on the frozen network in "
    "a second or two."
)
_KEPT = "cost_kept"


def nothing_to_show(cards: Mapping[str, Card]) -> None:
    """The page where no two networks differ in lambda alone and none has features."""
    st.title("No cost weights to compare yet")
    st.text(
        "This page needs networks whose recipes differ in the cost weight alone, or features to refit exits from. "
        "Found neither among the checkpoints."
    )
    st.text("Train a family, the same command for each cost weight:")
    st.code(
        "python -m core train --dataset mnist --model eenet8 --exits 2 --epochs 4 "
        "--cost-weight 0.5 --out checkpoints/mnist/eenet8-lambda-0.5",
        language=None,
        wrap_lines=True,
    )
    st.text("Or record features of a network's training images, which the refit starts from:")
    name = next(iter(cards), "mnist/eenet8")
    st.code(f"python -m core features {name}", language=None, wrap_lines=True)


def pick_ground(known: list[Ground], ground: Ground, cards: Mapping[str, Card]) -> None:
    """The family; its refits leave with it."""
    labels = cost_weight.labels(known, cards)
    st.session_state["cost_family"] = ground.names[0]
    st.selectbox(
        "Family",
        list(labels),
        key="cost_family",
        format_func=lambda name: labels.get(name, name),
        on_change=lambda: cost_weight.change(model=st.session_state["cost_family"], current=None, held=()),
        help="Networks whose recipes are equal but for the cost weight: found by their cards.",
        width="stretch",
    )


def pick_rule(scene: Scene) -> None:
    """The rule and the one threshold at which the networks are compared."""

    def choose() -> None:
        rule = st.session_state["cost_rule"]
        cost_weight.change(rule=rule, threshold=RULES[rule].default_threshold)

    st.session_state["cost_rule"] = scene.rule
    st.segmented_control(
        "Leave when this is high enough",
        list(RULES),
        key="cost_rule",
        format_func=lambda name: RULES[name].label.lower(),
        required=True,
        on_change=choose,
        help="The loss that λ is part of trains the learned confidence; the other rules show what is left of it "
        "without.\n\n" + "\n\n".join(f"**{rule.label}**: {rule.meaning} ({rule.formula})" for rule in RULES.values()),
        width="content",
    )
    st.session_state["cost_t"] = scene.threshold
    st.slider(
        "Threshold T, the same for all",
        0.0,
        1.0,
        step=0.001,
        format="%.3f",
        key="cost_t",
        on_change=lambda: cost_weight.change(threshold=st.session_state["cost_t"]),
        help="An image leaves at the first exit whose score reaches T; at T = 1 none leaves early. The marks on the "
        "curves stand where this threshold puts each network.",
        width=230,
    )


def pick_refit(ground: Ground, scene: Scene) -> None:
    """The slider for any lambda, with loss and type of exit; letting go of it refits."""
    now = scene.current
    shown = now or RefitRecipe(1.0, st.session_state.get("cost_loss") or REFIT_LOSSES[0])

    def wish(weight: float) -> None:
        loss, exit_type = st.session_state["cost_loss"], st.session_state["cost_exits"]
        cost_weight.change(current=RefitRecipe(weight, loss, exit_type))

    def typed() -> None:
        text = st.session_state["cost_lambda_text"].strip()
        if not text:
            return
        try:
            wish(read_cost_weight(text))
        except UserError as error:
            cost_weight.say_again([f"Cost weight: {error}"])

    def chosen() -> None:
        weight = shown.cost_weight
        if now is not None:
            wish(weight)

    slider, field, loss, exits, button = st.columns([0.36, 0.12, 0.2, 0.16, 0.16], vertical_alignment="bottom")
    st.session_state["cost_lambda"] = shown.cost_weight
    slider.select_slider(
        "Any cost weight λ: refits the exits while you wait",
        cost_weight.slider_steps(ground, shown),
        key="cost_lambda",
        format_func=cost_weight.step_words(ground),
        on_change=lambda: wish(st.session_state["cost_lambda"]),
        help="The network stays as it is (frozen); softmax and confidence branches of all early exits are fitted "
        "anew on pooled features of training images. The last exit stays: its classifier is the backbone's own.",
    )
    st.session_state["cost_lambda_text"] = "" if now is None else f"{now.cost_weight:.12g}"
    field.text_input("or exactly", key="cost_lambda_text", placeholder="0 or more", on_change=typed)
    st.session_state["cost_loss"] = shown.loss
    loss.selectbox(
        "Loss",
        REFIT_LOSSES,
        key="cost_loss",
        on_change=chosen,
        help="\n\n".join(f"**{name}**: {words}" for name, words in cost_weight.LOSSES.items()),
    )
    st.session_state["cost_exits"] = shown.exit_type if now else st.session_state.get("cost_exits") or "pool"
    exits.segmented_control(
        "Exit type",
        REFIT_EXIT_TYPES,
        key="cost_exits",
        required=True,
        on_change=chosen,
        help="\n\n".join(f"**{name}**: {words}" for name, words in cost_weight.EXIT_TYPES.items()),
    )
    if now is None:
        button.button("Refit", type="primary", width="stretch", on_click=lambda: wish(shown.cost_weight))
    else:
        full = len(scene.held) >= MOST_HELD
        button.button(
            "Hold on chart",
            width="stretch",
            disabled=now in scene.held or full,
            on_click=lambda: cost_weight.change(held=(*scene.held, now)),
            help=f"It stays while the slider moves on; {MOST_HELD} at most",
        )


def follow(job: "refits.Job", recipe: RefitRecipe, bar: Any) -> None:
    """Wait for a refit and show how far it is; what came of it is said on the next run."""
    words = cost_weight.refit_words(recipe)
    with suppress(UserError):
        job.wait(lambda part, doing: bar.progress(part, text=plain_text(f"{words}: {doing}")))


def show_refits(
    scene: Scene,
    found: Mapping[RefitRecipe, "refits.Refit | str"],
    lines: list[Line],
    ground: Ground,
    cards: Mapping[str, Card],
    device: str,
) -> None:
    """One row for each refit on the chart: its numbers, the gap to its trained twin, keep, remove.

    Args:
        found: for each refit what came of it, or one line on why nothing did.
        lines: the trained networks' curves.
    """
    for number, recipe in enumerate(scene.wanted):
        words, keep, remove = st.columns([0.7, 0.2, 0.1], vertical_alignment="center")
        refit = found.get(recipe)
        with words:
            if refit is None or isinstance(refit, str):
                st.error(plain_text(refit or "expected a refit, got none: try again"), icon=":material/broken_image:")
            else:
                st.markdown(_row_words(refit, recipe, scene, lines, ground, cards))
        if refit is not None and not isinstance(refit, str):
            with keep:
                _keep_button(refit, number, device)
        remove.button(
            "",
            key=f"cost_remove{number}",
            icon=":material/close:",
            type="tertiary",
            help="Take it off the chart",
            on_click=_remove,
            args=(scene, recipe, ground, device),
        )
    if kept := st.session_state.pop(_KEPT, None):
        good, line = kept
        (st.success if good else st.error)(plain_text(line), icon=":material/save:" if good else ":material/error:")


def _row_words(
    refit: "refits.Refit",
    recipe: RefitRecipe,
    scene: Scene,
    lines: list[Line],
    ground: Ground,
    cards: Mapping[str, Card],
) -> str:
    title = f"**{plain_text(cost_weight.refit_words(recipe))}**"
    line = cost_weight.refit_line(refit, scene)
    if line is None:
        return f"{title}: it has no learned confidence; choose another rule to see its curve."
    numbers = (
        f"{100 * line.point.accuracy:.1f} % right at cost {line.point.relative_cost:.3f} (T = {scene.threshold:g}, "
        f"test split, n = {refit.trace.n:,})."
    )
    gap = cost_weight.gap_words(line, recipe, ground, cards, lines)
    return f"{title}: {plain_text(numbers)} {plain_text(gap)}"


def _keep_button(refit: "refits.Refit", number: int, device: str) -> None:
    name = refits.folder_of(refit)
    if (cache.ROOT / name).exists():
        st.page_link("../pages/explore.py", label="Kept: open it", query_params={"model": name}, icon=":material/tune:")
        return

    def keep() -> None:
        try:
            made = refits.keep(refit, device)
        except UserError as error:
            st.session_state[_KEPT] = (False, str(error))
            return
        st.session_state[_KEPT] = (
            True,
            f"Kept as {made}: it is on every page now. Calibration images do not ship, so it has no calibration "
            f"trace; wishes and temperatures need one: python -m core trace {made}",
        )

    st.button(
        "Keep as checkpoint",
        key=f"cost_keep{number}",
        icon=":material/save:",
        on_click=keep,
        help=f"Writes checkpoints/{name}: it then appears on every page",
    )


def _remove(scene: Scene, recipe: RefitRecipe, ground: Ground, device: str) -> None:
    refits.forget(ground.base or ground.names[0], recipe, device)
    current = None if scene.current == recipe else scene.current
    kept = replace(scene, current=current, held=tuple(held for held in scene.held if held != recipe))
    cost_weight.set_scene(kept)
