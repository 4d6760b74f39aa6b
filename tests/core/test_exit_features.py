"""The features that ship: float16 in a small file, refused when damaged or foreign, made by one command."""

import json

import numpy as np
import pytest
from PIL import Image

from core.checkpoints import checkpoint_hash, save_checkpoint
from core.cli import main
from core.data.datasets import split_ids
from core.errors import UserError
from core.exit_features import PooledFeatures, chosen_rows, features_path, load_features
from core.network.features import exit_features
from tests.cost_zoo import CLASSES, NAME, PREPROCESSING, images, network


def some(exits=2, classes=3, weights="0" * 64, split="training", n=40):
    random = np.random.default_rng(0)
    pooled = [random.normal(size=(n, 4 + e)) * random.integers(0, 2, (n, 4 + e)) for e in range(exits)]
    labels = np.arange(n) % classes
    return PooledFeatures.from_arrays(
        pooled, random.normal(size=(n, classes)), labels, 3 * np.arange(n), weights, split
    )


def test_what_is_written_is_read_as_float16(tmp_path):
    made = some()
    made.save(tmp_path / "f.npz")
    read = PooledFeatures.load(tmp_path / "f.npz")
    for values, wanted in zip((*read.pooled, read.last_logits), (*made.pooled, made.last_logits), strict=True):
        assert values.dtype == np.float32
        assert np.array_equal(values, wanted.astype(np.float16).astype(np.float32))
    assert np.array_equal(read.labels, made.labels) and np.array_equal(read.ids, made.ids)
    assert (read.split, read.checkpoint_hash, read.n, read.classes) == ("training", "0" * 64, 40, 3)
    made.save(tmp_path / "again.npz")
    assert (tmp_path / "f.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "bit", "format"])
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = tmp_path / "f.npz"
    some().save(path)
    whole = path.read_bytes()
    if damage == "format":
        np.savez(path, meta=np.array(json.dumps({"format": 99})))
    else:
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 0xFF
        path.write_bytes({"cut": whole[:-200], "empty": b"", "text": b"hello", "bit": bytes(flipped)}[damage])
    with pytest.raises(UserError, match=r"expected features in f\.npz, got something else") as raised:
        PooledFeatures.load(path)
    assert "\n" not in str(raised.value) and "core features" in str(raised.value)


def test_values_that_make_no_sense_are_refused(tmp_path):
    labels, ids = np.arange(4) % 2, np.arange(4)
    for pooled, logits, labels_, message in (
        ([np.full((4, 2), np.nan)], np.zeros((4, 2)), labels, "NaN"),
        ([np.zeros((3, 2))], np.zeros((4, 2)), labels, "arrays of"),
        ([np.zeros((4, 2))], np.zeros((4, 2)), labels + 1, "labels outside"),
    ):
        with pytest.raises(UserError, match=message):
            PooledFeatures.from_arrays(pooled, logits, labels_, ids, "", "training")
    large = PooledFeatures.from_arrays([np.full((4, 2), 1e6)], np.zeros((4, 2)), labels, ids, "", "training")
    with pytest.raises(UserError, match="float16 cannot hold"):
        large.save(tmp_path / "f.npz")


def test_foreign_and_missing_files_are_refused(tmp_path):
    built, card = network()
    save_checkpoint(tmp_path / NAME, built, card)
    with pytest.raises(UserError, match=r"no such file: run `python -m core features shapes/eenet8`"):
        load_features(NAME, tmp_path)
    weights = checkpoint_hash(tmp_path / NAME)
    for made, message in (
        (some(), "one of other weights"),
        (some(exits=3, weights=weights), "with 3 exits, 3 classes, split training, got 4"),
        (some(classes=2, weights=weights), "3 classes, split training, got 3, 2"),
        (some(weights=weights, split="test"), "got 3, 3, test"),
    ):
        made.save(features_path(tmp_path / NAME))
        with pytest.raises(UserError, match=message) as raised:
            load_features(NAME, tmp_path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("n", [60_000, 50_000, 300])
def test_no_calibration_image_is_among_them(n):
    training = split_ids(n, "training")
    rows = chosen_rows(len(training))
    assert len(rows) == min(10_000, len(training)) and (np.diff(rows) > 0).all()
    assert not set(training[rows].tolist()) & set(split_ids(n, "calibration").tolist())
    assert np.array_equal(rows, chosen_rows(len(training)))


def test_the_command_writes_what_the_network_sees(tmp_path, capsys):
    built, card = network()
    save_checkpoint(tmp_path / NAME, built, card)
    for number, (pixels, label) in enumerate(zip(images(45, 3).images, images(45, 3).labels, strict=True)):
        folder = tmp_path / "own" / f"{label}-{CLASSES[label]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(folder / f"{number}.png")
    arguments = ["features", NAME, "--device", "cpu", "--json", "--checkpoints", str(tmp_path), "--examples", "20"]
    arguments += ["--dataset", str(tmp_path / "own")]
    assert main(arguments) == 2  # classes of other names
    assert "expected classes dim, grey, bright" in capsys.readouterr().err
    for label, name in enumerate(CLASSES):
        (tmp_path / "own" / f"{label}-{name}").rename(tmp_path / "own" / name)
    card = card.from_json(card.to_json() | {"class_names": sorted(CLASSES)})
    save_checkpoint(tmp_path / NAME, built, card)
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["n"], printed["split"], printed["channels"]) == (20, "training", [4, 8])
    found = load_features(NAME, tmp_path)
    assert printed["bytes"] == features_path(tmp_path / NAME).stat().st_size
    known = images(45, 3).images
    again = exit_features(built, known, PREPROCESSING).pooled[0]
    for row in found.pooled[0]:
        assert np.abs(again - row).max(axis=1).min() < 2e-3  # each is one of the images
