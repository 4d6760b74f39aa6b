"""Recorded answers to corrupted pictures are the executor's, and the command writes them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.analysis.robustness import FILE, LARGEST_ERROR, CorruptedAnswers, load_corrupted, robustness
from core.checkpoints import CHECKPOINTS, load_network, load_trace
from core.cli import main
from core.data.corruptions import CORRUPTIONS, corrupt
from core.data.embedded import load_embedded, load_labels
from core.network.executor import Policy, execute

MODEL = "mnist/eenet8"
N = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a checkpoint with a file of 60 images."""
    root = tmp_path_factory.mktemp("checkpoints")
    shutil.copytree(CHECKPOINTS / MODEL, root / MODEL, ignore=shutil.ignore_patterns(FILE))
    assert main(["corruptions", MODEL, "--examples", str(N), "--checkpoints", str(root), "--json"]) == 0
    return root


def test_the_same_as_the_executor(folder: Path) -> None:
    answers = load_corrupted(MODEL, folder)
    network, card = load_network(MODEL)
    images, labels = load_embedded("mnist")[:N], load_labels("mnist").labels[:N]
    np.testing.assert_array_equal(answers.ids, np.arange(N))
    trace = load_trace(MODEL, small=True)
    for rule, threshold in (("confidence", 0.7), ("probability", 0.9)):
        found = robustness(answers, trace, rule, threshold)
        for name, severity in (("noise", 0), ("noise", 4), ("rotation", 2), ("pixelation", 5)):
            ran = execute(
                network, card.preprocessing.normalise(corrupt(images, name, severity)), Policy(rule, (threshold,))
            )
            c = list(CORRUPTIONS).index(name)
            assert found.accuracy[c, severity] == pytest.approx((ran.predicted == labels).mean())
            np.testing.assert_allclose(found.exit_shares[c, severity], np.bincount(ran.exits, minlength=3) / N)
            if severity:
                heard = np.isfinite(ran.scores)
                kept = answers.scores[rule][c, severity - 1]
                np.testing.assert_allclose(kept[heard], ran.scores[heard], atol=LARGEST_ERROR)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corruptions", MODEL, "--examples", "5", "--checkpoints", str(folder), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["n"] == 5 and result["split"] == "test" and set(result["full_accuracy"]) == set(CORRUPTIONS)
    assert "noise, severity 1" in printed.err and "pixelation, severity 5" in printed.err
    assert CorruptedAnswers.load(folder / MODEL / FILE).n == 5
    assert result["bytes"] == (folder / MODEL / FILE).stat().st_size
    assert main(["corruptions", "mnist/none", "--json"]) == 2
