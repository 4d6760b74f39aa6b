"""`python -m core train` from a folder of pictures to a checkpoint that the dashboard can open."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from core.checkpoints import list_checkpoints, load_network, load_trace
from core.errors import UserError
from core.feature_map import load_feature_map
from core.training.command import add_arguments, run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two classes of 12 x 12 pictures: bright tops and bright bottoms."""
    folder = tmp_path_factory.mktemp("data") / "halves"
    rng = np.random.default_rng(0)
    for name, rows in (("bottom", slice(6, 12)), ("top", slice(0, 6))):
        (folder / name).mkdir(parents=True)
        for number in range(80):
            picture = rng.integers(0, 90, (12, 12, 3))
            picture[rows] += 120
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def arguments(pictures, out, *more) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = ["--dataset", str(pictures), "--size", "12", "--model", "eenet8", "--exits", "2", "--epochs", "4"]
    return parser.parse_args([*flags, "--batch-size", "16", "--learning-rate", "0.05", "--out", str(out), *more])


def test_a_folder_of_pictures_becomes_a_checkpoint(pictures, tmp_path):
    metrics = run(arguments(pictures, tmp_path / "halves" / "eenet8"))
    assert metrics["test"]["exit_accuracy"][-1] > 0.9
    (entry,) = list_checkpoints(tmp_path)
    assert entry.name == "halves/eenet8"
    assert entry.problem is None
    assert entry.card.class_names == ("bottom", "top")
    assert entry.card.metrics["test"]["n"] == metrics["test"]["n"]
    network, _ = load_network(entry.name, root=tmp_path)
    assert network.num_exits == 3
    tests, calibration = (load_trace(entry.name, split, root=tmp_path) for split in ("test", "calibration"))
    assert tests.correct.mean(axis=0).round(5).tolist() == metrics["test"]["exit_accuracy"]
    assert calibration.n + tests.n + entry.card.recipe["training_examples"] == 160
    chart = load_feature_map(entry.name, tmp_path)
    assert np.array_equal(chart.ids, tests.ids) and chart.num_exits == 3
    assert not list(entry.folder.glob("state*"))
    history = [json.loads(line) for line in (entry.folder / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    with pytest.raises(UserError, match="finished checkpoint"):
        run(arguments(pictures, tmp_path / "halves" / "eenet8"))


def test_a_plain_network_and_the_papers_recipe_train_too(pictures, tmp_path):
    plain = run(arguments(pictures, tmp_path / "a" / "plain", "--exits", "0"))
    assert len(plain["test"]["exit_accuracy"]) == 1
    paper = run(arguments(pictures, tmp_path / "a" / "paper", "--recipe", "paper", "--learning-rate", "0.001"))
    assert len(paper["test"]["exit_accuracy"]) == 3
    assert [entry.problem for entry in list_checkpoints(tmp_path)] == [None, None]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--exits", "9"), "at most 2 early exits"),
        (("--cost-weight", "nan"), "cost weight of 0 or more"),
        (("--early-exit-weight", "nan"), "weight of the early exits of 0 or more"),
        (("--cost-weight", "-1"), "cost weight of 0 or more"),
        (("--epochs", "0"), "epochs of 1 or more"),
        (("--dataset", "nowhere"), "expected a dataset"),
        (("--device", "tpu"), "expected a device"),
    ],
)
def test_bad_flags_get_one_line(pictures, tmp_path, flags, message):
    with pytest.raises(UserError, match=message) as caught:
        run(arguments(pictures, tmp_path / "x", *flags))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()
