"""Work on many images: what interrupts it loses nothing, and what is taken home is plain."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import pytest

from app.many import Job, as_csv, below, sentence, table
from app.state import View
from core.analysis.answers import leave
from core.benchmarks.many import zip_of_images
from core.checkpoints import load_network
from core.data.batch import Files

VIEW = View("mnist/eenet8", "probability", (0.8,))


@pytest.fixture(scope="module")
def loaded():
    return load_network("mnist/eenet8")


def make(n: int, *more: tuple[str, bytes]) -> Job:
    return Job(Files.open([("digits.zip", zip_of_images("mnist", n)), *more]))


def test_stopping_keeps_what_is_done_and_going_on_ends_the_same(loaded) -> None:
    network, card = loaded
    whole, parts = make(150), make(150)
    for job in (whole, parts):
        job.turn_to(card, "weights")
    list(whole.work(network, Lock()))
    steps = parts.work(network, Lock())
    assert 0 < next(steps) < 1
    steps.close()
    assert 0 < len(parts.places) < 150 and not parts.done
    assert len(parts.answers(VIEW, 2, None).exits) == len(parts.places) == len(parts.thumbnails())
    list(parts.work(network, Lock()))
    assert parts.done and whole.done and parts.places == whole.places == list(range(150))
    for one, other in zip(whole.heard, parts.heard, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_run_that_was_overtaken_adds_nothing(loaded) -> None:
    """Streamlit starts the next run while the last one is between two steps: what that one counts must hold still."""
    network, card = loaded
    job = make(300)
    with ThreadPoolExecutor(1) as last:
        last.submit(job.turn_to, card, "a").result()
        work = job.work(network, Lock())
        last.submit(next, work).result()
        job.turn_to(card, "a")
        kept, steps = job.places, list(last.submit(list, work).result())
        assert steps == [] and job.places == kept and 0 < len(kept) < 300
    assert list(job.work(network, Lock()))[-1] == 1 and job.places == list(range(300))


def test_other_weights_hear_the_same_pictures(loaded) -> None:
    network, card = loaded
    job = make(70)
    job.turn_to(card, "some")
    list(job.work(network, Lock()))
    chunks, heard = list(job.chunks), list(job.heard)
    job.turn_to(card, "some")
    assert job.done and len(job.heard) == len(heard)
    job.turn_to(card, "others")
    assert not job.done and job.places == []
    list(job.work(network, Lock()))
    assert job.done and all(a is b for a, b in zip(job.chunks, chunks, strict=True))


def test_what_is_taken_home(loaded) -> None:
    network, card = loaded
    job = make(3, ("=cmd()|'x'!A1.png", zip_of_images("mnist", 1)[:40]), ("-1.txt", b"no picture"))
    job.turn_to(card, "weights")
    list(job.work(network, Lock()))
    answers = job.answers(VIEW, 2, None)
    rows = list(csv.DictReader(io.StringIO(as_csv(job, answers, card))))
    assert [row["file"] for row in rows] == [
        "images/00000.png", "images/00001.png", "images/00002.png", "'=cmd()|'x'!A1.png", "'-1.txt",
    ]  # fmt: skip
    for row, exit_, answer in zip(rows[:3], answers.exits, answers.predicted, strict=True):
        assert int(row["exit"]) == exit_ + 1 and row["answer"] == card.class_names[answer] and not row["problem"]
        assert float(row["relative_cost"]) == pytest.approx(card.cost.relative()[exit_], abs=1e-6)
        assert int(row["macs"]) == card.cost.macs()[exit_]
    assert "expected" in rows[3]["problem"] and "got no image" in rows[4]["problem"]
    frame = table(job, answers, card)
    assert frame["exit"].tolist() == (answers.exits + 1).tolist() and "class" not in frame
    assert "3 read, 2 not" in below(job, card, "CPU") and "on CPU" in below(job, card, "CPU")


def test_the_sentence_counts(loaded) -> None:
    _, card = loaded
    job = make(2)
    logits = np.zeros((4, 3, 10), np.float32)
    logits[:3, 0, 5] = logits[:, 2, 5] = 20
    answers = leave(logits, np.zeros((4, 3), np.float32), "probability", (0.9,))
    words = "".join(text for text, _ in sentence(job, answers, card)).replace("\u202f", " ")
    cost = np.array(card.cost.relative())
    expected = 100 * (3 * cost[0] + cost[2]) / 4
    assert words == f"4 images: 75 % leave early, most at exit 1, for {expected:.0f} % of the computation"
    tie = leave(logits[2:], np.zeros((2, 3), np.float32), "probability", (0.9,))
    words = "".join(text for text, _ in sentence(job, tie, card)).replace("\u202f", " ")
    assert words == f"2 images: 50 % leave early, for {100 * (cost[0] + cost[2]) / 2:.0f} % of the computation"
    assert sentence(job, None, card) == [("Stopped before the first image", None)]
    job.files.files.clear()
    assert sentence(job, None, card) == [("No image among what was brought", None)]
