"""Many images at once: files and zips, read and run a few at a time, kept as what every exit said.

Pictures are kept as the network sees them, never as they came; a threshold, a rule or a temperature then only asks for
arithmetic. Whatever interrupts the work, another click or *Stop*, loses nothing: the next run of the page goes on.
"""

import base64
import csv
import html
import io
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import controls, theme
from app.state import View
from core.analysis.answers import Answers, leave
from core.analysis.rules import RULES
from core.checkpoints import Card
from core.data.batch import MAX_FILES, Chunk, Failure, Files, class_of
from core.data.decode import FORMATS, printable
from core.data.preprocess import Preprocessing, to_image
from core.errors import UserError

_UPLOADS = "try_many"
_TABLE = "try_table"
_JOB = "try_job"
_ROW = "try_many_row"
_MOST_THUMBNAILS = 1_000
_MOST_NAMED = 3  # failures that are named without opening their list
_REPORT = 0.1  # seconds between two steps of the progress bar


@dataclass
class Job:
    """What a visitor brought and how far it has come.

    Args:
        files: what was brought.
        chunks: what has been decoded, as the networks of one preprocessing see it.
        heard: for each chunk logits (n, exits, classes) and confidence logits (n, exits) of one network.
        next: place of the first file that has not been decoded.
        preprocessing, weights: whose pictures and answers these are.
        seconds: spent decoding and running.
        stopped: the visitor has had enough.
    """

    files: Files
    chunks: list[Chunk] = field(default_factory=list)
    heard: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=list)
    next: int = 0
    preprocessing: Preprocessing | None = None
    weights: str = ""
    seconds: float = 0.0
    stopped: bool = False
    _thumbnails: list[str] = field(default_factory=list)
    _worker: int = 0  # the thread of the newest run of the page: nobody else may add to the job
    _adding: Any = field(default_factory=threading.Lock)

    @property
    def done(self) -> bool:
        """Whether every file has been decoded and heard."""
        return self.next >= len(self.files.files) and len(self.heard) == len(self.chunks)

    @property
    def failures(self) -> list[Failure]:
        """Everything that gave no picture, so far."""
        return [*self.files.failures, *(failure for chunk in self.chunks for failure in chunk.failures)]

    @property
    def places(self) -> list[int]:
        """Which of the files gave the pictures that have been heard, one for each."""
        return [place for chunk in self.chunks[: len(self.heard)] for place in chunk.places]

    @property
    def _mine(self) -> bool:
        return self._worker == threading.get_ident()

    def turn_to(self, card: Card, weights: str) -> None:
        """Make ready for a network: pictures stay where it sees the same, answers where it is the same.

        From here on the job is this thread's. Streamlit starts a visitor's next run while the last one is still
        between two of its steps: that one must add nothing to what this one counts and shows.
        """
        with self._adding:
            self._worker = threading.get_ident()
        if self.preprocessing != card.preprocessing:
            self.preprocessing = card.preprocessing
            self.chunks, self.next, self.seconds, self._thumbnails = [], 0, 0.0, []
            self.heard = []
        if self.weights != weights:
            self.weights = weights
            self.heard = []

    def work(self, network: Any, lock: Any) -> Generator[float, None, None]:
        """Go on: decode in threads while the network runs. Yields the part that is done, 0..1, after every step.

        Ends early where a newer run has taken the job over.

        Args:
            network: on its device.
            lock: held only while a chunk runs, so that others get their turn.
        """
        from core.network.listening import listen
        from core.network.tracing import run_network

        assert self.preprocessing is not None
        for chunk in self.chunks[len(self.heard) :]:
            with lock:
                outputs = run_network(network, chunk.pictures, self.preprocessing)
            with self._adding:
                if not self._mine:
                    return
                self.heard.append((outputs.logits, outputs.confidence_logits))
            yield len(self.heard) / len(self.chunks)
        with closing(listen(network, self.files, self.preprocessing, self.next, turn=lambda: lock)) as steps:
            started = time.perf_counter()
            for chunk, outputs in steps:
                with self._adding:
                    if not self._mine:
                        return
                    self.chunks.append(chunk)
                    self.heard.append((outputs.logits, outputs.confidence_logits))
                    self.next = chunk.stop
                    self.seconds += time.perf_counter() - started
                yield self.next / len(self.files.files)
                started = time.perf_counter()

    def answers(self, view: View, early: int, fitted: tuple[float, ...] | None) -> Answers:
        """Where the pictures heard so far leave; there must be one.

        Args:
            early: number of early exits.
            fitted: a temperature for each exit, or None.
        """
        logits = np.concatenate([logits for logits, _ in self.heard])
        confidence_logits = np.concatenate([confidence for _, confidence in self.heard])
        return leave(logits, confidence_logits, view.rule, view.effective(early), fitted)

    def thumbnails(self) -> list[str]:
        """The pictures as small data URLs, made once."""
        pictures = [picture for chunk in self.chunks[: len(self.heard)] for picture in chunk.pictures]
        for picture in pictures[len(self._thumbnails) :]:
            buffer = io.BytesIO()
            to_image(picture).save(buffer, "WEBP", quality=80, method=0)
            self._thumbnails.append("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode())
        return self._thumbnails


def current_job() -> Job | None:
    """What the visitor brought, or None."""
    return st.session_state.get(_JOB)


def pick() -> None:
    """Where many files are dropped."""
    uploads = st.file_uploader(
        "Files, or a zip of them",
        accept_multiple_files=True,
        key=_UPLOADS,
        on_change=_take,
        help=f"Up to {MAX_FILES:,} images in files and zips, folders and all: {', '.join(FORMATS)}. "
        "They stay on this machine.",
    )
    job = current_job()
    if job and not uploads:
        st.caption(f"Shown: the {len(job.files.files):,} files brought before")
    st.caption("Where folders are named after classes, answers are also right or wrong.")


def _take() -> None:
    """Files came or went."""
    memory = st.session_state
    uploads = memory[_UPLOADS]
    for key in (_JOB, _ROW, "try_many_line"):
        memory.pop(key, None)
    if not uploads:
        return
    try:
        memory[_JOB] = Job(Files.open([(file.name, file.getvalue()) for file in uploads]))
    except UserError as error:
        memory["try_many_line"] = str(error)


def line() -> str | None:
    """Why nothing of what was brought can be read, or None."""
    return st.session_state.get("try_many_line")


def run(job: Job, network: Any, lock: Any) -> None:
    """Work until all is done or the visitor stops it, with a bar that keeps its place."""
    if job.done:
        return

    def stop() -> None:
        job.stopped = True

    def go_on() -> None:
        job.stopped = False

    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        bar = st.progress(job.next / max(1, len(job.files.files)), text=_progress(job), width="stretch")
        if job.stopped:
            st.button("Go on", key="try_go_on", on_click=go_on)
            return
        st.button("Stop", key="try_stop", on_click=stop)
    told = time.perf_counter()
    with closing(job.work(network, lock)) as steps:
        for part in steps:
            if time.perf_counter() - told >= _REPORT:
                told = time.perf_counter()
                bar.progress(min(part, 1.0), text=_progress(job))
    st.rerun()  # all is done: the bar gives way to the table


def _progress(job: Job) -> str:
    word = "Stopped: " if job.stopped else ""
    return f"{word}{job.next:,} of {len(job.files.files):,} files read"


def sentence(job: Job, answers: Answers | None, card: Card) -> list[tuple[str, int | str | None]]:
    """What became of all of them: parts of text with the exit whose colour they wear."""
    if answers is None:
        return [("No image among what was brought" if job.done else "Stopped before the first image", None)]
    n = len(answers.exits)
    cost = float(np.asarray(card.cost.relative())[answers.exits].mean())
    leave_early = float((answers.exits < card.num_exits - 1).mean())
    counts = np.bincount(answers.exits, minlength=card.num_exits)
    most = int(counts.argmax())
    alone = (counts == counts[most]).sum() == 1
    images = f"{n:,} image{'s' if n != 1 else ''}"
    parts: list[tuple[str, int | str | None]] = [
        (f"{images}: {100 * leave_early:.0f}\u202f% leave early", None),
        *([(", most at ", None), (f"exit {most + 1}", most)] if alone else []),
        (f", for {100 * cost:.0f}\u202f% of the computation", None),
    ]
    truth = _truth(job, card)
    known = np.array([label is not None for label in truth])
    if known.any():
        right = np.array([label == answer for label, answer in zip(truth, answers.predicted, strict=True)])[known]
        parts.append((f"; {100 * right.mean():.1f}\u202f% right", None))
    return parts


def below(job: Job, card: Card, device: str) -> str:
    """The quiet line under the sentence: how many were read, how long it took, and where."""
    read, failed = len(job.places), len(job.failures)
    words = f"{read:,} read, {failed:,} not. " if failed else ""
    known = sum(label is not None for label in _truth(job, card))
    if known:
        words += f"Right or wrong by the names of their folders (n = {known:,}). "
    if read and job.seconds:
        words += (
            f"{1000 * job.seconds / read:.1f} ms each, read and run through all {card.num_exits} exits on {device} "
            f"({read / job.seconds:,.0f} images/s). "
        )
    return words + "Thresholds act on what every exit said; nothing is read again."


def _truth(job: Job, card: Card) -> list[int | None]:
    return [class_of(job.files.files[place].name, card.class_names) for place in job.places]


def show_shares(answers: Answers, num_exits: int) -> None:
    """The share of the images that leave at each exit, as a bar."""
    counts = np.bincount(answers.exits, minlength=num_exits)
    light, dark = (theme.exit_colours(num_exits, scheme) for scheme in theme.SCHEMES)
    parts = []
    for n, count in enumerate(counts):
        if not count:
            continue
        share = count / len(answers.exits)
        text = f"exit {n + 1} · {100 * share:.1f}\u202f%" if share > 0.12 else str(n + 1) if share > 0.02 else ""
        title = f"Exit {n + 1}: {count:,} of {len(answers.exits):,}"
        parts.append(
            f'<div title="{html.escape(title)}" style="flex:{count} 0 0;min-width:3px;background:light-dark({light[n]},'
            f"{dark[n]});color:light-dark({_ink(light[n])},{_ink(dark[n])});padding-left:{8 if text else 0}px;"
            f'white-space:nowrap;overflow:hidden;box-sizing:border-box">{text}</div>'
        )
    label = ", ".join(f"exit {n + 1}: {count:,}" for n, count in enumerate(counts))
    st.html(
        f'<div role="img" aria-label="{label}" style="display:flex;gap:2px;height:26px;line-height:26px;'
        f'font-size:13px;border-radius:6px;overflow:hidden">{"".join(parts)}</div>'
    )


def _ink(colour: str) -> str:
    """Black or white, whichever is read more easily on a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "#15181E" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.24 else "#FFFFFF"


def table(job: Job, answers: Answers, card: Card) -> pd.DataFrame:
    """One row per picture: file, answer, exit, score, cost; class and right or wrong where folders tell."""
    files = job.files.files
    columns: dict[str, Any] = {}
    if len(answers.exits) <= _MOST_THUMBNAILS:
        columns["seen"] = job.thumbnails()
    columns["file"] = [files[place].name for place in job.places]
    columns["answer"] = [card.class_names[c] for c in answers.predicted]
    truth = _truth(job, card)
    if any(label is not None for label in truth):
        columns["class"] = [None if label is None else card.class_names[label] for label in truth]
        pairs = zip(truth, answers.predicted, strict=True)
        columns["right"] = [None if label is None else label == answer for label, answer in pairs]
    columns["probability"] = 100 * answers.probability
    columns["exit"] = answers.exits + 1
    columns["score"] = answers.score.astype(np.float64)
    columns["cost"] = np.asarray(card.cost.relative())[answers.exits]
    return pd.DataFrame(columns)


def show_table(frame: pd.DataFrame, job: Job, rule: str) -> None:
    """The table; a click on a row opens that picture below."""

    def take() -> None:
        cells = st.session_state[_TABLE]["selection"]["cells"]
        if cells and 0 <= cells[0][0] < len(frame):
            st.session_state[_ROW] = int(job.places[cells[0][0]])

    number = st.column_config.NumberColumn
    st.dataframe(
        frame,
        key=_TABLE,
        on_select=take,
        selection_mode="single-cell",
        hide_index=True,
        height=min(38 + 36 * len(frame), 326),
        row_height=36,
        column_config={
            "seen": st.column_config.ImageColumn("Seen", width=50, help="What the network sees"),
            "file": st.column_config.TextColumn("File", width="medium"),
            "answer": st.column_config.TextColumn("Answer"),
            "class": st.column_config.TextColumn("Class", help="The name of its folder"),
            "right": st.column_config.CheckboxColumn("Right", width="small"),
            "probability": number("Likely", format="%.1f %%", help="Probability of the answer at that exit"),
            "exit": number("Exit", format="%d", width="small"),
            "score": number("Score", format="%.3f", help=f"{RULES[rule].label}: {RULES[rule].formula}"),
            "cost": number("Cost", format="%.2f", help="MACs executed over those of the network without exits"),
        },
    )


def show_failures(failures: list[Failure]) -> None:
    """What gave no picture, one line each."""
    if not failures:
        return
    n = len(failures)
    named = ", ".join(controls.plain_text(printable(failure.name, 40)) for failure in failures[:_MOST_NAMED])
    more = f" and {n - _MOST_NAMED:,} more" if n > _MOST_NAMED else ""
    files = "1 file" if n == 1 else f"{n:,} files"
    with st.expander(f"{files} gave no picture: {named}{more}", icon=":material/broken_image:"):
        st.dataframe(
            pd.DataFrame({"file": [f.name for f in failures], "problem": [f.problem for f in failures]}),
            key="try_failures",
            hide_index=True,
            height=min(38 + 35 * n, 318),
            column_config={
                "file": st.column_config.TextColumn("File", width="medium"),
                "problem": st.column_config.TextColumn("What is wrong", width="large"),
            },
        )


def as_csv(job: Job, answers: Answers, card: Card) -> str:
    """The table to take home, with MACs and with the files that failed.

    A name that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "class", "answer", "probability", "exit", "score", "relative_cost", "macs", "problem"])
    macs, cost = card.cost.macs(), card.cost.relative()
    for place, label, exit_, answer, probability, score in zip(
        job.places, _truth(job, card), *(a.tolist() for a in (answers.exits, answers.predicted)),
        answers.probability.tolist(), answers.score.tolist(), strict=True,
    ):  # fmt: skip
        truth = "" if label is None else _cell(card.class_names[label])
        name, said = _cell(job.files.files[place].name), _cell(card.class_names[answer])
        numbers = [f"{probability:.6f}", exit_ + 1, f"{score:.6f}", f"{cost[exit_]:.6f}", macs[exit_]]
        writer.writerow([name, truth, said, *numbers, ""])
    for failure in job.failures:
        writer.writerow([_cell(failure.name), *[""] * 7, _cell(failure.problem)])
    return buffer.getvalue()


def _cell(text: str) -> str:
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t") else text


def show(
    job: Job, network: Any, lock: Any, card: Card, view: View, fitted: tuple[float, ...] | None, present: bool
) -> Answers | None:
    """Work on what is left, then draw the shares, the table and what failed.

    Args:
        fitted: a temperature for each exit, or None.
        present: on a stage: without buttons.

    Returns:
        Where the pictures heard so far leave; None where there are none.
    """
    run(job, network, lock)
    answers = job.answers(view, card.spec.num_early_exits, fitted) if job.places else None
    if answers is not None:
        show_shares(answers, card.num_exits)
        show_table(table(job, answers, card), job, view.rule)
    with st.container(horizontal=True, vertical_alignment="top", gap="small"):
        show_failures(job.failures)
        if answers is not None and not present:
            st.download_button(
                "Take the table home",
                data=lambda: as_csv(job, answers, card),
                file_name="images.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
                key="try_csv",
                help="All columns and the files that failed, as CSV",
                width="content",
            )
    return answers


def opened(job: Job) -> tuple[str, bytes] | None:
    """Name and contents of the picture whose row was clicked, or None.

    Raises:
        UserError: it cannot be read any more.
    """
    place = st.session_state.get(_ROW)
    if place is None or place not in job.places:
        return None
    return job.files.files[place].name.rsplit("/", 1)[-1], job.files.read(place)
