"""Trainings as processes: what their files say, starting, stopping, kill -9, two into one folder, a full disk."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from core.benchmarks.kill import make_pictures
from core.checkpoints import list_checkpoints
from core.data.datasets import load_images
from core.errors import UserError
from core.network.registry import NetworkSpec
from core.training import command, jobs, state, trainer
from core.training.progress import Watch
from core.training.recipe import default_recipe
from core.training.trainer import train_network

ROOT = Path(__file__).parents[3]
LINE = {"epoch": 1, "loss_name": "unweighted", "loss": 1.5, "training_accuracy": [0.5, 0.6], "mean_cost": 0.7}
TINY = {"size": 12, "model": "eenet8", "exits": 2, "batch_size": 16, "learning_rate": 0.05, "device": "cpu"}


def folder_of(runs: Path, name: str = "pets/one", **files: object) -> Path:
    """A training's folder with these files: text as it is, anything else as JSON; `__` in a name is a dot."""
    folder = runs / name
    folder.mkdir(parents=True)
    for file, contents in files.items():
        text = contents if isinstance(contents, str) else json.dumps(contents)
        (folder / file.replace("__", ".")).write_text(text)
    return folder


def until(what, seconds: float = 60.0) -> None:
    """Waits for something to become true."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < seconds, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def sleeper(monkeypatch):
    """Instead of a training a process that sleeps."""
    started: list[subprocess.Popen] = []

    def launch(folder, request):
        (folder / jobs.STOP_FILE).unlink(missing_ok=True)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        started.append(child)
        jobs.note_process(folder, child.pid)

    monkeypatch.setattr(jobs, "_launch", launch)
    yield started
    for child in started:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("files", "expected", "problem"),
    [
        ({"request__json": {"epochs": 3}}, "killed", None),
        ({"request__json": {"epochs": 3}, "stopped": ""}, "stopped", None),
        ({"request__json": {}, "log__txt": "begun\n"}, "foreign", None),
        ({"state__safetensors": "x"}, "foreign", None),
        ({"request__json": {"epochs": 3}, "card__json": {}, "state__safetensors": "x"}, "killed", None),
        ({"request__json": {"epochs": 3}, "card__json": {}}, "finished", None),
        ({"request__json": {"epochs": 3}, "log__txt": "a\nerror: expected more\n"}, "failed", "expected more"),
        ({"request__json": {"epochs": 3}, "log__txt": "error: old\n--- python -m core train\n"}, "killed", None),
        (
            {"request__json": {"epochs": 3}, "log__txt": "Traceback (most recent call last):\n  x\nValueError: odd\n"},
            "failed",
            "ValueError: odd",
        ),
        ({"request__json": {"epochs": 3}, "progress__json": {"error": "too full"}}, "failed", "too full"),
        ({"request__json": {"epochs": 3}, "progress__json": '{"cut of'}, "killed", None),
    ],
)
def test_files_tell_the_state(tmp_path, files, expected, problem):
    folder = folder_of(tmp_path, **files)
    job = jobs.read_job(folder, "pets/one")
    assert (job.state, job.problem, job.alive) == (expected, problem, False)


def test_a_listing_names_what_is_a_training_and_nothing_else(tmp_path):
    folder_of(tmp_path, "b/rest", request__json={"epochs": 3}, history__jsonl=json.dumps(LINE) + "\n" + "{half")
    work = folder_of(tmp_path, "z/work", request__json={"epochs": 3})
    jobs.note_process(work, os.getpid())
    folder_of(tmp_path, "a/checkpoint", card__json={})
    (tmp_path / "empty").mkdir()
    listed = jobs.list_jobs(tmp_path)
    assert [(job.name, job.state) for job in listed] == [("z/work", "preparing"), ("b/rest", "killed")]
    assert listed[1].history == ()  # a damaged history is none
    assert jobs.find_job("b/rest", tmp_path).epochs == 3 and jobs.find_job("b/none", tmp_path) is None


def test_a_process_id_that_somebody_else_got_is_not_taken_for_the_training(tmp_path):
    folder = folder_of(tmp_path, request__json={"epochs": 3})
    jobs.note_process(folder, os.getpid())
    assert jobs.running_process(folder) == os.getpid()
    noted = json.loads((folder / jobs.PROCESS_FILE).read_text())
    (folder / jobs.PROCESS_FILE).write_text(json.dumps(noted | {"started": noted["started"] + "1"}))
    assert jobs.running_process(folder) is None
    jobs.stop(jobs.read_job(folder, "pets/one"))  # and nobody is killed for it: this test goes on
    for nonsense in ({"pid": 1}, {"pid": "1", "started": "x"}, {"pid": -1, "started": None}, []):
        (folder / jobs.PROCESS_FILE).write_text(json.dumps(nonsense))
        assert jobs.running_process(folder) is None


def test_start_stop_go_on_remove(tmp_path, sleeper):
    runs, kept = tmp_path / "runs", tmp_path / "checkpoints"
    job = jobs.start({"dataset": "pets", "model": "eenet8"}, "pets/mine", kept, runs)
    assert job.state == "preparing"
    request = json.loads((job.folder / jobs.REQUEST_FILE).read_text())
    assert request["keep_as"] == "pets/mine" and request["checkpoints"] == str(kept)
    with pytest.raises(UserError, match="which there is already"):
        jobs.start({}, "pets/mine", kept, runs)
    with pytest.raises(UserError, match=r"at most 1 training at one time, got pets/mine at work"):
        jobs.start({}, "pets/other", kept, runs)
    with pytest.raises(UserError, match="stop it first"):
        jobs.remove(job)
    with pytest.raises(UserError, match="at work"):
        jobs.resume(job, runs)
    jobs.stop(job)
    assert sleeper[0].poll() is not None or sleeper[0].wait() < 0
    assert jobs.read_job(job.folder, job.name).state == "stopped"
    jobs.resume(job, runs)
    assert jobs.read_job(job.folder, job.name).state == "preparing" and len(sleeper) == 2
    sleeper[1].send_signal(signal.SIGKILL)  # from outside; its exit code waits for its parent meanwhile
    until(lambda: jobs.read_job(job.folder, job.name).state == "killed")
    jobs.remove(job)
    assert jobs.list_jobs(runs) == []


@pytest.mark.parametrize(
    "name", ["pets", "pets/", "../x", "pets/../x", "pets/a b", "pets/.x", "a/b/c", "pets/" + 99 * "x"]
)
def test_names_are_fit_for_a_folder(tmp_path, name):
    with pytest.raises(UserError, match="expected a name of"):
        jobs.start({}, name, tmp_path, tmp_path / "runs")
    assert not (tmp_path / "runs" / name).exists() or name in ("pets/", "pets")


def test_two_trainings_into_one_folder(tmp_path):
    holder = "import sys, time; from pathlib import Path; from core.training.jobs import hold\n"
    holder += "with hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holder, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout.readline() == b"held\n"
            assert jobs.is_locked(tmp_path)
            with pytest.raises(UserError, match="another training is at work") as caught, jobs.hold(tmp_path, 0.1):
                pass
            assert "\n" not in str(caught.value)
        finally:
            first.kill()  # however it ends, it lets go
    assert not jobs.is_locked(tmp_path)
    with jobs.hold(tmp_path):
        pass


def test_a_request_is_a_command_line_and_back():
    values = {**TINY, "dataset": "my pets", "cost_weight": -1.0, "resolution": ((0.3, 8),), "small_traces": True}
    parsed = vars(command.parse(jobs.flags({**values, "out": "x", "parent": None})))
    assert {name: parsed[name] for name in values} == values
    line = command.shortest({"dataset": "mnist", "model": "eenet8", "exits": 2, "epochs": 6, "seed": 0, "out": "a b"})
    assert line == "python -m core train --dataset mnist --model eenet8 --exits 2 --epochs 6 --out 'a b'"
    with pytest.raises(UserError, match="invalid choice"):
        command.parse(["--dataset", "mnist", "--model", "alexnet", "--out", "x"])


def test_what_is_finished_moves_in_one_step_also_to_another_disk(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "runs", card__json={}, request__json={}, log__txt="x", progress__json={})
    target = tmp_path / "checkpoints" / "pets" / "one"
    real = Path.rename

    def rename(path, to):
        if path == folder:
            raise OSError(errno.EXDEV, "another disk")
        return real(path, to)

    monkeypatch.setattr(Path, "rename", rename)
    jobs.keep(folder, target)
    assert sorted(path.name for path in target.iterdir()) == ["card.json", "request.json"]
    assert not folder.exists() and [path.name for path in target.parent.iterdir()] == ["one"]
    assert jobs.finished(tmp_path / "checkpoints") == ["pets/one"]
    with pytest.raises(UserError, match="expected no folder"):
        jobs.keep(folder_of(tmp_path / "runs", card__json={}), target)


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("pictures") / "halves")


def test_a_training_from_start_over_kill_to_checkpoint(halves, tmp_path):
    runs, kept = tmp_path / "runs", tmp_path / "checkpoints"
    job = jobs.start({**TINY, "dataset": str(halves), "epochs": 20, "loss": "unweighted"}, "halves/mine", kept, runs)
    until(lambda: len(jobs.read_job(job.folder, job.name).history) >= 2)
    now = jobs.read_job(job.folder, job.name)
    assert now.state == "running" and now.progress["epochs"] == 20 and 0 < now.progress["done"] <= 20 * 3
    os.kill(jobs.running_process(job.folder), signal.SIGKILL)
    until(lambda: jobs.read_job(job.folder, job.name).state == "killed")
    before = len(jobs.read_job(job.folder, job.name).history)
    jobs.resume(job, runs)
    until(lambda: jobs.find_job(job.name, runs) is None, 120)
    (entry,) = list_checkpoints(kept)
    assert entry.name == "halves/mine" and entry.problem is None and entry.card.recipe["epochs"] == 20
    assert len(jobs.read_history(entry.folder / "history.jsonl")) == 20 > before
    left = {path.name for path in entry.folder.iterdir()}
    assert not left & {*jobs.PASSING_FILES, jobs.STATE_FILE} and jobs.REQUEST_FILE in left
    assert jobs.finished(kept) == ["halves/mine"]
    assert (kept / "halves" / "test-images.json").exists()  # galleries have something to show


def test_kill_9_at_random_moments_quickly():
    """Two of them, without confidences; `python -m core benchmark kill` does forty."""
    program = "import json; from core.benchmarks.kill import trial; print(json.dumps(trial(1, loss='unweighted')))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["unequal"] == 0
    assert result["killed_at_random_times"] == result["killed_at_random_file_operations"] == 1


@pytest.fixture
def training(halves):
    data = load_images(str(halves), "training", halves, size=12)
    spec = NetworkSpec("eenet8", 2, "pareto", "pool", (3, 12, 12), 2)
    return default_recipe(str(halves), spec, epochs=3, batch_size=16, learning_rate=0.05), data


@pytest.mark.parametrize("how", ["limit", "half a file"])
def test_a_full_disk_leaves_the_state_before_whole(training, tmp_path, monkeypatch, how):
    recipe, data = training
    whole, _ = train_network(recipe, data, tmp_path / "whole", torch.device("cpu"))
    real_save, real_file = trainer.save_state, state.save_file

    def no_room(tensors, path, metadata):
        real_file(tensors, path, metadata=metadata)
        os.truncate(path, 1234)
        raise OSError(errno.ENOSPC, "No space left on device")

    def save(folder, network, optimizer, about, progress):
        if progress.epoch != 2:
            return real_save(folder, network, optimizer, about, progress)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            if how == "limit":  # the system itself refuses to write on
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            else:
                monkeypatch.setattr(state, "save_file", no_room)
            return real_save(folder, network, optimizer, about, progress)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            monkeypatch.setattr(state, "save_file", real_file)

    monkeypatch.setattr(trainer, "save_state", save)
    out = tmp_path / "out"
    full = pytest.raises(UserError, match=r"expected room to write in .*: make room and run again")
    with full as caught, command.one_line_where_full(out):
        train_network(recipe, data, out, torch.device("cpu"))
    assert "\n" not in str(caught.value)
    assert not list(out.glob("*.partial"))
    assert [line["epoch"] for line in jobs.read_history(out / "history.jsonl")] == [1]
    monkeypatch.setattr(trainer, "save_state", real_save)
    resumed, progress = train_network(recipe, data, out, torch.device("cpu"))
    assert [line["epoch"] for line in progress.history] == [1, 2, 3]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_the_estimate_by_hand(training, tmp_path):
    recipe, _ = training
    clock = [0.0]
    watch = Watch(tmp_path, recipe, examples=39, clock=lambda: clock[0])
    watch("training", 1, 300)  # 3 epochs of 100 steps
    for step in range(2, 62):
        clock[0] += 0.9
        watch("training", step, 300)
    assert watch.seconds_left(61, 300) is None  # 54 s
    for step in range(62, 102):
        clock[0] += 0.9
        watch("training", step, 300)
    # 199 steps of 0.9 s; then 300 batches of 512 and twice 0.6 x 39 images, forward only, at 16 images in 0.9 s
    expected = 199 * 0.9 + (300 * 512 + 2 * 0.6 * 39) / 3 / 16 * 0.9
    assert watch.seconds_left(101, 300) == pytest.approx(expected)
    told = json.loads((tmp_path / jobs.PROGRESS_FILE).read_text())
    assert (told["phase"], told["epoch"], told["epochs"]) == ("training", 2, 3)
    watch("confidences", 1, 10)
    clock[0] += 2
    watch("confidences", 5, 10)
    told = json.loads((tmp_path / jobs.PROGRESS_FILE).read_text())
    assert told == {"phase": "confidences", "done": 5, "total": 10, "epochs": 3, "seconds_left": 2}


def test_an_estimate_with_smaller_images_first(training, tmp_path):
    recipe = default_recipe(
        "x", training[0].network, epochs=4, batch_size=16, resolution=((0.5, 6),), method="end-to-end"
    )
    clock = [0.0]
    watch = Watch(tmp_path, recipe, examples=0, clock=lambda: clock[0])
    for step in range(1, 151):
        watch("training", step, 400)
        clock[0] += 1.0
    # 50 more steps at 6 pixels, 200 at 12 of four times the area
    assert watch.seconds_left(150, 400) == pytest.approx(50 + 200 * 4)


def test_an_example_alone_joins_the_batch_before():
    sizes = [len(batch) for batch in trainer._batches(torch.arange(33), 16)]
    assert sizes == [16, 17]
    assert [len(batch) for batch in trainer._batches(torch.arange(34), 16)] == [16, 16, 2]
    assert [len(batch) for batch in trainer._batches(torch.arange(1), 16)] == [1]


def test_a_diverging_training_says_so_in_one_line(training, tmp_path):
    recipe, data = training
    wild = default_recipe("x", recipe.network, epochs=2, batch_size=16, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(UserError, match="expected a finite loss, got nan in epoch"):
        train_network(wild, data, tmp_path, torch.device("cpu"))


@pytest.mark.parametrize(
    "resolution", [((0.5, 0),), ((0.5, 13),), ((-1, 8),), ((float("nan"), 8),), ((0.7, 8), (0.7, 8))]
)
def test_odd_resolutions_are_refused(training, resolution):
    with pytest.raises(UserError, match="expected s"):
        default_recipe("x", training[0].network, resolution=resolution)


def test_images_too_small_for_a_network_get_one_line(halves, tmp_path):
    wish = {**TINY, "model": "eevgg16", "stem": "small", "width": 0.1, "dataset": str(halves), "out": tmp_path / "x"}
    with pytest.raises(UserError, match="expected images large enough for eevgg16, got 12 x 12 pixels"):
        command.run(command.parse(jobs.flags(wish)))
    assert not (tmp_path / "x").exists()


def test_shares_of_a_training_whose_confidences_wait_follow_the_probability():
    meter = trainer.EpochMeter(3, by_confidence=False)
    sure, unsure = [5.0, 0.0], [0.0, 0.1]  # softmax 0.993 and 0.525
    logits = torch.tensor([[sure, unsure, unsure], [unsure, sure, unsure], [unsure, unsure, unsure]])
    outputs = trainer.ExitOutputs(logits, torch.full((3, 3), 9.0))
    meter.add(1.0, outputs, torch.zeros(3, dtype=torch.int64), torch.tensor([0.25, 0.5, 1.0]))
    line = meter.line()
    assert np.allclose(line["exit_shares"], [1 / 3, 1 / 3, 1 / 3], atol=1e-4)
    assert line["mean_cost"] == pytest.approx((0.25 + 0.5 + 1) / 3, abs=1e-4)
    assert line["leave_when"] == "probability >= 0.9"


def test_a_kill_between_state_and_history_loses_no_line(training, tmp_path, monkeypatch):
    recipe, data = training

    def die(folder, progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(state, "write_history", die)
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, data, tmp_path, torch.device("cpu"))
    monkeypatch.undo()
    train_network(recipe, data, tmp_path, torch.device("cpu"))
    assert [line["epoch"] for line in jobs.read_history(tmp_path / "history.jsonl")] == [1, 2, 3]


def test_looking_at_trainings_and_checking_a_request_needs_no_torch():
    program = (
        "import sys, core.training.jobs, core.training.command, core.training.recipe; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
