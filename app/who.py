"""What *Who exits where* shows: its filter, pinned point and charts in session and link, and its words."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, feature_map
from app.state import View, write_address
from core.analysis.overthinking import GROUPS, lost_on_the_way, tally
from core.analysis.rules import RULES
from core.analysis.selection import Selection, read_selection, write_selection
from core.analysis.sweep import OperatingPoint, route
from core.trace import Trace

CHARTS = {
    "answers": "Confusion",
    "depth": "Depth",
    "scores": "Two exits",
    "groups": "Overthinking",
    "map": "Map",
    "moves": "Movers",
}
ORDERS = {"sure": "surest first", "unsure": "least sure first"}
_PARAMETERS = ("only", "pin", "chart", "order", "solo")
_KEY = "who"
MAP_KEY = "who_map"
_LONGEST_SHOWN = 40
_MOST_CHIPS = 7
_SAME_PLURAL = {"deer", "fish", "sheep", "aircraft"}
THIN = "\u202f"


@dataclass(frozen=True)
class Pin:
    """An operating point to compare with.

    Args:
        rule: a name in `RULES`.
        thresholds: one per early exit, 1 where the exit is off.
        calibrated: whether probabilities are taken at the fitted temperatures.
    """

    rule: str
    thresholds: tuple[float, ...]
    calibrated: bool = False


@dataclass(frozen=True)
class Scene:
    """What is looked at beside the operating point.

    Args:
        model: the network all of it belongs to.
        selection: the filter.
        pin: a point to compare with, or None.
        chart: a name in `CHARTS`.
        asked: column of the exit whose answers are shown; -1 is the last.
        leaving: only the answers of those that leave there.
        pair: columns of the two exits whose scores are set against each other.
        order: of the images within a band, a name in `ORDERS`.
        solo: column of the one exit whose images are shown, or None for all.
        starts: for each exit how many images of its band come before the first one shown.
    """

    model: str
    selection: Selection = field(default_factory=Selection)
    pin: Pin | None = None
    chart: str = "answers"
    asked: int = -1
    leaving: bool = False
    pair: tuple[int, int] = (0, 1)
    order: str = "sure"
    solo: int | None = None
    starts: tuple[int, ...] = ()


def pin_of(view: View, num_exits: int) -> Pin:
    """The view's operating point, to be pinned."""
    return Pin(view.rule, view.effective(num_exits - 1), view.calibrated)


def read_scene(
    parameters: Mapping[str, str], model: str, classes: int, num_exits: int, examples: int
) -> tuple[Scene, list[str]]:
    """A scene from the parameters of a link.

    Returns:
        The scene made of all that makes sense, and one line for each parameter that does not.
    """
    problems: list[str] = []

    def complain(name: str, got: str, expected: str, instead: str) -> None:
        got = got if len(got) <= _LONGEST_SHOWN else got[: _LONGEST_SHOWN - 1] + "…"
        problems.append(f"The link says {name} = {got!r}, expected {expected}: {instead}.")

    selection, bad = read_selection(parameters.get("only", ""), classes, num_exits, examples)
    if bad:
        complain("only", ";".join(bad), "a filter that fits this network, as the page writes it", "left out")
    pin = None
    if "pin" in parameters:
        pin = _read_pin(parameters["pin"], num_exits)
        if pin is None:
            complain("pin", parameters["pin"], "a rule and its thresholds, as the page writes them", "nothing pinned")
    if pin is None:
        selection = replace(selection, moves=())
    scene = Scene(model, selection, pin, pair=(0, min(1, num_exits - 1)))
    if "chart" in parameters:
        chart = _read_chart(parameters["chart"], scene, num_exits)
        if chart is None:
            expected = ", ".join(name for name in CHARTS if pin or name != "moves")
            complain("chart", parameters["chart"], f"one of {expected}", f"showing {CHARTS[scene.chart].lower()}")
        scene = chart or scene
    order = parameters.get("order", "sure")
    if order not in ORDERS:
        complain("order", order, f"one of {', '.join(ORDERS)}", f"showing the {ORDERS['sure']}")
        order = "sure"
    solo = None
    if "solo" in parameters:
        solo = _column(parameters["solo"], num_exits)
        if solo is None:
            complain("solo", parameters["solo"], f"an exit from 1 to {num_exits}", "showing all exits")
    return replace(scene, order=order, solo=solo), problems


def _column(word: str, num_exits: int) -> int | None:
    fits = word.isascii() and word.isdigit() and len(word) < 4 and 1 <= int(word) <= num_exits
    return int(word) - 1 if fits else None


def _read_pin(text: str, num_exits: int) -> Pin | None:
    rule, _, rest = text.partition(":")
    numbers, _, temperature = rest.partition(":")
    try:
        thresholds = tuple(float(word) for word in numbers.split(","))
    except ValueError:
        return None
    if len(thresholds) == 1:
        thresholds *= num_exits - 1
    fits = len(thresholds) == num_exits - 1 and all(0 <= t <= 1 for t in thresholds)
    if rule not in RULES or not fits or temperature not in ("", "calibrated"):
        return None
    return Pin(rule, thresholds, bool(temperature) and RULES[rule].uses_temperature)


def _read_chart(text: str, scene: Scene, num_exits: int) -> Scene | None:
    name, _, rest = text.partition(":")
    if name not in CHARTS or (name == "moves" and scene.pin is None):
        return None
    if not rest:
        return replace(scene, chart=name)
    if name == "answers":
        asked = _column(rest.removesuffix("h"), num_exits)
        return None if asked is None else replace(scene, chart=name, asked=asked, leaving=rest.endswith("h"))
    if name == "scores":
        first, _, second = rest.partition("_")
        pair = _column(first, num_exits), _column(second, num_exits)
        if pair[0] is not None and pair[1] is not None:
            return replace(scene, chart=name, pair=(pair[0], pair[1]))
    return None


def write_scene(scene: Scene) -> dict[str, str]:
    """The parameters of a link to a scene; the inverse of `read_scene`. Defaults are left out."""
    parameters = {}
    only = write_selection(scene.selection)
    if only:
        parameters["only"] = only
    if scene.pin:
        values = scene.pin.thresholds[:1] if len(set(scene.pin.thresholds)) == 1 else scene.pin.thresholds
        numbers = ",".join(np.format_float_positional(t, unique=True, trim="-") for t in values)
        parameters["pin"] = f"{scene.pin.rule}:{numbers}" + (":calibrated" if scene.pin.calibrated else "")
    chart = scene.chart
    if chart == "answers" and (scene.asked >= 0 or scene.leaving):
        chart += f":{scene.asked + 1}" + ("h" if scene.leaving else "")
    elif chart == "scores":
        chart += f":{scene.pair[0] + 1}_{scene.pair[1] + 1}"
    if chart != "answers":
        parameters["chart"] = chart
    if scene.order != "sure":
        parameters["order"] = scene.order
    if scene.solo is not None:
        parameters["solo"] = str(scene.solo + 1)
    return parameters


def current_scene(view: View, classes: int, num_exits: int, examples: int, same_classes: bool) -> Scene:
    """The visitor's scene: from the link where it changed, else from the session.

    Args:
        view: whose network the scene must belong to.
        same_classes: whether a network that was just left has the classes of this one.
    """
    linked = {name: st.query_params[name] for name in _PARAMETERS if name in st.query_params}
    known: Scene | None = st.session_state.get(_KEY)
    if linked and linked != st.session_state.get("who_linked"):
        scene, st.session_state["who_problems"] = read_scene(linked, view.model, classes, num_exits, examples)
    elif known is None:
        scene = Scene(view.model)
    elif known.model != view.model:
        scene = carried(known, view.model, same_classes)
    else:
        scene = known  # a bare link after another page: what was shown is shown again
    set_scene(scene)
    return scene


def carried(scene: Scene, model: str, same_classes: bool) -> Scene:
    """What of a scene makes sense for another network."""
    kept = Selection(right=scene.selection.right)
    if same_classes:
        kept = replace(kept, labels=scene.selection.labels, predicted=scene.selection.predicted)
    chart = scene.chart if scene.chart != "moves" else "answers"
    return Scene(model, kept, chart=chart, order=scene.order)


def scene() -> Scene:
    """The visitor's scene as it stands."""
    found: Scene = st.session_state[_KEY]
    return found


def set_scene(scene: Scene) -> None:
    """Keep a scene and write it into the address bar."""
    st.session_state[_KEY] = scene
    parameters = write_scene(scene)
    st.session_state["who_linked"] = parameters
    write_address(_PARAMETERS, parameters)


def change(**changes: Any) -> None:
    """Change some fields of the scene; another filter or order starts every band anew."""
    if not changes.keys().isdisjoint({"selection", "order"}):
        changes = {"starts": (), **changes}
    set_scene(replace(scene(), **changes))


def unpin() -> None:
    """Let the pinned point go, with all that belongs to it."""
    now = scene()
    chart = "answers" if now.chart == "moves" else now.chart
    change(pin=None, chart=chart, selection=replace(now.selection, moves=()))


def problems() -> list[str]:
    """What the last link got wrong about the scene, once."""
    return st.session_state.pop("who_problems", [])


def pinned_exits(pin: Pin, name: str) -> NDArray[np.int64]:
    """The exit (column) each test example takes at a pinned point, (examples,).

    Raises:
        UserError: a trace is missing.
    """
    fitted = cache.temperatures(name) if pin.calibrated else None
    trace = cache.load_trace(name) if fitted is None else cache.load_full_trace(name)
    return route(trace.rule_scores(pin.rule, fitted), pin.thresholds)


def pin_button(view: View, num_exits: int) -> None:
    """Keep the point as it is, to compare with; or let it go."""
    pin = scene().pin
    if pin is None:
        st.button(
            "Pin this point",
            key="who_pin",
            icon=":material/push_pin:",
            on_click=_pin,
            args=(view, num_exits),
            help="Keeps rule and thresholds; then move them and see who changes exit, who turns right or wrong.",
        )
    else:
        words = point_words(pin.rule, pin.calibrated, pin.thresholds)
        st.button("Unpin", key="who_unpin", icon=":material/keep_off:", on_click=unpin, help=f"Pinned: {words}")


def _pin(view: View, num_exits: int) -> None:
    change(pin=pin_of(view, num_exits), chart="moves")


def pick_chart(scene: Scene) -> None:
    """Which chart stands at the right."""
    st.session_state["who_chart"] = scene.chart
    st.segmented_control(
        "Chart",
        [name for name in CHARTS if scene.pin or name != "moves"],
        key="who_chart",
        format_func=CHARTS.__getitem__,
        required=True,
        on_change=lambda: change(chart=st.session_state["who_chart"]),
        label_visibility="collapsed",
    )


def take_lasso(examples: int) -> int | None:
    """Make a lasso that was drawn on the map just now the filter.

    Returns:
        The row of the trace where a single point was clicked, whose story is asked for.
    """
    state = st.session_state.get(MAP_KEY)
    rows = feature_map.picked_rows(state.get("lasso"), examples) if state else None
    if rows is None:
        return None
    if len(rows) == 1:
        return rows[0]
    change(selection=replace(scene().selection, rows=tuple(rows) or None))
    return None


def below(view: View, point: OperatingPoint, trace: Trace) -> str:
    """The quiet line under the sentence: the operating point and what it is measured on."""
    error = 100 * (point.accuracy * (1 - point.accuracy) / point.n) ** 0.5
    words = point_words(view.rule, view.calibrated, view.effective(trace.num_exits - 1))
    return (
        f"An image leaves at the first exit whose {words}. Right {100 * point.accuracy:.1f} ± {error:.1f}{THIN}% "
        f"at relative cost {point.relative_cost:.2f}; {trace.split} split, n = {trace.n:,}."
    )


def plural(name: str) -> str:
    """Many of a class: `trucks`, `deer`, `7s`; a name that is no plain word stands in quotes."""
    if name in _SAME_PLURAL:
        return name
    if name.isdigit() or not name.isalpha() or not name.islower():
        return f"{name}s" if len(name) == 1 else f"“{name}” images"
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def rounded(share: float) -> str:
    """Whole per cent that say neither none nor all where some are left."""
    if 0 < share < 0.005:
        return f"< 1{THIN}%"
    if 0.995 <= share < 1:
        return f"> 99{THIN}%"
    return f"{100 * share:.0f}{THIN}%"


def sentence(trace: Trace, exits: NDArray[np.int64], names: tuple[str, ...]) -> list[tuple[str, int | str | None]]:
    """Who leaves early and who stays, in words.

    Args:
        exits: column of the exit each example takes.
        names: of the classes.

    Returns:
        Parts of text, each with the exit (a column) or the role whose colour it wears, or None.
    """
    counts = tally((trace.classes, trace.num_exits), trace.labels, exits)
    there = np.flatnonzero(counts.sum(axis=1))
    share = np.cumsum(counts[there], axis=1) / counts[there].sum(axis=1, keepdims=True)  # done by each exit
    parts: list[tuple[str, int | str | None]] = []
    used = np.flatnonzero(counts.sum(axis=0))
    if len(used) == 1:
        only = int(used[0])
        start = f"All {trace.n:,} images leave at " if trace.n > 1 else "The only image leaves at "
        parts = [(start, None), (f"exit {only + 1}", only)]
        if only == trace.num_exits - 1:
            parts.append((", the last", None))
    else:
        cost = counts[there] @ trace.relative_cost / counts[there].sum(axis=1)
        first, last = int(cost.argmin()), int(cost.argmax())
        gaps = share[first, :-1] - share[last, :-1]
        by = int(gaps.argmax())
        if gaps[by] < 0.02:
            overall = np.cumsum(counts.sum(axis=0))[:-1] / trace.n
            by = int(np.flatnonzero(overall >= min(0.5, float(overall.max())))[0])
            parts = [
                ("The classes leave alike: ", None),
                (rounded(float(overall[by])), by),
                (f" of the images are done by exit {by + 1}", None),
            ]
        else:
            early, late = plural(names[there[first]]), plural(names[there[last]])
            sharp = share[first, by] >= 0.5 > share[last, by]
            opening = f"{early} leave early, {late} stay: " if sharp else f"{early} leave first, {late} last: "
            parts = [
                (opening[0].upper() + opening[1:], None),
                (rounded(float(share[first, by])), by),
                (f" of the {early} are done by ", None),
                (f"exit {by + 1}", by),
                (", ", None),
                (rounded(float(share[last, by])), by),
                (f" of the {late}", None),
            ]
    lost = int(lost_on_the_way(trace.correct, exits).sum())
    if lost:
        parts += [
            ("; ", None),
            (f"{lost:,} image{'s' if lost > 1 else ''}", "wrong"),
            (" turned from right to wrong on the way", None),
        ]
    else:
        parts.append(("; no image loses a right answer on its way", None))
    return parts


def point_words(rule: str, calibrated: bool, thresholds: tuple[float, ...]) -> str:
    """`learned confidence ≥ 0.62`, one number where all are alike."""
    label = RULES[rule].label.lower() + (" with temperature" if calibrated else "")
    values = thresholds[:1] if len(set(thresholds)) == 1 else thresholds
    return f"{label} ≥ {', '.join(f'{t:.6g}' for t in values)}"


@dataclass(frozen=True)
class Chip:
    """One thing that is on in the filter.

    Args:
        text: what it is.
        rest: the filter without it.
    """

    text: str
    rest: Selection


def chips(selection: Selection, names: tuple[str, ...]) -> list[Chip]:
    """Everything that is on, each with the filter without it; beyond some, the rest together.

    Args:
        names: of the classes.
    """
    found: list[Chip] = []

    def add(text: str, **without: Any) -> None:
        found.append(Chip(text, replace(selection, **without)))

    if selection.labels:
        add("class " + _list(names[label] for label in selection.labels), labels=())
    if selection.predicted:
        add("answer " + _list(names[label] for label in selection.predicted), predicted=())
    if selection.right is not None:
        add("right" if selection.right else "wrong", right=None)
    if selection.exits:
        add("exit " + _list(str(n + 1) for n in selection.exits), exits=())
    if selection.scores:
        add(f"score {_range(selection.scores)}", scores=None)
    if selection.rows is not None:
        add(f"lasso of {len(selection.rows):,}", rows=None)
    words = {
        "leavers": lambda m: ", ".join(
            [*([] if m.label is None else [names[m.label]]), *([] if m.exit is None else [f"exit {m.exit + 1}"])]
            + ([] if m.right is None else ["right" if m.right else "wrong"])
        ),
        "answers": lambda m: (
            f"exit {m.exit + 1} says {names[m.predicted]} of a {names[m.label]}"
            + (" and it leaves there" if m.leaving else "")
        ),
        "depths": lambda n: f"settled at exit {n + 1}",
        "groups": GROUPS.__getitem__,
        "boxes": lambda m: f"exit {m.exits[0] + 1}: {_range(m.first)}, exit {m.exits[1] + 1}: {_range(m.second)}",
        "moves": _move_words,
    }
    for kind, say in words.items():
        marks = getattr(selection, kind)
        for mark in marks:
            add(say(mark) or "all", **{kind: tuple(m for m in marks if m != mark)})
    if len(found) > _MOST_CHIPS:
        more = found[_MOST_CHIPS - 1 :]
        rest = selection
        for kind in words:
            gone = {mark for mark in getattr(selection, kind) for chip in more if mark not in getattr(chip.rest, kind)}
            rest = replace(rest, **{kind: tuple(m for m in getattr(rest, kind) if m not in gone)})
        found = [*found[: _MOST_CHIPS - 1], Chip(f"{len(more)} more", rest)]
    return found


def _move_words(move: Any) -> str:
    words = []
    if move.before is not None or move.now is not None:
        ends = ("any" if end is None else str(end + 1) for end in (move.before, move.now))
        words.append("exit " + " → ".join(ends))
    if move.changed:
        words.append("changed exit")
    if move.turned is not None:
        words.append("turned right" if move.turned else "turned wrong")
    return ", ".join(words)


def _list(words: Any) -> str:
    return " or ".join(words)


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}"
