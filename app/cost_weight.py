"""What *Cost weight* shows: family, rule, threshold and refits in session and link, and its words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from app import cache, refits, state
from core.analysis.gap import Gap, accuracy_gap
from core.analysis.rules import RULES
from core.analysis.sweep import OperatingPoint, Sweep
from core.checkpoints import Card, checkpoint_folder
from core.errors import UserError
from core.exit_features import features_path
from core.families import REFIT_METHOD, lambda_families, trained_cost_weight
from core.refit_recipe import REFIT_EXIT_TYPES, REFIT_LOSSES, RefitRecipe, read_cost_weight

MOST_HELD = 5
DEFAULT_RULE = "confidence"
STEPS = (
    0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4,
    5, 6, 7, 8, 10, 12, 16, 24, 32,
)  # fmt: skip
METHODS = {"end-to-end": "end to end", "alive": "branch by branch", "two-stage": "in two stages"}
LOSSES = {
    "cumulative": "The paper's: what the network says and spends from each exit on, at every exit (v2).",
    "fused": "The same, from the first exit on only (v1).",
    "normalized": "Weighs exits by their mean confidence over the batch (v3): on frozen features it hardly tells one "
    "image from another.",
    "tagged": "Each image is tagged with its best exit, confidences learn the tags (v4).",
    "unweighted": "Softmax branches alone: no learned confidence, λ has no effect (v0).",
}
EXIT_TYPES = {
    "pool": "Each channel averaged over space, then linear.",
    "bnpool": "BatchNorm first. Without training the backbone it is a scale and a shift, which a linear layer has "
    "anyway: the answers of pool, at a slightly higher cost.",
}
THIN = "\u202f"
_PARAMETERS = ("model", "rule", "t", "lambda", "loss", "exits", "hold")
_KEY, _LINKED, _PROBLEMS = "cost_scene", "cost_linked", "cost_problems"
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Ground:
    """What one chart is about.

    Args:
        cost_weights: lambda of each trained network, rising.
        names: of these networks.
        base: the frozen network that refits start from, or None where no features ship with one.
    """

    cost_weights: tuple[float, ...]
    names: tuple[str, ...]
    base: str | None

    @property
    def is_family(self) -> bool:
        """Whether there are several cost weights to compare."""
        return len(self.names) > 1


@dataclass(frozen=True)
class Scene:
    """What is looked at.

    Args:
        model: name of the ground's first network.
        rule: a name in `RULES`.
        threshold: the fixed one, 0..1.
        current: the refit under the slider, or None.
        held: others that stay on the chart.
    """

    model: str
    rule: str = DEFAULT_RULE
    threshold: float = RULES[DEFAULT_RULE].default_threshold
    current: RefitRecipe | None = None
    held: tuple[RefitRecipe, ...] = ()

    @property
    def wanted(self) -> tuple[RefitRecipe, ...]:
        """All refits, the current one first, none twice."""
        first = () if self.current is None else (self.current,)
        return tuple(dict.fromkeys([*first, *self.held]))


@dataclass(frozen=True, eq=False)
class Line:
    """One network's curve.

    Args:
        cost_weight: lambda.
        name: of a trained network, or None for a refit.
        words: what hovering calls it.
        sweep: the exact curve.
        point: what the fixed threshold gives.
    """

    cost_weight: float
    name: str | None
    words: str
    sweep: Sweep
    point: OperatingPoint

    @property
    def refitted(self) -> bool:
        """Whether this is a refit."""
        return self.name is None


def grounds(cards: Mapping[str, Card]) -> list[Ground]:
    """Families first, then networks that can be refitted but have no family."""
    found, taken = [], set()
    for family in lambda_families(cards):
        candidates = [family.parent, *family.names] if family.parent else [*family.names]
        base = next((name for name in candidates if name in cards and has_features(name)), None)
        found.append(Ground(family.cost_weights, family.names, base))
        taken.update(name for name in candidates if name)
    for name, card in cards.items():
        weight = trained_cost_weight(card)
        free = name not in taken and card.recipe.get("method") != REFIT_METHOD
        if free and weight is not None and has_features(name):
            found.append(Ground((weight,), (name,), name))
    preferred = {name: rank for rank, name in enumerate(state.PREFERRED_MODELS)}
    return sorted(found, key=lambda g: (not g.is_family, preferred.get(g.base or "", len(preferred)), g.names[0]))


def has_features(name: str) -> bool:
    """Whether features ship with a checkpoint."""
    try:
        return features_path(checkpoint_folder(name, cache.ROOT)).is_file()
    except UserError:
        return False


def labels(known: list[Ground], cards: Mapping[str, Card]) -> dict[str, str]:
    """What each ground is called, by the name of its first network; no two alike."""
    words = [_label(ground, cards) for ground in known]
    return {
        ground.names[0]: label if words.count(label) == 1 else f"{label} · {ground.names[0]}"
        for ground, label in zip(known, words, strict=True)
    }


def _label(ground: Ground, cards: Mapping[str, Card]) -> str:
    """`CIFAR-10 · EENet-20 · λ = 0 … 4 · cumulative, end to end`."""
    card = cards[ground.names[0]]
    low, high = ground.cost_weights[0], ground.cost_weights[-1]
    weights = f"λ = {low:g} … {high:g}" if ground.is_family else f"λ = {low:g} alone"
    dataset = state.DATASETS.get(card.dataset, card.dataset)
    title = cards.get(ground.base or "", card).title  # a member's may name its λ
    return f"{dataset} · {title} · {weights} · {card.recipe.get('loss', 'loss unknown')}, {how(card)}"


def how(card: Card) -> str:
    """How a network was trained, in words: `end to end`."""
    method = str(card.recipe.get("method", "its own way"))
    return METHODS.get(method, method)


def read_scene(parameters: Mapping[str, str], known: list[Ground], start: str) -> tuple[Scene, list[str]]:
    """A scene from the parameters of a link.

    Args:
        known: at least one ground.
        start: first network of the ground to show where the link names none.

    Returns:
        The scene made of all that makes sense, and one line for each parameter that does not.
    """
    problems: list[str] = []

    def complain(name: str, expected: str, instead: str) -> None:
        got = parameters[name]
        got = got if len(got) <= _LONGEST_SHOWN else got[: _LONGEST_SHOWN - 1] + "…"
        problems.append(f"The link says {name} = {got!r}, expected {expected}: {instead}.")

    model = start
    if "model" in parameters:
        ground = ground_of(parameters["model"], known)
        if ground is None:
            complain("model", "a network of a family shown here", f"showing {start}")
        else:
            model = ground.names[0]
    rule = parameters.get("rule", DEFAULT_RULE)
    if rule not in RULES:
        complain("rule", f"one of {', '.join(RULES)}", f"showing {DEFAULT_RULE}")
        rule = DEFAULT_RULE
    threshold = RULES[rule].default_threshold
    if "t" in parameters:
        read = _threshold(parameters["t"])
        if read is None:
            complain("t", "a number from 0 to 1", f"T = {threshold:g}")
        threshold = threshold if read is None else read
    loss = parameters.get("loss", REFIT_LOSSES[0])
    if loss not in REFIT_LOSSES:
        complain("loss", f"one of {', '.join(REFIT_LOSSES)}", REFIT_LOSSES[0])
        loss = REFIT_LOSSES[0]
    exit_type = parameters.get("exits", REFIT_EXIT_TYPES[0])
    if exit_type not in REFIT_EXIT_TYPES:
        complain("exits", f"one of {', '.join(REFIT_EXIT_TYPES)}", REFIT_EXIT_TYPES[0])
        exit_type = REFIT_EXIT_TYPES[0]
    current = None
    if "lambda" in parameters:
        try:
            current = RefitRecipe(read_cost_weight(parameters["lambda"]), loss, exit_type)
        except UserError:
            complain("lambda", "a cost weight from 0 to 1,000,000", "no refit")
    held, bad = read_held(parameters.get("hold", ""))
    if bad:
        complain("hold", f"at most {MOST_HELD} refits, as the page writes them", "those that make sense")
    return Scene(model, rule, threshold, current, held), problems


def ground_of(name: str, known: list[Ground]) -> Ground | None:
    """The ground that a network, or the parent of its networks, belongs to."""
    within = (ground for ground in known if name in ground.names)
    return next(within, next((ground for ground in known if name == ground.base), None))


def _threshold(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def read_held(text: str) -> tuple[tuple[RefitRecipe, ...], bool]:
    """`0.7:fused:pool;2:cumulative:pool` as recipes, and whether a part of it made no sense."""
    found, bad = [], False
    for part in filter(None, text.split(";")):
        words = part.split(":")
        try:
            found.append(RefitRecipe(read_cost_weight(words[0]), *words[1:]))
        except (UserError, TypeError):
            bad = True
    return tuple(dict.fromkeys(found))[:MOST_HELD], bad or len(found) > MOST_HELD


def write_scene(scene: Scene) -> dict[str, str]:
    """The parameters of a link to a scene; the inverse of `read_scene`."""
    parameters = {"model": scene.model, "rule": scene.rule, "t": _number(scene.threshold)}
    if scene.current is not None:
        parameters |= {"lambda": _number(scene.current.cost_weight), "loss": scene.current.loss}
        parameters["exits"] = scene.current.exit_type
    if scene.held:
        parameters["hold"] = ";".join(f"{_number(r.cost_weight)}:{r.loss}:{r.exit_type}" for r in scene.held)
    return parameters


def _number(value: float) -> str:
    return np.format_float_positional(value, unique=True, trim="-")


def current_scene(known: list[Ground]) -> Scene:
    """The visitor's scene: from the link where it changed, else from the session, else the default."""
    linked = {name: st.query_params[name] for name in _PARAMETERS if name in st.query_params}
    left = st.session_state.get(_KEY)
    if left is None or ground_of(left.model, known) is None:
        viewed = st.session_state.get("view")
        ground = ground_of(viewed.model, known) if viewed else None  # the network that another page shows
        left = Scene((ground or known[0]).names[0])
    if linked and linked != st.session_state.get(_LINKED):
        left, st.session_state[_PROBLEMS] = read_scene(linked, known, left.model)
    set_scene(left)
    return left


def set_scene(scene: Scene) -> None:
    """Keep a scene and write it into the address bar."""
    st.session_state[_KEY] = scene
    parameters = write_scene(scene)
    st.session_state[_LINKED] = parameters
    state.write_address(_PARAMETERS, parameters)


def change(**changes: Any) -> None:
    """Change some fields of the scene."""
    set_scene(replace(st.session_state[_KEY], **changes))


def problems() -> list[str]:
    """What the last link or field got wrong, once."""
    return st.session_state.pop(_PROBLEMS, [])


def say_again(lines: list[str]) -> None:
    """Say these lines on the next run."""
    st.session_state[_PROBLEMS] = lines


def trained_lines(ground: Ground, cards: Mapping[str, Card], scene: Scene) -> list[Line]:
    """Curves of the trained networks.

    Raises:
        UserError: a trace is missing.
    """
    found = []
    for weight, name in zip(ground.cost_weights, ground.names, strict=True):
        sweep = cache.sweep(cache.load_trace(name), scene.rule)
        words = f"λ = {weight:g}, trained {how(cards[name])}"
        found.append(Line(weight, name, words, sweep, sweep.at(scene.threshold)))
    return found


def refit_line(refit: refits.Refit, scene: Scene) -> Line | None:
    """The curve of a refit, or None where the rule needs confidences that its loss does not fit."""
    if not refit.recipe.fits_confidences and scene.rule == "confidence":
        return None
    sweep = cache.sweep(refit.trace, scene.rule)
    return Line(refit.recipe.cost_weight, None, refit_words(refit.recipe), sweep, sweep.at(scene.threshold))


def refit_words(recipe: RefitRecipe) -> str:
    """`λ = 0.7, refitted, cumulative, pool`."""
    weight = f"λ = {recipe.cost_weight:g}, " if recipe.fits_confidences else ""
    return f"{weight}refitted, {recipe.loss}, {recipe.exit_type}"


def sentence(lines: list[Line], current: Line | None) -> list[tuple[str, str | None]]:
    """What lambda buys, in parts; numbers in the accent."""
    trained = [line for line in lines if not line.refitted]

    def numbers(line: Line, computation: str = "") -> Iterator[tuple[str, str | None]]:
        yield f"{100 * line.point.accuracy:.1f}{THIN}%", "accent"
        yield " right for ", None
        yield f"{100 * line.point.relative_cost:.0f}{THIN}%", "accent"
        if computation:
            yield computation, None

    first, last = trained[0], trained[-1]
    parts: list[tuple[str, str | None]] = [(f"At λ = {first.cost_weight:g}, ", None)]
    parts += numbers(first, " of the computation")
    if last is not first:
        parts += [(f"; at λ = {last.cost_weight:g}, ", None), *numbers(last)]
    if current is not None:
        what = f"refit at λ = {current.cost_weight:g}, " if "λ" in current.words else "refit without λ, "
        parts += [("; " + what, None), *numbers(current)]
    return parts


def below(ground: Ground, cards: Mapping[str, Card], scene: Scene, n: int) -> str:
    """The quiet line under the sentence: rule, threshold, how the networks came about, split and n."""
    card = cards[ground.names[0]]
    recipe = card.recipe
    rule = f"{RULES[scene.rule].label.lower()} ≥ {scene.threshold:g} leaves"
    parent = f" from {recipe['parent']}" if isinstance(recipe.get("parent"), str) else ""
    epochs = recipe.get("epochs")
    length = f" for {epochs} epoch{'' if epochs == 1 else 's'}" if isinstance(epochs, int) else ""
    each = " each" if ground.is_family else ""
    alone = "" if ground.is_family else "; train the same recipe at another λ, and it appears beside this one"
    return (
        f"{rule}; solid lines trained {how(card)} ({recipe.get('loss')} loss){length}{each}{parent}; "
        f"λ is the weight of the cost in the loss; test split, n = {n:,}{alone}"
    )


def gap_words(refit: Line, recipe: RefitRecipe, ground: Ground, cards: Mapping[str, Card], lines: list[Line]) -> str:
    """How far a refit is from the network trained at the same cost weight; where there is none, why they differ."""
    twin = next((line for line in lines if not line.refitted and line.cost_weight == refit.cost_weight), None)
    if twin is None or twin.name is None or not recipe.fits_confidences:
        if not ground.is_family or not recipe.fits_confidences:
            return ""
        differ = _differences(cards[ground.names[0]], recipe)
        more = f" And {differ}." if differ else ""
        return f"Its exits alone are refitted, on a frozen network; behind the solid lines all of it was trained.{more}"
    gap = accuracy_gap(twin.sweep, refit.sweep)
    if gap is None:
        return f"No cost is reached by both it and the network trained at λ = {refit.cost_weight:g}."
    card = cards[twin.name]
    differ = _differences(card, recipe)
    because = f" They differ in more than that: {differ}." if differ else ""
    return f"At equal cost {gap_sentence(gap, how(card), refit.cost_weight)}{because}"


def gap_sentence(gap: Gap, trained: str, cost_weight: float) -> str:
    """`the network trained end to end at λ = 1 is 2.3 points ahead on average, 5.1 at most (at cost 0.42).`"""

    def points(value: float) -> str:
        return f"{100 * abs(value):.1f}"

    side = "ahead" if gap.mean >= 0 else "behind"
    other = "" if gap.largest * gap.mean >= 0 else " the other way"
    return (
        f"the network trained {trained} at λ = {cost_weight:g} is {points(gap.mean)} points {side} on average, "
        f"{points(gap.largest)} at most{other} (at cost {gap.at:.2f}; costs {gap.low:.2f} to {gap.high:.2f})."
    )


def _differences(card: Card, recipe: RefitRecipe) -> str:
    """What else is not alike between a trained network and a refit."""
    found = []
    if card.spec.exit_type != recipe.exit_type:
        seen = {"plain": "the whole feature map"}.get(card.spec.exit_type, f"type {card.spec.exit_type}")
        found.append(f"its exits see {seen}, the refit's {'an average per channel' if seen[0] == 't' else 'another'}")
    if card.recipe.get("loss") != recipe.loss:
        found.append(f"its loss is {card.recipe.get('loss')}, the refit's {recipe.loss}")
    return "; ".join(found)


def slider_steps(ground: Ground, current: RefitRecipe | None) -> list[float]:
    """Stops of the slider: about evenly on a log-like scale, the trained members and the current one among them."""
    extra = () if current is None else (current.cost_weight,)
    return sorted({float(value) for value in (*STEPS, *ground.cost_weights, *extra)})


def step_words(ground: Ground) -> Callable[[float], str]:
    """What a stop of the slider is called."""
    return lambda value: f"λ = {value:g}" + (" · trained too" if value in ground.cost_weights else "")
