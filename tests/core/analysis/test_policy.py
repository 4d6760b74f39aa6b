"""The policy file: the same after a round trip, refused when a field is wrong."""

import json

import numpy as np
import pytest

from core.analysis.policy import MAX_FILE_BYTES, Measured, PolicyFile, parse_policy, read_policy
from core.errors import UserError

POLICY = PolicyFile(
    "mnist/eenet8",
    "0123456789abcdef" * 4,
    "margin",
    (float(np.float32(0.62)), 1.0),
    (1.5, 0.9, 1.0),
    "calibration: cost at most 0.4",
    (Measured("calibration", 5000, 0.98, 0.39), Measured("test", 10000, 0.979, 0.391)),
)


def test_round_trip(tmp_path):
    POLICY.write(tmp_path / "policy.json")
    assert read_policy(tmp_path / "policy.json") == POLICY
    assert np.float32(read_policy(tmp_path / "policy.json").thresholds[0]) == np.float32(0.62)
    plain = PolicyFile("a/b", "0" * 64, "patience", (), None, "by hand", (Measured("test", 1, 1.0, 1.0),))
    assert parse_policy(plain.to_json()) == plain


def test_belongs_to_one_checkpoint():
    POLICY.check_checkpoint("0123456789abcdef" * 4, 3)
    with pytest.raises(UserError, match="0123456789ab"):
        POLICY.check_checkpoint("f" * 64, 3)
    with pytest.raises(UserError, match="4 thresholds"):
        POLICY.check_checkpoint("0123456789abcdef" * 4, 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "another"),
        ("version", 2),
        ("checkpoint", None),
        ("checkpoint", ""),
        ("checkpoint", "x" * 501),
        ("checkpoint_hash", "0" * 63),
        ("checkpoint_hash", "G" * 64),
        ("rule", "luck"),
        ("rule", ["margin"]),
        ("thresholds", 0.5),
        ("thresholds", [0.5, 1.5]),
        ("thresholds", [True, 0.5]),
        ("thresholds", [float("nan"), 0.5]),
        ("thresholds", [10**400, 0.5]),
        ("thresholds", [0.5] * 300),
        ("temperatures", [1.0, 1.0]),
        ("temperatures", [1.0, 0.0, 1.0]),
        ("temperatures", [1.0, float("inf"), 1.0]),
        ("chosen_on", 3),
        ("gave", []),
        ("gave", {}),
        ("gave", ["test"]),
        ("gave", [{"split": "train", "n": 1, "accuracy": 1, "relative_cost": 1}]),
        ("gave", [{"split": "test", "n": 0, "accuracy": 1, "relative_cost": 1}]),
        ("gave", [{"split": "test", "n": 1, "accuracy": 1.1, "relative_cost": 1}]),
        ("gave", [{"split": "test", "n": 1, "accuracy": 1}]),
    ],
)
def test_bad_fields(field, value):
    content = json.loads(POLICY.to_json())
    content[field] = value
    with pytest.raises(UserError, match=f'"{field}"|"n"|"accuracy"|"relative_cost"|another file') as raised:
        parse_policy(json.dumps(content))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400
    del content[field]
    if field != "temperatures":
        with pytest.raises(UserError, match="expected"):
            parse_policy(json.dumps(content))


def test_other_files(tmp_path):
    path = tmp_path / "policy.json"
    with pytest.raises(UserError, match="No such file"):
        read_policy(path)
    with pytest.raises(UserError, match="directory"):
        read_policy(tmp_path)
    for content, words in (
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "another file"),
        (b"\xff\xfe{", "UTF-8"),
        (b" " * (MAX_FILE_BYTES + 1), "1 MiB"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_policy(path)
