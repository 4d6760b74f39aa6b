"""What trains: the list, the open one live, and what can be done with it."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app import cache, theme, training_charts
from app.controls import plain_text
from app.navigation import build_pages
from app.training_form import Wish, rough
from core.checkpoints import HISTORY_FILE, Card
from core.errors import UserError
from core.training import command, jobs
from core.training.jobs import Job

NEW = "new"
PARAMETER = "training"
_PROBLEM = "train_problem"
_EVERY = 1.5  # seconds
_STATES = {
    "preparing": "starting",
    "running": "training",
    "finishing": "almost done",
    "stopped": "stopped",
    "failed": "failed",
    "killed": "ended from outside",
    "finished": "finished",
    "foreign": "unfinished",
}
_ICONS = {
    "stopped": ":material/pause_circle:",
    "failed": ":material/error:",
    "killed": ":material/power_off:",
    "finished": ":material/check_circle:",
    "foreign": ":material/help:",
}
_PHASES = {
    "confidences": "Fitting the confidences",
    "recording calibration": "Recording the answers to the calibration images",
    "recording test": "Recording the answers to the test images",
    "mapping": "Drawing the map of the test images",
}
_MOST_FINISHED = 12


def names() -> dict[str, str]:
    """Trainings to choose from and their states: those at work and at rest below runs/, then finished ones."""
    found = {job.name: job.state for job in jobs.list_jobs(jobs.RUNS)}
    cards = cache.zoo().cards
    kept = [name for name in jobs.finished(cache.ROOT) if name in cards and name not in found]
    return found | dict.fromkeys(kept[:_MOST_FINISHED], "finished")


def pick(found: Mapping[str, str]) -> str:
    """The row of trainings, a new one first; the choice stands in the address bar."""
    asked = st.query_params.get(PARAMETER)
    if asked is not None and asked not in found:
        st.warning(
            plain_text(f"The link says training = {asked[:60]!r}, expected one of the list: showing a new one."),
            icon=":material/link_off:",
        )
        del st.query_params[PARAMETER]
        asked = None
    if not found:
        return NEW
    st.session_state["train_open"] = asked or NEW

    def choose() -> None:
        open_training(st.session_state["train_open"])

    return st.segmented_control(
        "Trainings",
        [NEW, *found],
        key="train_open",
        required=True,
        format_func=lambda name: _label(name, found),
        on_change=choose,
        label_visibility="collapsed",
    )


def _label(name: str, found: Mapping[str, str]) -> str:
    if name == NEW:
        return ":material/add: a new one"
    state = found[name]
    icon = ":material/autorenew:" if state in jobs.ALIVE else _ICONS[state]
    return f"{icon} {plain_text(name)} · {_STATES[state]}"


def open_training(name: str) -> None:
    """Shows a training, or the form; stays so when the page is loaded again."""
    if name == NEW:
        st.query_params.pop(PARAMETER, None)
    else:
        st.query_params[PARAMETER] = name


def begin(wish: Wish) -> None:
    """Starts what the form asks for and shows it."""
    _try(lambda: _begin(wish))


def _begin(wish: Wish) -> None:
    jobs.start(wish.values, wish.name, cache.ROOT, jobs.RUNS)
    open_training(wish.name)


def _try(act: Callable[[], object]) -> None:
    """Does something and keeps the line on why it did not work for the run that follows."""
    try:
        act()
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)


def show_problem() -> None:
    """Why the last click did not work, once."""
    line = st.session_state.pop(_PROBLEM, None)
    if line:
        st.error(plain_text(line[:1].upper() + line[1:]), icon=":material/error:")


def watch(found: Mapping[str, str]) -> None:
    """Looks every few seconds, while something trains, whether the list is still true."""
    if any(state in jobs.ALIVE for state in found.values()):

        @st.fragment(run_every=2 * _EVERY)
        def look() -> None:
            if names() != dict(found):
                st.rerun()

        look()


def show(name: str, found: Mapping[str, str]) -> None:
    """An open training: live while it works, at rest otherwise."""
    alive = found[name] in jobs.ALIVE

    @st.fragment(run_every=_EVERY if alive else None)
    def live() -> None:
        job = jobs.find_job(name, jobs.RUNS)
        if (job.state if job else "finished") != found[name]:
            st.rerun()  # the list above has to know too
        if job is None:
            _show_kept(name, cache.zoo().cards.get(name))
        else:
            _show_job(job)

    live()


def _show_job(job: Job) -> None:
    left, right = st.columns([0.73, 0.27], vertical_alignment="center")
    with left:
        st.html(f'<div class="train-sentence">{sentence(job)}</div>')
    with right, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _buttons(job)
    share, text = progress(job)
    st.progress(share, text=text)
    if job.state == "failed" and job.problem:
        st.error(plain_text(job.problem[:1].upper() + job.problem[1:]), icon=":material/error:")
    _curves(job.history, waiting=job.alive)
    _particulars(job)


def _buttons(job: Job) -> None:
    if job.alive:
        st.button("Stop", icon=":material/stop:", key="train_stop", on_click=lambda: _try(lambda: jobs.stop(job)))
        return
    if job.state == "finished":
        st.button(
            "Keep as a network",
            icon=":material/inventory_2:",
            key="train_keep",
            type="primary",
            on_click=lambda: _try(lambda: jobs.keep(job.folder, cache.ROOT / job.name)),
        )
    elif job.request:
        st.button(
            "Go on",
            icon=":material/play_arrow:",
            key="train_resume",
            type="primary",
            on_click=lambda: _try(lambda: jobs.resume(job, jobs.RUNS)),
            help="From the last finished epoch; to the same weights as if nothing had happened",
        )
    if job.state != "foreign":
        with st.popover("Remove", icon=":material/delete:"):
            st.write(f"All files of {plain_text(job.name)} are deleted, {len(job.history)} finished epochs with them.")
            st.button("Yes, delete them", key="train_remove", on_click=lambda: _try(lambda: _remove(job)))


def _remove(job: Job) -> None:
    jobs.remove(job)
    open_training(NEW)


def sentence(job: Job) -> str:
    """How it stands, in words."""
    done, epochs = len(job.history), job.epochs
    name = f"<b>{_html(job.name)}</b>"
    of = f"{done} of {epochs}" if epochs else f"{done}"
    finished_epochs = f"{of} epochs are done" if done != 1 else f"{of} epochs is done"
    best = f"; its last exit is right on {100 * job.history[-1]['training_accuracy'][-1]:.1f} % of them" if done else ""
    return {
        "preparing": f"{name} is starting: it reads its images.",
        "running": f"{name} is training: {finished_epochs}{best.replace('of them', 'of the training images')}.",
        "finishing": f"{name} has done its {epochs} epochs and is being finished.",
        "stopped": f"{name} was stopped: {finished_epochs} and kept. It can go on.",
        "failed": f"{name} failed after {done} of {epochs} epochs.",
        "killed": f"{name} was ended from outside: {finished_epochs} and kept. It can go on.",
        "finished": f"{name} is finished; its folder lies below runs/.",
        "foreign": f"{name} was not started in a way that can be followed: {finished_epochs}.",
    }[job.state]


def progress(job: Job) -> tuple[float, str]:
    """Share done and what is being done, with an estimate of the rest where there is one."""
    facts = job.progress
    total = facts.get("total") or 0
    if not job.alive or not total:
        share = len(job.history) / job.epochs if job.epochs else 0.0
        return min(share, 1.0), "Starting …" if job.alive else f"{len(job.history)} epochs done"
    share, phase = min(facts["done"] / total, 1.0), facts["phase"]
    left = facts.get("seconds_left")
    if phase != "training":
        rest = f" · about {_seconds(left)} left for this step (an estimate)" if left and left > 20 else ""
        return share, f"{_PHASES.get(phase, phase)}: {facts['done']:,} of {total:,}{rest}"
    steps = total // facts["epochs"]
    within = facts["done"] - (facts["epoch"] - 1) * steps
    rest = "an estimate of the time follows after the first minute" if left is None else ""
    if left is not None:
        rest = f"about {_seconds(left)} left with all that follows (an estimate)"
    return share, f"Epoch {facts['epoch']} of {facts['epochs']}, step {within:,} of {steps:,} · {rest}"


def _seconds(value: float) -> str:
    return f"{10 * round(value / 10)} seconds" if value < 90 else rough(value / 60)


def _curves(history: tuple[dict[str, Any], ...], waiting: bool) -> None:
    if not history:
        st.caption("Curves appear after the first epoch." if waiting else "No epoch was finished.")
        return
    scheme = theme.current_scheme()
    figures = [training_charts.loss, training_charts.accuracy]
    early = len(history[-1]["exit_shares"]) > 1
    if early:
        figures += [training_charts.cost, training_charts.shares]
    for row in range(0, len(figures), 2):
        for column, draw in zip(st.columns(2), figures[row : row + 2], strict=True):
            with column:
                st.plotly_chart(draw(history, scheme), key=f"train_{draw.__name__}", config={"displayModeBar": False})
    when = {line.get("leave_when", "confidence >= 0.5") for line in history}
    if early:
        rules = " and ".join(
            "h ≥ 0.5" if rule.startswith("conf") else "the answer is at least 90 % likely" for rule in sorted(when)
        )
        later = "" if when == {"confidence >= 0.5"} else " Confidences are fitted after the last epoch."
        st.caption(
            "Training images, augmented, while the weights move. "
            f"In cost and shares an image leaves when {rules}.{later}"
        )


def _particulars(job: Job) -> None:
    if job.request:
        with st.expander("Command line and what it printed", icon=":material/terminal:"):
            st.code(command.shortest(job.request), language="bash", wrap_lines=True)
            log = job.folder / jobs.LOG_FILE
            st.code(jobs.tail(log) or "nothing so far", language=None, height=180)


def _show_kept(name: str, card: Card | None) -> None:
    """A training that became a checkpoint."""
    if card is None:
        st.warning(plain_text(f"{name} is gone."), icon=":material/help:")
        return
    test = card.metrics.get("test", {})
    accuracy = test.get("exit_accuracy", [])
    right = f": its last exit is right on {100 * accuracy[-1]:.1f} % of {test['n']:,} test images" if accuracy else ""
    left, right_side = st.columns([0.73, 0.27], vertical_alignment="center")
    with left:
        st.html(f'<div class="train-sentence"><b>{_html(name)}</b> is finished{right}.</div>')
    with right_side, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        pages = build_pages()
        if not card.is_plain:
            st.page_link(
                pages["explore"], label="Open in Explore", icon=":material/tune:", query_params={"model": name}
            )
    st.progress(
        1.0, text=f"{card.recipe.get('epochs', 0)} epochs done, in {_seconds(card.recipe.get('training_seconds', 0))}"
    )
    _curves(tuple(jobs.read_history(cache.ROOT / name / HISTORY_FILE)), waiting=False)


def _html(text: str) -> str:
    from html import escape

    return escape(text)
