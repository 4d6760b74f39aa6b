"""kill -9 at random moments of a training, also in the middle of its writing: does it end with the same weights?"""

import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.checkpoints import HISTORY_FILE, WEIGHTS_FILE
from core.errors import UserError
from core.training import command

MOMENTS = 20  # random times, and as many random file operations
EPOCHS = 4
_FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
NAME = "halves/killed"


def make_pictures(folder: Path, count: int = 30) -> Path:
    """Two classes of 12 x 12 pictures, bright on top and bright below."""
    rng = np.random.default_rng(0)
    for name, rows in (("bottom", slice(6, 12)), ("top", slice(0, 6))):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = rng.integers(0, 90, (12, 12, 3))
            picture[rows] += 120
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def words(pictures: Path, root: Path, loss: str) -> list[str]:
    """The command line of a training of a few seconds, confidences, traces and the move to checkpoints included."""
    return [
        f"--dataset={pictures}",
        "--size=12",
        "--model=eenet8",
        "--exits=2",
        f"--epochs={EPOCHS}",
        "--batch-size=16",
        "--learning-rate=0.05",
        "--device=cpu",
        f"--loss={loss}",
        f"--checkpoints={root / 'checkpoints'}",
        f"--out={root / 'runs' / NAME}",
        f"--keep-as={NAME}",
    ]


def train(line: list[str], root: Path, before: Callable[[], None] = lambda: None, seconds: float | None = None) -> int:
    """Trains in a child process, as the command line does.

    Args:
        line: its words.
        root: below which it writes.
        before: called in the child first.
        seconds: after which the child is killed; None: it may end.

    Returns:
        How it ended: 0, or minus the number of the signal.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(root / "errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            before()
            command.run(command.parse(line))
            code = 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # where it has ended, nobody is hit: its id is ours until we wait for it
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def die_at(event: int, root: Path) -> Callable[[], None]:
    """Something that kills this process right before its `event`-th file operation below `root`."""
    state = {"left": event}

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _FILE_EVENTS and arguments and f"{root}/" in str(arguments[0]):
            state["left"] -= 1
            if state["left"] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hook)


def count_events(root: Path) -> tuple[Callable[[], None], Path]:
    """Something that counts this process's file operations below `root` into a file."""
    told = root.with_name(root.name + "-events.txt")

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _FILE_EVENTS and arguments and f"{root}/" in str(arguments[0]):
            handle = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, b".")
            os.close(handle)

    return lambda: sys.addaudithook(hook), told


def outcome(root: Path) -> tuple[bytes, list[tuple[float, ...]], list[str]]:
    """Weights, losses of all epochs, and the names of all files that are left."""
    folder = root / "checkpoints" / NAME
    lines = [json.loads(line) for line in (folder / HISTORY_FILE).read_text().splitlines()]
    left = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    named = sorted(name for name in left if name != "errors.txt")
    return (folder / WEIGHTS_FILE).read_bytes(), [(line["epoch"], line["loss"]) for line in lines], named


def trial(moments: int, seed: int = 0, loss: str = "cumulative") -> dict[str, Any]:
    """Kills `moments` trainings at random times and as many at random file operations, and lets each go on.

    Must run in a process that has computed nothing with torch so far, for it forks.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # raised while fvcore is imported
        for module in ("fvcore.nn", "core.training.pipeline", "core.training.progress"):
            importlib.import_module(module)  # once, for all the children

    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        pictures = make_pictures(place / "halves")
        whole = place / "whole"
        whole.mkdir()
        count, told = count_events(whole)
        began = time.monotonic()
        if train(words(pictures, whole, loss), whole, count):
            raise RuntimeError((whole / "errors.txt").read_text())
        length = time.monotonic() - began
        events, wanted = told.stat().st_size, outcome(whole)
        results: dict[str, list[bool]] = {"time": [], "file": []}  # of the killed ones: equal in the end?
        rounds, unequal = 0, 0
        while min(len(same) for same in results.values()) < moments and rounds < 6 * moments:
            kind = "time" if len(results["time"]) < moments else "file"
            root = place / f"run-{rounds}"
            root.mkdir()
            rounds += 1
            line = words(pictures, root, loss)
            began = time.monotonic()
            if kind == "time":
                code = train(line, root, seconds=chance.uniform(0, length))
            else:
                code = train(line, root, die_at(chance.randrange(events), root))
            if code == 0:  # done before its moment came: the next moments come earlier
                length = min(length, time.monotonic() - began)
            again = train(line, root) if code else 0
            same = again == 0 and outcome(root) == wanted
            unequal += not same
            if code == -signal.SIGKILL:
                results[kind].append(same)
            if not same:
                print((root / "errors.txt").read_text(), file=sys.stderr)
    return {
        "seconds": round(length, 2),
        "file_operations": events,
        "killed_at_random_times": len(results["time"]),
        "of_them_equal_in_the_end": sum(results["time"]),
        "killed_at_random_file_operations": len(results["file"]),
        "of_these_equal_in_the_end": sum(results["file"]),
        "trainings": rounds,
        "unequal": unequal,
    }


def run() -> dict[str, Any]:
    """Kills of a tiny training (EENet-8: epochs, confidences, traces, the move to its place) and what came of them."""
    return {"benchmark": "kill", "network": f"eenet8, {EPOCHS} epochs"} | trial(MOMENTS)
