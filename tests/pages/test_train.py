"""The Train page as a script: what the form refuses, and how trainings in every state are shown."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache, training_charts, training_form
from core.benchmarks.kill import make_pictures
from core.checkpoints import CHECKPOINTS
from core.training import jobs

MAIN = str(Path(__file__).parents[2] / "app/main.py")
MODEL = "mnist/eenet8"
REQUEST = {"dataset": "mnist", "model": "eenet8", "exits": 2, "epochs": 4, "out": "runs/mnist/mine"}
LINES = [
    {
        "epoch": epoch,
        "loss_name": "unweighted",
        "loss": 2.0 / epoch,
        "training_accuracy": [0.4, 0.5, 0.7],
        "mean_cost": 0.6,
        "exit_shares": [0.25, 0.25, 0.5],
        "leave_when": "probability >= 0.9",
        "seconds": 3,
    }
    for epoch in (1, 2)
]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Runs and checkpoints of its own, one network among them; no process is ever started."""
    runs, kept = tmp_path / "runs", tmp_path / "checkpoints"
    shutil.copytree(CHECKPOINTS / MODEL, kept / MODEL)
    monkeypatch.setattr(cache, "ROOT", kept)
    monkeypatch.setattr(jobs, "RUNS", runs)
    launched: list[dict] = []
    monkeypatch.setattr(jobs, "_launch", lambda folder, request: launched.append(dict(request)))
    st.cache_data.clear()
    yield runs, kept, launched
    st.cache_data.clear()


def open_page(**parameters: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=60)
    app.run()
    app.query_params.clear()
    app.query_params.update(parameters)
    return app.switch_page("../pages/train.py").run()


def prepared(runs: Path, epochs: int = 2, **files: object) -> Path:
    """The folder of a training `mnist/mine`."""
    folder = runs / "mnist" / "mine"
    folder.mkdir(parents=True)
    contents = {"request.json": REQUEST, **{name.replace("__", "."): value for name, value in files.items()}}
    for name, value in contents.items():
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    if epochs:
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES[:epochs]))
    return folder


def words(app: AppTest) -> str:
    """All that is said in HTML on the page."""
    return " ".join(part.proto.body for part in app.get("html"))


def errors(app: AppTest) -> list[str]:
    assert not app.exception
    lines = [error.value.replace("\\", "") for error in app.error]
    assert all("\n" not in line for line in lines)
    return lines


def keys(app: AppTest) -> set[str]:
    return {button.key for button in app.button}


def test_a_newcomer_can_start_something_useful_at_once(places):
    _, kept, launched = places
    app = open_page()
    assert errors(app) == []
    assert "EENet-8 on MNIST with 2 early exits" in words(app)
    assert "5,340" not in words(app)  # plain heads have more parameters than pooled ones
    assert "python -m core train --dataset mnist --model eenet8 --exits 2" in app.code[0].value
    assert "--keep-as mnist/my-eenet8" in app.code[0].value
    start = app.button(key="train_start")
    assert not start.disabled
    start.click().run()
    (request,) = launched
    assert (request["dataset"], request["model"], request["exit_type"]) == ("mnist", "eenet8", "plain")
    assert request["keep_as"] == "mnist/my-eenet8" and request["checkpoints"] == str(kept)
    assert app.query_params["training"] == "mnist/my-eenet8"
    # nothing runs, so the second start is not refused; it gets a name of its own
    app.segmented_control(key="train_open").set_value("new").run()
    assert "--keep-as mnist/my-eenet8-2" in app.code[0].value


def test_what_was_typed_last_counts_when_start_is_pressed_at_once(places):
    app = open_page()
    app.number_input(key="train_epochs_short").set_value(3)
    app.button(key="train_start").click().run()
    (request,) = places[2]
    assert request["epochs"] == 3
    app.segmented_control(key="train_open").set_value("new").run()
    app.number_input(key="train_cost_weight").set_value(-1.0)
    app.button(key="train_start").click().run()
    assert len(places[2]) == 1 and errors(app)[0].startswith("Expected a cost weight of 0 or more")


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("train_exits", 99, "Expected at most 2 early exits with placement linear on this network, got 99"),
        ("train_cost_weight", -1.0, "Expected a cost weight of 0 or more, got -1"),
        ("train_name", "../x", "Expected a name of 1 to 60 letters, digits, dots, dashes, without"),
        ("train_name", "eenet8", "Expected a new name, got mnist/eenet8, which there is already"),
        ("train_resolution", True, "Expected exit type pool, bnpool or grid with smaller images, got plain"),
    ],
)
def test_what_makes_no_sense_gets_the_line_of_the_command_line(places, key, value, line):
    app = open_page()
    if key == "train_exits":
        app.selectbox(key="train_placement").set_value("linear").run()
    element = next(e for kind in ("number_input", "text_input", "checkbox") for e in app.get(kind) if e.key == key)
    element.set_value(value).run()
    (said,) = errors(app)
    assert said.startswith(line)
    assert app.button(key="train_start").disabled


def test_a_missing_dataset_says_where_to_put_it(places, tmp_path):
    app = open_page()
    app.text_input(key="train_data_dir").set_value(str(tmp_path)).run()
    app.checkbox(key="train_download").set_value(False).run()
    (said,) = errors(app)
    assert f"expected the four files *-ubyte in {tmp_path}/MNIST/raw" in said and "let it be downloaded" in said
    assert app.button(key="train_start").disabled
    app.selectbox(key="train_dataset").set_value("tiny-imagenet").run()
    (said,) = errors(app)
    assert "tiny-imagenet-200.zip" in said and "downloaded" not in said


def own(app: AppTest, path: Path) -> list[str]:
    app.selectbox(key="train_dataset").set_value("own").run()
    app.text_input(key="train_path").set_value(str(path)).run()
    return errors(app)


@pytest.mark.parametrize(
    ("folders", "images", "packed", "line"),
    [
        (1, 9, False, "expected two classes or more"),
        (2, 1, True, "at least 5 images of each class, got 1 of"),
        (300, 2, False, "at least 5 images of each class, got 2 of"),
        (0, 9, True, "expected one sub-folder of images per class"),
    ],
)
def test_own_images_that_cannot_be_used(places, tmp_path, folders, images, packed, line):
    root = tmp_path / "pictures"
    root.mkdir()
    for n in range(folders):
        (root / f"class{n}").mkdir()
        for k in range(images):
            (root / f"class{n}" / f"{k}.png").write_bytes(b"")
    if packed:
        path = tmp_path / "pictures.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "x")
            for file in root.rglob("*.png"):
                archive.write(file, file.relative_to(root))
        root = path
    app = open_page()
    (said,) = own(app, root)
    assert line in said
    assert app.button(key="train_start").disabled


def test_own_images(places, tmp_path):
    app = open_page()
    assert own(app, make_pictures(tmp_path / "Half Pictures")) == []
    assert "--keep-as half-pictures/my-eenet8" in app.code[0].value
    assert "which is not there" in own(app, tmp_path / "nowhere")[0]


def test_an_uploaded_zip_is_kept_below_runs(places):
    runs, _, launched = places
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("cat", "dog"):
            for k in range(6):
                archive.writestr(f"{name}/{k}.png", b"never looked at here")
    app = open_page()
    app.selectbox(key="train_dataset").set_value("upload").run()
    assert errors(app) == ["Bring a zip with one folder per class"]
    app.file_uploader(key="train_upload").set_value(("My pets!.zip", buffer.getvalue(), "application/zip")).run()
    assert errors(app) == []
    app.button(key="train_start").click().run()
    (request,) = launched
    assert Path(request["dataset"]).name == "My-pets.zip"
    assert Path(request["dataset"]).read_bytes() == buffer.getvalue() and runs in Path(request["dataset"]).parents


def test_a_training_at_work_is_shown_live_and_can_be_stopped(places, monkeypatch):
    progress = {"phase": "training", "done": 25, "total": 40, "epoch": 3, "epochs": 4, "seconds_left": 200}
    folder = prepared(places[0], progress__json=progress)
    jobs.note_process(folder, os.getpid())
    app = open_page(training="mnist/mine")
    assert errors(app) == []
    assert "mnist/mine</b> is training: 2 of 4 epochs are done; its last exit is right on 70.0 %" in words(app)
    (bar,) = app.get("progress")
    assert bar.proto.text == "Epoch 3 of 4, step 5 of 10 · about 3 minutes left with all that follows (an estimate)"
    assert bar.proto.value == 62
    assert len(app.get("plotly_chart")) == 4
    shares = json.loads(app.get("plotly_chart")[3].proto.spec)["data"]
    assert [trace["y"] for trace in shares] == [[25.0, 25.0], [25.0, 25.0], [50.0, 50.0]]
    assert "90 % likely" in app.caption[-1].value
    assert keys(app) == {"train_stop"}
    stopped = []
    monkeypatch.setattr(jobs, "stop", stopped.append)
    app.button(key="train_stop").click().run()
    assert [job.name for job in stopped] == ["mnist/mine"]


def test_a_second_training_is_refused_while_one_is_at_work(places):
    jobs.note_process(prepared(places[0]), os.getpid())
    app = open_page()
    app.button(key="train_start").click().run()
    (said,) = errors(app)
    assert said.startswith("Expected at most 1 training at one time, got mnist/mine at work")
    assert places[2] == []


@pytest.mark.parametrize(
    ("files", "said", "buttons"),
    [
        ({}, "was ended from outside: 2 of 4 epochs are done and kept", {"train_resume", "train_remove"}),
        ({"stopped": ""}, "was stopped: 2 of 4 epochs are done and kept", {"train_resume", "train_remove"}),
        ({"log__txt": "error: no room *here*"}, "failed after 2 of 4 epochs", {"train_resume", "train_remove"}),
        ({"card__json": {}}, "is finished; its folder lies below runs/", {"train_keep", "train_remove"}),
    ],
)
def test_trainings_at_rest(places, files, said, buttons):
    prepared(places[0], **files)
    app = open_page(training="mnist/mine")
    assert said in words(app)
    assert keys(app) == buttons
    assert errors(app) == (["No room *here*"] if "log__txt" in files else [])


def test_go_on_and_remove(places):
    runs, _, launched = places
    folder = prepared(runs)
    app = open_page(training="mnist/mine")
    app.button(key="train_resume").click().run()
    assert launched == [REQUEST]
    app.button(key="train_remove").click().run()
    assert not app.exception and not folder.exists()
    assert "training" not in app.query_params
    assert "EENet-8 on MNIST" in words(app)


def test_a_training_without_request_is_shown_and_left_alone(places):
    folder = places[0] / "cifar10" / "long"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(b"x")
    app = open_page(training="cifar10/long")
    assert "was not started in a way that can be followed" in words(app)
    assert keys(app) == set()


def test_a_finished_one_leads_to_explore(places):
    kept = places[1]
    (kept / MODEL / "request.json").write_text(json.dumps(REQUEST))
    app = open_page(training=MODEL)
    assert errors(app) == []
    assert "mnist/eenet8</b> is finished: its last exit is right on 9" in words(app)
    (link,) = app.get("page_link")
    assert link.proto.query_string == "model=mnist%2Feenet8"
    assert len(app.get("plotly_chart")) == 4


def test_a_link_to_nothing_is_one_line(places):
    prepared(places[0])
    app = open_page(training="mnist/*gone*")
    (warning,) = app.warning
    assert "expected one of the list" in warning.value and "\n" not in warning.value
    assert "training" not in app.query_params and "train_start" in keys(app)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0.4, "under a minute"), (1.2, "1 minute"), (4.4, "4 minutes"), (100, "2 hours"), (4000, "3 days")],
)
def test_durations_in_words(minutes, said):
    assert training_form.rough(minutes) == said


def test_names_of_lines_keep_apart():
    assert training_charts.spread([50, 90, 89, 88], 5) == [50, 90, 85, 80]
    assert training_charts.spread([10, 30, 20], 5) == [10, 30, 20]
