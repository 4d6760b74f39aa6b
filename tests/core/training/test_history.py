"""A training's epochs are read back, and a file that is something else is one line."""

import pytest

from core.checkpoints import CHECKPOINTS
from core.errors import UserError
from core.training.history import read_history


def test_a_shipped_history():
    lines = read_history(CHECKPOINTS / "mnist/eenet8", 3)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(sum(line["exit_shares"]) == pytest.approx(1, abs=1e-3) for line in lines)


def test_none_is_no_error(tmp_path):
    assert read_history(tmp_path, 3) == []
    (tmp_path / "history.jsonl").write_text("\n")
    assert read_history(tmp_path, 3) == []


GOOD = '{"epoch": 1, "loss": 2.5, "training_accuracy": [0.1, 0.2], "seconds": 3}'


def test_epochs_come_in_their_order(tmp_path):
    (tmp_path / "history.jsonl").write_text(GOOD.replace("1,", "2,", 1) + "\n" + GOOD)
    assert [line["epoch"] for line in read_history(tmp_path, 2)] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "{}",
        GOOD.replace('"epoch": 1', '"epoch": "1"'),
        GOOD.replace("2.5", "NaN"),
        GOOD.replace("2.5", "9" * 400),
        GOOD.replace('"epoch": 1', '"epoch": ' + "9" * 400),
        GOOD.replace("2.5", '"low"'),
        GOOD.replace("[0.1, 0.2]", "[0.1]"),
        GOOD.replace("[0.1, 0.2]", "0.1"),
        GOOD + "\n" + GOOD[:20],
        "\x00\x00",
    ],
)
def test_something_else_is_one_line(tmp_path, text):
    (tmp_path / "history.jsonl").write_text(text)
    with pytest.raises(UserError, match="expected") as caught:
        read_history(tmp_path, 2)
    assert "\n" not in str(caught.value)
