"""Trainings as processes of their own, their files as the truth: whoever reads the files knows all there is to know.

runs/DATASET/NAME/   request.json   the flags of `python -m core train`, as plain values
                     process.json   who trains: process id and when it began, so that a reused id fools nobody
                     progress.json  what it does at the moment, about once a second
                     state.safetensors, history.jsonl   the newest finished epoch
                     log.txt        what it printed, where a page started it
                     stopped        somebody asked it to stop

A finished one moves to checkpoints/ in one step, with its request. Readable without torch.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from core.checkpoints import CARD_FILE, HISTORY_FILE
from core.data.decode import printable
from core.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: nothing stops two trainings from writing into one folder there
    fcntl = None  # type: ignore[assignment]

PROJECT = Path(__file__).resolve().parents[2]
RUNS = Path(os.environ.get("EENET_RUNS", PROJECT / "runs"))
REQUEST_FILE = "request.json"
PROCESS_FILE = "process.json"
PROGRESS_FILE = "progress.json"
LOG_FILE = "log.txt"
LOCK_FILE = ".lock"
STOP_FILE = "stopped"
STATE_FILE = "state.safetensors"  # as in core.training.state, which needs torch
PASSING_FILES = (PROCESS_FILE, PROGRESS_FILE, LOG_FILE, LOCK_FILE, STOP_FILE)
STATES = ("preparing", "running", "finishing", "stopped", "failed", "killed", "finished", "foreign")
ALIVE = STATES[:3]
NAME_LENGTH = 60
_PATIENCE = 5.0  # seconds that a training has to stop by itself
_LOG_TAIL = 4_000  # bytes
_NOT_FLAGS = ("run", "show", "json", "cwd")
_BEGIN = "--- python -m core train "


@dataclass(frozen=True)
class Job:
    """A training as its files tell it.

    Args:
        name: its folder below `runs`, DATASET/NAME.
        state: one of `STATES`: `foreign` has a state but no request, so it can be looked at and not be started again.
        request: the flags it was started with; empty for `foreign`.
        progress: `phase`, `done`, `total`, `epoch`, `epochs`, `seconds_left` (None: not known yet).
        history: one dict for each finished epoch.
        problem: one line on why it failed, or None.
    """

    name: str
    folder: Path
    state: str
    request: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    problem: str | None = None

    @property
    def alive(self) -> bool:
        """Whether its process is at work."""
        return self.state in ALIVE

    @property
    def epochs(self) -> int:
        """Epochs asked for; 0 where that is not known."""
        value = self.request.get("epochs", 0)
        return value if isinstance(value, int) else 0


def list_jobs(runs: Path = RUNS) -> list[Job]:
    """Trainings below `runs`, those at work first, then by name."""
    folders = {path.parent for name in (REQUEST_FILE, STATE_FILE) for path in runs.glob(f"*/*/{name}")}
    jobs = [read_job(folder, folder.relative_to(runs).as_posix()) for folder in folders]
    there = [job for job in jobs if job.request or (job.folder / STATE_FILE).exists()]  # one may just have moved away
    return sorted(there, key=lambda job: (not job.alive, job.name))


def find_job(name: str, runs: Path = RUNS) -> Job | None:
    """The training of that name, None where there is none."""
    return next((job for job in list_jobs(runs) if job.name == name), None)


def read_job(folder: Path, name: str) -> Job:
    """A training's folder as it is at this moment."""
    request, progress = _read(folder / REQUEST_FILE), _read(folder / PROGRESS_FILE)
    history = tuple(read_history(folder / HISTORY_FILE))
    problem = None
    if running_process(folder) is not None or is_locked(folder):
        phase = progress.get("phase", "preparing")
        state = {"training": "running", "preparing": "preparing"}.get(str(phase), "finishing")
    elif is_finished(folder):
        state = "finished"
    elif (folder / STOP_FILE).exists():
        state = "stopped"
    else:
        problem = progress.get("error") or last_error(folder / LOG_FILE)
        state = "failed" if problem else "killed" if request else "foreign"
    return Job(name, folder, state, request, progress, history, problem)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a history that are whole; none where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        values = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []
    return [value for value in values if isinstance(value, dict)]


def last_error(log: Path) -> str | None:
    """The error that a log ends with, in one line; None where it ends otherwise."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL))
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return None
    if not lines:
        return None
    if lines[-1].startswith("error: "):
        return printable(lines[-1].removeprefix("error: "), 400)
    broken = any(line.startswith("Traceback (most recent call last)") for line in lines)
    return printable(lines[-1], 400) if broken and ":" in lines[-1] else None


def tail(log: Path, most: int = _LOG_TAIL) -> str:
    """The end of what a training printed, control characters left out; empty where there is nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - most))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines[1 if len(lines) > 60 else 0 :])


def flags(values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> list[str]:
    """A request as words of a command line.

    Args:
        values: names of flags (`cost_weight` for `--cost-weight`) and their values.
        defaults: values that need no word.
    """
    words: list[str] = []
    for name, value in values.items():
        if name in _NOT_FLAGS:
            continue
        flag = "--" + name.replace("_", "-")
        if value is None or value is False or (defaults is not None and name in defaults and defaults[name] == value):
            continue
        if value is True:
            words.append(flag)
        elif name == "resolution":
            if value:
                words += [flag, ",".join(f"{share:g}:{side}" for share, side in value)]
        else:
            words.append(f"{flag}={value}" if str(value).startswith("-") else flag)
            words += [] if str(value).startswith("-") else [str(value)]
    return words


def to_request(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a parsed command line as JSON takes them, and where it was said; what is no flag is left out."""
    plain = {name: value for name, value in values.items() if name not in _NOT_FLAGS}
    return {name: str(value) if isinstance(value, Path) else value for name, value in plain.items()} | {
        "cwd": str(Path.cwd())
    }


def check_name(name: str) -> None:
    """Raises UserError unless DATASET/NAME is fit for a folder."""
    parts = name.split("/")
    for part in parts:
        fits = part[:1].isalnum() and all(c.isalnum() or c in "._-" for c in part) and part.isascii()
        if len(parts) != 2 or not fits or len(part) > NAME_LENGTH:
            raise UserError(
                f"expected a name of 1 to {NAME_LENGTH} letters, digits, dots, dashes, without spaces or slashes, got "
                f"{printable(name.partition('/')[2] or name)!r}: name it otherwise"
            )


def start(values: Mapping[str, Any], name: str, checkpoints: Path, runs: Path = RUNS, most: int = 1) -> Job:
    """Starts a training that moves to `checkpoints` under its name when it is done.

    Args:
        values: flags of `python -m core train` without `out`.
        name: DATASET/NAME.
        most: trainings at work at one time.

    Raises:
        UserError: the name is taken or unfit, enough trainings are at work, or the folder cannot be written.
    """
    check_name(name)
    folder = runs / name
    with _writable(runs), _turn(runs):
        if folder.exists() or (checkpoints / name).exists():
            raise UserError(f"expected a new name, got {name}, which there is already: choose another one")
        _check_room(runs, most)
        folder.mkdir(parents=True)
        request = to_request({**values, "checkpoints": checkpoints, "out": folder, "keep_as": name})
        try:
            write_json(folder / REQUEST_FILE, request)
            _launch(folder, request)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return read_job(folder, name)


def resume(job: Job, runs: Path = RUNS, most: int = 1) -> None:
    """Starts a training again; it goes on after its newest finished epoch.

    Raises:
        UserError: it is at work, it has no request, or enough trainings are at work.
    """
    with _writable(runs), _turn(runs):
        now = read_job(job.folder, job.name)
        if now.alive:
            raise UserError(f"expected a training at rest, got {job.name}, which is at work: let it work, or stop it")
        if not now.request:
            raise UserError(
                f"expected a training with {REQUEST_FILE}, got {job.name}, which has none: "
                "go on with the command it was started with"
            )
        _check_room(runs, most)
        _launch(job.folder, now.request)


def stop(job: Job, patience: float = _PATIENCE) -> None:
    """Stops a training; what is finished of it, whole epochs, stays.

    Raises:
        UserError: its process does not end.
    """
    process = running_process(job.folder)
    if process is None:
        return
    (job.folder / STOP_FILE).touch()
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)
        begun = time.monotonic()
        while time.monotonic() - begun < patience:
            if running_process(job.folder) is None:
                return
            time.sleep(0.05)
    raise UserError(f"expected process {process} of {job.name} to end, got one that goes on: end it by hand")


def remove(job: Job) -> None:
    """Deletes a training's folder.

    Raises:
        UserError: it is at work.
    """
    if read_job(job.folder, job.name).alive:
        raise UserError(f"expected a training at rest, got {job.name}, which is at work: stop it first")
    shutil.rmtree(job.folder, ignore_errors=True)


def begin(folder: Path, request: Mapping[str, Any]) -> None:
    """Notes in a training's folder, held by this process, who trains there and what; clears what was left half done."""
    sweep(folder)
    for name in (STOP_FILE, PROGRESS_FILE):
        (folder / name).unlink(missing_ok=True)
    note_process(folder, os.getpid())
    if not (folder / REQUEST_FILE).exists() or not (folder / STATE_FILE).exists():
        write_json(folder / REQUEST_FILE, request)


def clear(folder: Path) -> None:
    """Takes everything out of a finished training's folder that was for the time of the training."""
    for name in PASSING_FILES:
        (folder / name).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Deletes half-written files of a training that was killed: in its folder, and the folder's own beside it."""
    beside = [path for path in _inside(folder.parent) if path.name.startswith(f".{folder.name}.")]
    for path in [*_inside(folder), *beside]:
        if path.name.endswith((".partial", ".part")):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a checkpoint and nothing is left to do."""
    return (folder / CARD_FILE).exists() and not (folder / STATE_FILE).exists()


def refuse_finished(folder: Path) -> None:
    """Raises UserError where nothing is left to train."""
    if is_finished(folder):
        raise UserError(
            f"expected an unfinished training or a new folder, got the finished checkpoint {folder}: "
            "choose another --out"
        )


def keep(folder: Path, target: Path) -> None:
    """Moves a finished training to where checkpoints lie, in one step.

    Raises:
        UserError: something lies there already.
    """
    if target.exists():
        raise UserError(
            f"expected no folder {target}, got one: move it away and run again, or keep the checkpoint in {folder}"
        )
    sweep(target)
    for name in PASSING_FILES:
        if name != LOCK_FILE:  # held to the end
            (folder / name).unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError:  # another file system: copy beside the place, then one step
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        shutil.copytree(folder, partial)
        partial.rename(target)
        shutil.rmtree(folder, ignore_errors=True)
    (target / LOCK_FILE).unlink(missing_ok=True)


def finished(checkpoints: Path) -> list[str]:
    """Names of the checkpoints that were trained here by request, the newest first."""
    found = [(path.stat().st_mtime, path.parent) for path in checkpoints.glob(f"*/*/{REQUEST_FILE}")]
    return [folder.relative_to(checkpoints).as_posix() for _, folder in sorted(found, reverse=True)]


@contextmanager
def hold(folder: Path, patience: float = 1.0) -> Iterator[None]:
    """Keeps everybody else from training in a folder; a process that ends, however it ends, lets go.

    Args:
        patience: seconds to wait, for a reader looks whether a folder is held by holding it for an instant.

    Raises:
        UserError: another training has it.
    """
    if fcntl is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a") as file:
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - begun >= patience:
                    raise UserError(
                        f"expected a folder that nobody trains in, got {folder}, where another training is at work: "
                        "let it finish, stop it, or use another --out"
                    ) from None
                time.sleep(0.02)
        yield


def is_locked(folder: Path) -> bool:
    """Whether somebody trains in a folder."""
    if fcntl is None:
        return False
    try:
        with (folder / LOCK_FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def note_process(folder: Path, pid: int) -> None:
    """Writes down who trains in a folder."""
    write_json(folder / PROCESS_FILE, {"pid": pid, "started": _started(pid)})


def running_process(folder: Path) -> int | None:
    """The id of the process that trains in a folder; None where there is none any more, whoever has its id now."""
    noted = _read(folder / PROCESS_FILE)
    pid, started = noted.get("pid"), noted.get("started")
    if not isinstance(pid, int) or pid <= 0 or started is None:
        return None
    return pid if _started(pid) == started else None


def _started(pid: int) -> str | None:
    """When a process began, in words of the system; None where there is none, or nothing but its exit code."""
    if Path("/proc/self/stat").exists():
        try:
            words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return None if words[0] in "ZX" else f"{boot} {words[19]}"  # state, and field 22 of the whole line
    try:
        told = subprocess.run(
            ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    state, _, since = told.stdout.strip().partition(" ")
    return None if not since or state.startswith("Z") else since.strip()


def _launch(folder: Path, request: Mapping[str, Any]) -> None:
    """Starts the process in a session of its own: it outlives whoever starts it."""
    words = flags({**request, "out": folder.absolute()})
    where = Path(str(request.get("cwd", PROJECT)))
    for name in (STOP_FILE, PROGRESS_FILE):
        (folder / name).unlink(missing_ok=True)
    with (folder / LOG_FILE).open("ab") as log:
        log.write(f"{_BEGIN}{shlex.join(words)}\n".encode())
        log.flush()
        child = subprocess.Popen(
            [sys.executable, "-m", "core", "train", *words],
            cwd=where if where.is_dir() else PROJECT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH")))),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    Thread(target=child.wait, daemon=True).start()  # else its exit code waits for us for ever
    note_process(folder, child.pid)
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, 5)  # pages answer while it works


def _check_room(runs: Path, most: int) -> None:
    busy = [job.name for job in list_jobs(runs) if job.alive]
    if len(busy) >= most:
        raise UserError(
            f"expected at most {most} training{'s' if most > 1 else ''} at one time, got {', '.join(busy)} at work: "
            "wait until it is done, or stop it"
        )


@contextmanager
def _turn(runs: Path) -> Iterator[None]:
    """One start at a time, whoever asks."""
    runs.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    with (runs / LOCK_FILE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _writable(runs: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"expected room to write below {runs}, got {error.strerror or type(error).__name__}: make room"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """A small JSON object; empty where there is none to read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replaces a small file as a whole."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
