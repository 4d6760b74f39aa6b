"""The command line: one JSON object or one line on stderr."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.analysis.policy import Measured, PolicyFile
from core.analysis.sweep import operating_point
from core.checkpoints import Card, checkpoint_hash, load_trace, save_checkpoint, trace_path
from core.cli import main
from core.data.datasets import ImageSet
from core.data.embedded import write_embedded
from core.data.preprocess import Preprocessing
from core.network.registry import NetworkSpec, build_network
from core.trace import Trace

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT / "tests" / "data" / "eenet20_cifar10.safetensors"
NAME = "shapes/eenet8"
N = 80

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one checkpoint of random weights and its embedded test images."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    spec = NetworkSpec("eenet8", 2, "pareto", "pool", (1, 16, 16), 3)
    network, cost = build_network(spec)
    preprocessing = Preprocessing(channels=1, size=16, mean=(0.5,), std=(0.25,))
    card = Card("EENet-8", "shapes", spec, preprocessing, ("disc", "ring", "star"), cost)
    save_checkpoint(root / NAME, network, card)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 1, 16, 16), dtype=np.uint8) // rng.integers(1, 9, (N, 1, 1, 1), dtype=np.uint8)
    write_embedded("shapes", ImageSet(images, rng.integers(0, 3, N), np.arange(N), card.class_names), root)
    assert main(["trace", NAME, "--split", "test", "--device", "cpu", "--json", "--checkpoints", str(root)]) == 0
    return root


@pytest.fixture
def run(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with `--json` and returns its one object."""

    def call(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*arguments, "--json", "--checkpoints", str(checkpoints)]) == 0
        printed = capsys.readouterr().out
        assert printed.endswith("\n")
        assert printed.count("\n") == 1
        values = json.loads(printed)
        assert isinstance(values, dict)
        return values

    return call


@pytest.fixture
def refuse(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail and returns its one line."""

    def call(*arguments: str) -> str:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        assert code == 2
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
        return printed.err

    return lambda *arguments: call(*arguments, "--checkpoints", str(checkpoints))


def test_a_small_trace_keeps_no_class_table(checkpoints: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(checkpoints, root)
    assert main(["trace", NAME, "--split=test", "--small", "--device=cpu", f"--checkpoints={root}"]) == 0
    small, full = (Trace.load(trace_path(folder / NAME, "test")) for folder in (root, checkpoints))
    assert small.log_probabilities is None and full.log_probabilities is not None
    assert np.array_equal(small.predicted, full.predicted)


def test_list(run: Run, checkpoints: Path) -> None:
    (checkpoints / "shapes" / "broken").mkdir(exist_ok=True)
    broken, whole = run("list")["checkpoints"]
    assert whole["name"] == NAME
    assert whole["problem"] is None
    assert whole["exits"] == 3
    assert len(whole["relative_cost"]) == 3
    assert broken["name"] == "shapes/broken"
    assert "expected card.json" in broken["problem"]


def test_evaluate_agrees_with_the_trace(run: Run, checkpoints: Path) -> None:
    trace = load_trace(NAME, root=checkpoints)
    for rule in ("probability", "margin", "entropy", "patience", "confidence"):
        scores = trace.rule_scores(rule)
        ordered = np.unique(scores[:, :-1].astype(float))
        middle = len(ordered) // 2
        for flags, thresholds in (
            (["--threshold", "1"], (1.0, 1.0)),
            (["--threshold", str((ordered[middle - 1] + ordered[middle]) / 2)], None),
            (["--thresholds", "1,0"], (1.0, 0.0)),
        ):
            done = run("evaluate", NAME, "--rule", rule, *flags, "--device", "cpu", "--batch-size", "7")
            point = operating_point(scores, trace.correct, trace.relative_cost, thresholds or done["thresholds"])
            assert done["exit_counts"] == list(point.exit_counts)
            assert done["accuracy"] == point.accuracy
            assert done["relative_cost"] == pytest.approx(point.relative_cost, abs=1e-12)
            assert done["full_accuracy"] == trace.correct[:, -1].mean()
    assert list(done) == [
        "checkpoint",
        "dataset",
        "split",
        "n",
        "rule",
        "thresholds",
        "accuracy",
        "relative_cost",
        "exit_counts",
        "full_accuracy",
        "images_per_second",
        "device",
    ]
    assert (done["checkpoint"], done["dataset"], done["split"], done["n"]) == (NAME, "shapes", "test", N)


def test_evaluate_starts_with_the_cards_threshold(run: Run) -> None:
    assert run("evaluate", NAME, "--rule", "margin")["thresholds"] == [pytest.approx(0.8)] * 2


def test_evaluate_runs_a_policy_file(run: Run, refuse: Callable[..., str], checkpoints: Path, tmp_path: Path) -> None:
    weights = checkpoint_hash(checkpoints / NAME)
    saved = PolicyFile(
        NAME, weights, "probability", (0.35, 0.5), (1.0, 0.5, 2.0), "by hand", (Measured("test", N, 0.3, 0.5),)
    )
    saved.write(tmp_path / "policy.json")
    done = run("evaluate", NAME, "--policy", str(tmp_path / "policy.json"))
    assert done["rule"] == "probability"
    assert done["thresholds"] == [0.35, 0.5]
    both = refuse("evaluate", NAME, "--policy", str(tmp_path / "policy.json"), "--rule", "margin")
    assert "expected --rule or --policy, got both" in both
    PolicyFile(NAME, "0" * 64, "margin", (0.5, 0.5), None, "by hand", saved.gave).write(tmp_path / "other.json")
    assert "expected the weights the policy was made for" in refuse(
        "evaluate", NAME, "--policy", str(tmp_path / "other.json")
    )
    assert "expected a policy file" in refuse("evaluate", NAME, "--policy", str(tmp_path / "none.json"))


def test_curve_is_exact(run: Run, checkpoints: Path) -> None:
    curve = run("curve", NAME, "--rule", "probability")
    trace = load_trace(NAME, root=checkpoints)
    scores = trace.rule_scores("probability")
    assert curve["threshold"][0] == 1
    assert all(a > b for a, b in zip(curve["threshold"], curve["threshold"][1:], strict=False))
    for row in range(0, len(curve["threshold"]), 9):
        point = operating_point(scores, trace.correct, trace.relative_cost, curve["threshold"][row])
        assert curve["accuracy"][row] == point.accuracy
        assert curve["relative_cost"][row] == point.relative_cost
    assert curve["n"] == N


def test_evaluate_on_a_folder_of_images(run: Run, refuse: Callable[..., str], tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(1)

    def add(name: str) -> None:
        for split in ("train", "test"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for k in range(6):
                Image.fromarray(rng.integers(0, 256, (20, 20), dtype=np.uint8)).save(folder / f"{k}.png")

    for name in ("disc", "ring", "star"):
        add(name)
    done = run("evaluate", NAME, "--dataset", str(tmp_path / "photos"), "--threshold", "0.4")
    assert done["n"] == 18
    add("moon")
    line = refuse("evaluate", NAME, "--dataset", str(tmp_path / "photos"))
    assert "expected classes disc, ring, star, got disc, moon, ring, star" in line


def test_import_reference(run: Run, refuse: Callable[..., str], checkpoints: Path, tmp_path: Path) -> None:
    out = tmp_path / "cifar10" / "paper"
    done = run("import-reference", str(REFERENCE), "--out", str(out))
    assert done["model"] == "eenet20"
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "model.safetensors"]
    assert "which exists: name another --out" in refuse("import-reference", str(REFERENCE), "--out", str(out))
    assert "got no file at" in refuse("import-reference", str(tmp_path / "no"), "--out", str(tmp_path / "x"))
    wrong = refuse("import-reference", str(REFERENCE), "--out", str(tmp_path / "x"), "--placement", "linear")
    assert "expected exits placed linear" in wrong
    pickled = tmp_path / "net.pth"
    torch.save({}, pickled)
    assert "never loaded" in refuse("import-reference", str(pickled), "--out", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "nope"], "expected a checkpoint among"),
        (["evaluate", "../etc"], "expected a checkpoint among"),
        (["evaluate", "shapes/broken"], "expected card.json in broken"),
        (["evaluate", NAME, "--rule", "luck"], "expected an exit rule among confidence"),
        (["evaluate", NAME, "--threshold", "2"], "expected thresholds from 0 to 1"),
        (["evaluate", NAME, "--threshold", "nan"], "expected thresholds from 0 to 1"),
        (["evaluate", NAME, "--thresholds", "0.1,0.2,0.3"], "expected 1 threshold for all or 2"),
        (["evaluate", NAME, "--thresholds", "a,b"], "expected numbers with commas between them, got 'a,b'"),
        (["evaluate", NAME, "--threshold", "0.5", "--thresholds", "0.1,0.2"], "not allowed with"),
        (["evaluate", NAME, "--device", "abacus"], "expected a device of this machine"),
        (["evaluate", NAME, "--batch-size", "0"], "expected a whole number of 1 or more, got '0'"),
        (["evaluate", NAME, "--dataset", "no/such/folder"], "expected a dataset"),
        (["evaluate"], "the following arguments are required: NAME"),
        (["curve", NAME, "--split", "calibration"], "got no such file: run `python -m core trace"),
        (["curve", NAME, "--split", "training"], "invalid choice: 'training'"),
        (["curve", NAME, "--rule", "luck"], "expected an exit rule"),
        (["trace", "nope"], "expected a checkpoint among"),
        (["benchmark", "luck"], "invalid choice: 'luck'"),
        (["train", "--dataset", "mnist"], "the following arguments are required"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_bad_input_is_one_line(refuse: Callable[..., str], checkpoints: Path, arguments: list[str], words: str) -> None:
    (checkpoints / "shapes" / "broken").mkdir(exist_ok=True)
    assert words in refuse(*arguments)


def test_words_for_people(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkpoints / "shapes" / "broken").mkdir(exist_ok=True)
    root = ["--checkpoints", str(checkpoints)]
    assert main(["list", *root]) == 0
    assert main(["curve", NAME, *root]) == 0
    assert main(["evaluate", NAME, *root]) == 0
    printed = capsys.readouterr()
    assert "shapes/broken" in printed.out
    assert "threshold" in printed.out
    assert f"running EENet-8 on {N} images" in printed.err
    assert main(["list", "--checkpoints", str(checkpoints / "nowhere")]) == 0
    assert capsys.readouterr().out == "no checkpoints\n"


def test_the_front_door_starts_without_torch(checkpoints: Path) -> None:
    code = (
        "import sys; from core.cli import main; "
        f"commands = [['list'], ['curve', {NAME!r}]]; "
        f"codes = [main([*c, '--json', '--checkpoints', {str(checkpoints)!r}]) for c in commands]; "
        "print(codes, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stderr.strip() == "[0, 0] False"


def test_as_a_program(checkpoints: Path) -> None:
    command = [sys.executable, "-m", "core", "curve", NAME, "--checkpoints", str(checkpoints)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert json.loads(done.stdout)["n"] == N
    assert done.stderr == ""
    bad = subprocess.run([*command, "--split", "none"], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1
    pipe = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT)
    assert pipe.stdout is not None
    pipe.stdout.close()
    _, errors = pipe.communicate(timeout=60)
    assert errors == b""
