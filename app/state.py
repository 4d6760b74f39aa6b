"""What a visitor looks at, and its two-way street to the address bar.

One frozen `View` holds it: model, rule, thresholds, switched-off exits, axes. It lives in the session, a link carries
all of it, and what a link says wrongly becomes one clear line while the rest of it is kept.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from app import cache
from app.starting_point import starting_threshold
from core.analysis.rules import RULES
from core.checkpoints import Card
from core.errors import UserError
from core.network.spec import folder_name

T = TypeVar("T")
# name, card, rule -> thresholds
Start = Callable[[str, Card, str], tuple[float, ...]]

PREFERRED_MODELS = ("cifar10/eenet20", "mnist/eenet20", "mnist/eenet8")
# what the cost axis can show -> its words on the page
AXES = {
    "relative": "relative cost",
    "macs": "MACs",
    "paper": "cost as in the paper",
    "ms": "measured milliseconds",
}
NO_TABLES = "its answers are kept without class probabilities, to save space."
_PARAMETERS = ("model", "rule", "temperature", "t", "off", "axis", "scale")
_LONGEST_SHOWN = 40
_NAMED = 4
DATASETS = {"mnist": "MNIST", "cifar10": "CIFAR-10", "svhn": "SVHN", "tiny-imagenet": "Tiny-ImageNet"}


@dataclass(frozen=True)
class View:
    """An operating point and how it is looked at.

    Args:
        model: name of a checkpoint, DATASET/MODEL.
        rule: a name in `core.analysis.rules.RULES`.
        thresholds: one for all, or one per early exit, in 0..1.
        off: columns of early exits that are switched off, rising.
        axis: one of `AXES`.
        stretched: whether the score axis is stretched near 1; None lets the scores decide.
        calibrated: whether probabilities are taken at the temperature fitted per exit.
    """

    model: str
    rule: str
    thresholds: tuple[float, ...]
    off: tuple[int, ...] = ()
    axis: str = "relative"
    stretched: bool | None = None
    calibrated: bool = False

    def effective(self, early_exits: int) -> tuple[float, ...]:
        """One threshold per early exit, 1 (never leave) where an exit is switched off."""
        all_of_them = self.thresholds if len(self.thresholds) > 1 else self.thresholds * early_exits
        return tuple(1.0 if n in self.off else t for n, t in enumerate(all_of_them))


def model_label(name: str, card: Card) -> str:
    """`CIFAR-10 · EENet-20 · 4 early exits`; another folder name than the usual one is told too, for lists of many."""
    early = card.spec.num_early_exits
    exits = "no early exit" if early == 0 else f"{early} early exit{'s' if early > 1 else ''}"
    folder, usual = name.rpartition("/")[2], folder_name(card.spec)
    own = "" if folder == usual else f" · {folder.removeprefix(f'{usual}-')}"
    return f"{DATASETS.get(card.dataset, card.dataset)} · {card.title} · {exits}{own}"


def default_model(cards: Mapping[str, Card]) -> str:
    """The network a newcomer sees first."""
    return next((name for name in PREFERRED_MODELS if name in cards), next(iter(cards)))


def default_rule(card: Card) -> str:
    """The rule with the larger area under its curve on calibration, else the learned confidence."""
    numbers = card.metrics.get("calibration", {})
    areas = {rule: numbers[f"area_under_curve_{rule}"] for rule in RULES if f"area_under_curve_{rule}" in numbers}
    return max(areas, key=areas.__getitem__) if areas else "confidence"


def readable(threshold: float) -> float:
    """The threshold with as many digits as a person would write: two that count below 1, three at least."""
    rest = 1 - threshold
    digits = 3 if rest >= 0.1 or rest <= 0 else min(9, math.ceil(-math.log10(rest)) + 2)
    return round(threshold, digits)


def can_calibrate(name: str, rule: str) -> bool:
    """Whether a rule's scores can be taken at fitted temperatures for this network."""
    return RULES[rule].uses_temperature and cache.has_class_tables(name)


def card_thresholds(name: str, card: Card, rule: str) -> tuple[float, ...]:
    """Where a rule's control starts, as the card says."""
    values = tuple(readable(t) for t in card.thresholds(rule))
    return values[:1] if len(set(values)) == 1 else values


def default_thresholds(name: str, card: Card, rule: str) -> tuple[float, ...]:
    """Where a rule's control starts: as the card says, or at a point that shows more (see `starting_point`)."""
    values = card_thresholds(name, card, rule)
    if len(values) > 1:
        return values
    try:
        calibration = cache.sweep(cache.load_trace(name, "calibration"), rule)
    except UserError:
        return values  # no calibration trace: the card's word stands
    return (starting_threshold(calibration, values[0]),)


def default_view(cards: Mapping[str, Card], model: str | None = None, start: Start = default_thresholds) -> View:
    """What is shown where a link says nothing."""
    model = model or default_model(cards)
    rule = default_rule(cards[model])
    return View(model, rule, start(model, cards[model], rule))


def read_view(
    parameters: Mapping[str, str], cards: Mapping[str, Card], start: Start = default_thresholds
) -> tuple[View, list[str]]:
    """A view from the parameters of a link.

    Args:
        parameters: as in `st.query_params`.
        cards: networks with early exits, by name; at least one.
        start: where thresholds start for a name, its card and a rule.

    Returns:
        The view, and one line for each parameter that could not be followed.
    """
    problems: list[str] = []

    def follow(name: str, read: Callable[[str], T | None], default: T, expected: str, instead: str | None = None) -> T:
        """What a parameter says; where it says nothing the default, where it makes no sense a line and the default."""
        if name not in parameters:
            return default
        value = read(parameters[name])
        if value is not None:
            return value
        got = parameters[name]
        got = got if len(got) <= _LONGEST_SHOWN else got[: _LONGEST_SHOWN - 1] + "…"
        shown = default if instead is None else instead
        problems.append(f"The link says {name} = {got!r}, expected {expected}: showing {shown}.")
        return default

    def among(words: Iterable[str]) -> Callable[[str], str | None]:
        known = tuple(words)
        return lambda word: word if word in known else None

    model = follow("model", among(cards), default_model(cards), _one_of(cards))
    card = cards[model]
    early = card.spec.num_early_exits
    rule = follow("rule", among(RULES), default_rule(card), f"one of {', '.join(RULES)}")
    begin = start(model, card, rule)
    thresholds = follow(
        "t",
        lambda text: _thresholds(text, early),
        begin,
        "a number from 0 to 1" + (f", or {early} of them with commas" if early > 1 else ""),
        f"T = {', '.join(map(str, begin))}",
    )
    off = follow("off", lambda text: _exits(text, early), (), f"early exits from 1 to {early}", "all exits")
    axis = follow("axis", among(AXES), "relative", f"one of {', '.join(AXES)}")
    scale = follow("scale", among(("even", "stretched")), "", "even or stretched", "what suits the scores")
    wanted = follow("temperature", among(("0", "1")), "0", "0 or 1", "no temperature") == "1"
    calibrated = wanted and can_calibrate(model, rule)
    if wanted and RULES[rule].uses_temperature and not calibrated:
        problems.append(f"The link asks for temperatures, which {model} has not: {NO_TABLES} Showing none.")
    stretched = scale == "stretched" if scale else None
    view = View(model, rule, thresholds, off, axis, stretched, calibrated)
    return view, problems


def _one_of(names: Iterable[str]) -> str:
    """`one of a, b, c`; of many names the first few and how many more."""
    known = tuple(names)
    more = f" or {len(known) - _NAMED} more" if len(known) > _NAMED + 1 else ""
    return f"one of {', '.join(known[:_NAMED] if more else known)}{more}"


def _thresholds(text: str, early_exits: int) -> tuple[float, ...] | None:
    """One number from 0 to 1, or one per early exit, with commas between; else None."""
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        return None
    in_range = all(0 <= value <= 1 for value in values)  # false for NaN
    return values if in_range and len(values) in (1, early_exits) else None


def _exits(text: str, early_exits: int) -> tuple[int, ...] | None:
    """Columns of the early exits named by numbers from 1 on, with commas between; else None."""
    words = [word for word in text.split(",") if word]
    if not all(word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= early_exits for word in words):
        return None
    return tuple(sorted({int(word) - 1 for word in words}))


def write_view(view: View) -> dict[str, str]:
    """The parameters of a link to a view; the inverse of `read_view`."""
    parameters = {"model": view.model, "rule": view.rule, "t": ",".join(_written(t) for t in view.thresholds)}
    if view.off:
        parameters["off"] = ",".join(str(n + 1) for n in view.off)
    if view.axis != "relative":
        parameters["axis"] = view.axis
    if view.stretched is not None:
        parameters["scale"] = "stretched" if view.stretched else "even"
    if view.calibrated:
        parameters["temperature"] = "1"
    return parameters


def _written(threshold: float) -> str:
    """The shortest decimal that is the same float32."""
    short = np.format_float_positional(np.float32(threshold), unique=True, trim="-")
    return short if np.float32(short) == np.float32(threshold) else repr(threshold)


def current_view(cards: Mapping[str, Card]) -> View:
    """The visitor's view: from the link where it changed, else from the session, else the default.

    Problems of the link are kept in the session for `problems()`.
    """
    linked = {name: st.query_params[name] for name in _PARAMETERS if name in st.query_params}
    if linked and linked != st.session_state.get("linked"):
        view, lines = read_view(linked, cards)
        st.session_state["problems"] = lines
        set_view(view, from_outside=True)
    elif "view" not in st.session_state or st.session_state["view"].model not in cards:
        set_view(default_view(cards), from_outside=True)
    elif not linked:
        set_view(st.session_state["view"], from_outside=False)  # back from another page: the link is bare
    return st.session_state["view"]


def set_view(view: View, from_outside: bool) -> None:
    """Keep a view and write it into the address bar.

    Args:
        from_outside: it did not come from the explorer's own handles, which therefore must follow it.
    """
    st.session_state["view"] = view
    if from_outside:
        st.session_state["revision"] = st.session_state.get("revision", 0) + 1
        st.session_state.pop("frozen_point", None)
    parameters = write_view(view)
    st.session_state["linked"] = parameters
    write_address(_PARAMETERS, parameters)


def write_address(names: Iterable[str], parameters: Mapping[str, str]) -> None:
    """Write parameters into the address bar and take those of the names out that are none of them."""
    for name in names:
        if name not in parameters:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != parameters[name]:
            st.query_params[name] = parameters[name]


def change_view(**changes: object) -> None:
    """Change some fields of the view from a control outside the explorer."""
    set_view(replace(st.session_state["view"], **changes), from_outside=True)  # type: ignore[arg-type]


def choose_model(model: str, cards: Mapping[str, Card]) -> None:
    """Open another network: the rule stays, thresholds start where the network's card says."""
    view = st.session_state["view"]
    set_view(
        View(
            model,
            view.rule,
            default_thresholds(model, cards[model], view.rule),
            axis=view.axis,
            calibrated=view.calibrated and can_calibrate(model, view.rule),
        ),
        from_outside=True,
    )


def choose_rule(rule: str, card: Card) -> None:
    """Leave by another rule; its thresholds start where the network's card says."""
    view = st.session_state["view"]
    set_view(
        replace(
            view,
            rule=rule,
            thresholds=default_thresholds(view.model, card, rule),
            stretched=None,
            calibrated=view.calibrated and can_calibrate(view.model, rule),
        ),
        from_outside=True,
    )


def problems() -> list[str]:
    """What the last link got wrong, once."""
    return st.session_state.pop("problems", [])


def presenting() -> bool:
    """Whether the page is shown on a stage: bigger, without controls."""
    return st.query_params.get("present") == "1"


def current_device() -> str:
    """The device chosen for running networks: `auto`, `cuda`, `mps` or `cpu`."""
    return st.session_state.get("device", "auto")


def link() -> str:
    """The address of the current view, for somebody else."""
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{urlencode(write_view(st.session_state['view']), safe='/,')}"
