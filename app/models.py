"""What *Models* shows: which network's card, which networks side by side, through which filters; and its words."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import cache, charts, controls, profiles, state, theme, zoo_table
from app.cache import Zoo
from app.charts import Curve
from app.state import DATASETS
from app.zoo_table import FAMILIES, OWN_RULE, Budget, Row
from core.analysis.rules import RULES
from core.errors import UserError

PANELS = {"card": "Card", "compare": "Side by side", "chance": "How much is chance", "planned": "Not trained yet"}
MOST_PICKED = 6
_PICKED = "models_picked"
_COMPARE = "compare"  # the parameter that names the networks side by side
_POINTS = 400  # drawn of each curve
_VIEW_PARAMETERS = ("model", "rule", "temperature", "t", "off", "axis", "scale")


def shown(zoo: Zoo) -> str:
    """The network whose card is open: as the link says, else the one that is open on the other pages.

    Lines about a link that makes no sense go where `state.problems` finds them.
    """
    linked = st.query_params.get("model")
    if linked in zoo.cards and zoo.cards[linked].is_plain:
        return linked  # the other pages have no view of it
    if linked in zoo.problems:
        broken = f"The link says model = {linked!r}, which cannot be opened: {zoo.problems[linked]}"
        st.session_state["models_broken"] = broken
        st.query_params.pop("model")
    if zoo.explorable:
        return state.current_view(zoo.explorable).model
    return next(iter(zoo.cards))


def problems() -> list[str]:
    """What the last link got wrong, once."""
    found = [st.session_state.pop("models_broken", None), *state.problems(), *st.session_state.pop("models_lines", [])]
    return [line for line in found if line]


def _complain(line: str) -> None:
    st.session_state["models_lines"] = [*st.session_state.get("models_lines", []), line]


def choose(name: str, zoo: Zoo) -> None:
    """Open a network's card; one with early exits is then open on the other pages too."""
    show_panel("card")
    if name in zoo.explorable:
        if "view" not in st.session_state:
            state.set_view(state.default_view(zoo.explorable, name), from_outside=True)
        elif st.session_state["view"].model != name or st.query_params.get("model") != name:
            state.choose_model(name, zoo.explorable)
    else:
        for parameter in _VIEW_PARAMETERS:
            st.query_params.pop(parameter, None)
        st.query_params["model"] = name


def show_panel(panel: str) -> None:
    """Show one of `PANELS` below the table."""
    if panel == "card":
        st.query_params.pop("show", None)
    else:
        st.query_params["show"] = panel


def pick_panel() -> str:
    """What stands below the table; the link says it."""
    linked = st.query_params.get("show", "card")
    if linked not in PANELS:
        expected = f"one of {', '.join(PANELS)}"
        st.session_state["models_lines"] = [
            f"The link says show = {linked[:40]!r}, expected {expected}: showing the card."
        ]
        show_panel("card")
        linked = "card"
    st.session_state["models_show"] = linked
    with st.container(key="models_panel"):
        st.segmented_control(
            "Show", list(PANELS), required=True, key="models_show", format_func=PANELS.__getitem__,
            label_visibility="collapsed", on_change=lambda: show_panel(st.session_state["models_show"]),
        )  # fmt: skip
    return linked


def picked(zoo: Zoo) -> tuple[str, ...]:
    """The networks side by side: from the link where it changed, else from the session."""
    linked = st.query_params.get(_COMPARE)
    if linked is not None and linked != ",".join(st.session_state.get(_PICKED, ())):
        names = [name for name in linked.split(",") if name]
        known = tuple(dict.fromkeys(name for name in names if name in zoo.cards))[:MOST_PICKED]
        unknown = [name[:40] for name in names if name not in zoo.cards]
        if unknown:
            found = ", ".join(map(repr, unknown[:3]))
            _complain(f"The link compares {found}, expected names of networks in the table: showing the others.")
        _pick(known)
    kept = tuple(name for name in st.session_state.get(_PICKED, ()) if name in zoo.cards)
    _pick(kept)
    return kept


def _pick(names: tuple[str, ...]) -> None:
    st.session_state[_PICKED] = names
    if names:
        if st.query_params.get(_COMPARE) != ",".join(names):
            st.query_params[_COMPARE] = ",".join(names)
    else:
        st.query_params.pop(_COMPARE, None)


def sentence(rows: Sequence[Row], dataset: str, budget: Budget) -> list[tuple[str, int | str | None]]:
    """How many networks, and the best on one dataset for the budget.

    Returns:
        Parts of text, each with the exit (a column) or the role whose colour it wears, or None.
    """
    if not rows:
        return [("No network passes this filter", None)]
    early = sum(not row.card.is_plain for row in rows)
    count = f"{len(rows)} network{'s' if len(rows) > 1 else ''}"
    count += " with early exits" if early == len(rows) else f", {early or 'none'} with early exits"
    rivals = [row for row in rows if row.card.dataset == dataset and row.best is not None]
    spend = (
        f"{budget.amount / 1e6:g} M MACs an image" if budget.in_macs else f"{_share(budget.amount)} of its computation"
    )
    if not rivals:
        return [(f"{count}: none answers {DATASETS.get(dataset, dataset)} for at most {spend}", None)]
    best = max(rivals, key=lambda row: row.best or 0)
    parts: list[tuple[str, int | str | None]] = [
        (f"{count}. For at most {spend}, ", None),
        (best.name, "accent"),
        (" is right most often on ", None),
        (DATASETS.get(dataset, dataset), None),
        (": ", None),
        (f"{100 * (best.best or 0):.1f}\u202f%", "accent"),
    ]
    if not best.card.is_plain and best.accuracy:
        parts.append((f", in full {100 * best.accuracy[-1]:.1f}\u202f%", None))
    return parts


def _share(relative: float) -> str:
    return f"{100 * relative:.3g}\u202f%"


def below(rows: Sequence[Row], dataset: str, broken: int) -> str:
    """The quiet line under the sentence: on what it was measured, and what could not be opened."""
    sizes = sorted({row.n for row in rows if row.card.dataset == dataset and row.n})
    n = " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "none"
    words = (
        f"Read off the exact curves of the test split (n = {n}), one threshold for all exits; nothing is chosen on it."
    )
    if broken:
        words += f" {broken} folder{'s' if broken > 1 else ''} could not be opened, see below."
    return words


def filters(zoo: Zoo) -> tuple[list[str], list[str], bool, str, Budget]:
    """The row of filters: datasets, families, plain networks or not, the rule and the budget."""
    cards = zoo.cards
    datasets = list(dict.fromkeys(card.dataset for card in cards.values()))
    there = {zoo_table.family_of(name, card) for name, card in cards.items()}
    families = [
        family for family in (*FAMILIES, *sorted(there - set(FAMILIES))) if family in there and family != "plain"
    ]
    with st.container(key="controls", horizontal=True, vertical_alignment="bottom", gap="medium"):
        data = st.pills(
            "Data", datasets, selection_mode="multi", key="zoo_data", bind="query-params",
            format_func=lambda name: DATASETS.get(name, name),
        )  # fmt: skip
        chosen = st.multiselect(
            "Compared by", families, key="zoo_families", bind="query-params", placeholder="everything", width=300,
            format_func=lambda family: FAMILIES.get(family, family),
            help="What a network is in the zoo to be compared by",
        )  # fmt: skip
        rule = st.selectbox(
            "Leave by", [OWN_RULE, *RULES], key="zoo_rule", bind="query-params", width=230,
            format_func=lambda name: "each network's own rule" if name == OWN_RULE else RULES[name].label.lower(),
            help="The rule of the columns that read a curve. A network's own is the one of larger area on calibration.",
        )  # fmt: skip
        unit = st.segmented_control(
            "For at most", ["share", "macs"], default="share", required=True, key="zoo_unit", bind="query-params",
            format_func={"share": "relative cost", "macs": "M MACs"}.__getitem__,
            help="Relative to each network without its exits, or in multiply-accumulates, which compares small "
            "networks with large ones",
        )  # fmt: skip
        hidden = {"label_visibility": "hidden", "width": 130, "bind": "query-params"}
        if unit == "macs":
            amount = 1e6 * (st.number_input("M MACs", 0.01, 1e5, 10.0, 1.0, key="zoo_macs", **hidden) or 10.0)
        else:
            amount = st.number_input("Cost", 0.01, 2.0, 0.5, 0.05, key="zoo_most", **hidden) or 0.5
        plain = st.toggle("without exits too", value=True, key="zoo_plain", bind="query-params")
    return list(data), list(chosen), plain, rule, Budget(amount, unit == "macs")


def read_profiles(zoo: Zoo) -> dict[str, profiles.Known]:
    """The numbers of every network, with a bar where reading them takes a while."""
    place = st.empty()
    known = profiles.of_all(
        zoo.cards, lambda part: place.progress(part, text="Reading what every network was recorded to say …")
    )
    place.empty()
    return known


def clicked(
    names: Sequence[str], picked: tuple[str, ...], selection: Mapping[str, Any]
) -> tuple[tuple[str, ...], str | None]:
    """What a click on the table means.

    Args:
        names: of the rows, in the order in which they were sent.
        picked: the networks that were side by side before.
        selection: rows that are ticked and the cell that is marked, as Streamlit tells them.

    Returns:
        The networks side by side now, those of other rows kept, and the one whose card is to be opened: the first
        that is ticked, or where no tick changed that of the marked cell.
    """
    ticked = [names[row] for row in selection.get("rows", ()) if row < len(names)]
    stay = [name for name in picked if name not in names or name in ticked]
    now = (*stay, *(name for name in ticked if name not in stay))[:MOST_PICKED]
    if now != picked:
        return now, now[0] if len(now) == 1 and not picked else None
    cells = selection.get("cells", ())
    return picked, names[cells[0][0]] if cells and cells[0][0] < len(names) else None


def table(rows: Sequence[Row], zoo: Zoo, budget: Budget, side_by_side: Sequence[str]) -> None:
    """The table; a click on a cell opens that card, ticks put networks side by side."""
    names = [row.name for row in rows]
    key = f"models_table_{abs(hash(tuple(names)))}"  # another choice of rows starts anew

    def take() -> None:
        ticked, opened = clicked(names, st.session_state.get(_PICKED, ()), st.session_state[key]["selection"])
        if ticked != st.session_state.get(_PICKED, ()):
            _pick(ticked)
            if len(ticked) > 1:
                show_panel("compare")
        if opened is not None:
            choose(opened, zoo)

    ticks = [names.index(name) for name in side_by_side if name in names]
    st.dataframe(
        zoo_table.frame(rows),
        key=key,
        on_select=take,
        selection_mode=["multi-row", "single-cell"],
        selection_default={"selection": {"rows": ticks}},
        hide_index=True,
        height=38 + 35 * max(3, min(len(rows), 8)),
        column_config=zoo_table.columns(rows, budget),
        placeholder="",
    )


def side_by_side(rows: Sequence[Row], budget: Budget) -> None:
    """Curves of a few networks on one chart, and what they are beside each other."""
    if not rows:
        st.caption(f"Tick two to {MOST_PICKED} networks at the left of the table to see them side by side.")
        return
    in_macs = st.segmented_control(
        "Cost axis", [False, True], default=budget.in_macs, required=True, key="models_axis",
        format_func={False: "relative cost", True: "M MACs"}.__getitem__, label_visibility="collapsed",
    )  # fmt: skip
    chart, numbers = st.columns([0.56, 0.44], gap="large")
    with chart:
        _overlay(rows, bool(in_macs))
    with numbers:
        lines = beside(rows, budget)
        st.dataframe(lines, key="models_beside", height=38 + 35 * len(lines))


def _overlay(rows: Sequence[Row], in_macs: bool) -> None:
    scheme = theme.current_scheme()
    curves, points = [], []
    for colour, row in enumerate(rows):
        unit = row.card.cost.plain_macs / 1e6 if in_macs else 1.0
        try:
            trace = cache.load_trace(row.name)
        except UserError as error:
            st.caption(controls.plain_text(f"{row.name} has no curve: {error}".replace("`", "")))
            continue
        if row.card.is_plain:
            points.append((row.name, unit, 100 * float(trace.correct[:, -1].mean()), colour))
            continue
        curve = cache.sweep(trace, row.rule).thin(_POINTS)
        rule = RULES[row.rule].label.lower()
        curves.append(Curve(row.name, rule, curve, curve.relative_cost * unit, None, colour, 0))
    axis = "M MACs an image, mean" if in_macs else "relative cost, mean"
    if curves or points:
        drawn = charts.compare_curves(curves, axis, scheme)
        for name, cost, accuracy, colour in points:
            drawn.add_scatter(
                x=[cost], y=[accuracy], mode="markers", name=f"{name}, without exits",
                marker={"size": 11, "symbol": "diamond", "color": charts._LINES[colour % len(charts._LINES)]},
                hovertemplate=f"{name}<br>%{{y:.1f}} % right at %{{x:.3g}}<extra></extra>",
            )  # fmt: skip
        st.plotly_chart(drawn, key="models_curves")
    sizes = ", ".join(f"{n:,}" for n in sorted({row.n for row in rows if row.n})) or "not recorded"
    data = {row.card.dataset for row in rows}
    note = " These networks answer different data: their accuracies do not compare." if len(data) > 1 else ""
    st.caption(f"Exact curves on the test split, n = {sizes}.{note}")


def beside(rows: Sequence[Row], budget: Budget) -> pd.DataFrame:
    """A column for each network, a line for each fact, in words."""

    def percent(share: float | None, digits: int = 1) -> str:
        return "" if share is None else f"{100 * share:.{digits}f} %"

    columns = {}
    for row in rows:
        card, found, size = row.card, row.known.profile, row.known.size
        early = not card.is_plain
        recipe = card.recipe
        columns[row.name] = {
            "what": card.title,
            "data": DATASETS.get(card.dataset, card.dataset),
            "early exits": f"{card.spec.num_early_exits}, {card.spec.placement}, {card.spec.exit_type}"
            if early
            else "0",
            f"right for ≤ {budget}": percent(row.best),
            "right at each exit": " · ".join(f"{100 * share:.1f}" for share in row.accuracy),
            "area under the curve": percent(row.area, 2),
            "relative cost of each exit": " · ".join(f"{cost:.2f}" for cost in card.cost.relative()),
            "MACs without exits": f"{card.cost.plain_macs:,}",
            "parameters": "" if size is None else f"{size.parameters:,}",
            "calibration error of each exit": ""
            if found is None
            else " · ".join(f"{100 * error:.1f}" for error in found.calibration_error),
            "loss, λ": f"{recipe.get('loss', '')}, {recipe.get('cost_weight', '')}" if early else "",
            "epochs, seed": f"{recipe.get('epochs', '')}, {recipe.get('seed', '')}",
            "started from": str(recipe.get("parent") or "fresh weights"),
        }
    return pd.DataFrame(columns)


def broken(zoo: Zoo) -> None:
    """Folders that could not be opened, each with its reason."""
    if not zoo.problems:
        return
    n = len(zoo.problems)
    st.markdown(f"##### {n} folder{'s' if n > 1 else ''} could not be opened")
    for name, problem in zoo.problems.items():
        st.error(controls.plain_text(f"{name}: {problem}"), icon=":material/broken_image:")
    st.caption(
        "Each line says what to do. The others are not harmed; a folder that is no network can be moved out of "
        "checkpoints/."
    )


def open_buttons(name: str, zoo: Zoo) -> None:
    """Doors to the other networks of a card: its plain counterpart and its parent."""
    card = zoo.cards[name]
    others: list[tuple[str, Any]] = [
        ("Without exits", card.plain_counterpart),
        ("Started from", card.recipe.get("parent")),
    ]
    for label, other in others:
        if isinstance(other, str) and other in zoo.cards:
            st.button(
                controls.plain_text(f"{label}: {other}"), key=f"models_{label}", type="tertiary", on_click=choose,
                args=(other, zoo), icon=":material/subdirectory_arrow_right:",
            )  # fmt: skip
