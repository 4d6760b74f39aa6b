"""Pooled features are averages of what the segments give, for every exit type; `core map` writes them down."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoints import Card, checkpoint_hash, save_checkpoint
from core.cli import main
from core.data.datasets import ImageSet
from core.data.embedded import write_embedded
from core.data.preprocess import Preprocessing
from core.errors import UserError
from core.feature_map import FeatureMap, load_feature_map, map_path
from core.network.features import exit_features, pooled_features, record_feature_map
from core.network.registry import build_network
from core.network.spec import EXIT_TYPES, NetworkSpec

PREPROCESSING = Preprocessing(channels=1, size=16, mean=(0.5,), std=(0.25,))
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 1, 16, 16), dtype=np.uint8)
NAME = "shapes/eenet8"


def network(exit_type="pool", exits=2):
    torch.manual_seed(0)
    built, cost = build_network(NetworkSpec("eenet8", exits, "pareto", exit_type, (1, 16, 16), 3))
    return built.eval(), cost


@pytest.fixture
def checkpoints(tmp_path) -> Path:
    """A root with one checkpoint of random weights and its embedded test images."""
    built, cost = network()
    spec = NetworkSpec("eenet8", 2, "pareto", "pool", (1, 16, 16), 3)
    card = Card("EENet-8", "shapes", spec, PREPROCESSING, ("disc", "ring", "star"), cost)
    save_checkpoint(tmp_path / NAME, built, card)
    write_embedded("shapes", ImageSet(IMAGES, np.arange(30) % 3, np.arange(30), card.class_names), tmp_path)
    return tmp_path


@pytest.mark.parametrize("exit_type", EXIT_TYPES)
def test_features_are_the_average_over_space_in_any_batches(exit_type):
    built, _ = network(exit_type)
    done = []
    found = pooled_features(built, IMAGES, PREPROCESSING, batch_size=7, report=done.append)
    assert done == [7, 14, 21, 28, 30]
    x = torch.from_numpy(PREPROCESSING.normalise(IMAGES))
    with torch.inference_mode():
        for segment, features in zip(built.segments, found, strict=True):
            x = segment(x)
            wanted = x.numpy().astype(float).sum(axis=(2, 3)) / (x.shape[2] * x.shape[3])
            assert features.dtype == np.float32
            assert features == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_spread_follows_the_means_and_others_get_their_turn():
    built, _ = network()
    turns = []
    found = pooled_features(
        built, IMAGES, PREPROCESSING, 10, spread=True, turn=lambda: turns.append(1) or nullcontext()
    )
    assert len(turns) == 3
    x = torch.from_numpy(PREPROCESSING.normalise(IMAGES[:1]))
    with torch.inference_mode():
        for segment, features in zip(built.segments, found, strict=True):
            x = segment(x)
            maps = x[0].numpy()
            wanted = np.concatenate([maps.mean(axis=(1, 2)), maps.std(axis=(1, 2))])
            np.testing.assert_allclose(features[0], wanted, atol=1e-5)


def test_exit_features_are_those_of_the_early_exits_and_the_last_answer():
    built, _ = network("bnpool")
    found = exit_features(built, IMAGES, PREPROCESSING, batch_size=11)
    for early, pooled in zip(found.pooled, pooled_features(built, IMAGES, PREPROCESSING), strict=False):
        np.testing.assert_allclose(early, pooled, rtol=1e-5, atol=1e-6)
    assert len(found.pooled) == 2
    with torch.inference_mode():
        logits = built(torch.from_numpy(PREPROCESSING.normalise(IMAGES))).logits[:, -1]
    np.testing.assert_allclose(found.last_logits, logits.numpy(), rtol=1e-4, atol=1e-5)


def test_a_network_in_training_and_no_images_are_refused():
    built, _ = network()
    with pytest.raises(UserError, match="got none"):
        pooled_features(built, IMAGES[:0], PREPROCESSING)
    with pytest.raises(ValueError, match="training mode"):
        pooled_features(built.train(), IMAGES, PREPROCESSING)


def test_a_plain_network_has_a_map_of_one_exit():
    built, _ = network(exits=0)
    found = record_feature_map(built, ImageSet(IMAGES, np.zeros(30, np.int64), np.arange(30), ("a",)), PREPROCESSING,
                               "0" * 64, "test", k=2)  # fmt: skip
    assert found.coordinates.shape == (30, 1, 2) and found.neighbours.shape == (30, 1, 2)


def test_the_command_writes_a_map_of_the_embedded_images(checkpoints, capsys):
    with pytest.raises(UserError, match=r"no such file: run `python -m core map shapes/eenet8`"):
        load_feature_map(NAME, checkpoints)
    assert main(["map", NAME, "--device", "cpu", "--json", "--checkpoints", str(checkpoints)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["n"], printed["split"], printed["neighbours"]) == (30, "test", 5)
    found = load_feature_map(NAME, checkpoints)
    built, _ = network()
    features = pooled_features(built, IMAGES, PREPROCESSING)
    again = FeatureMap.from_features(features, np.arange(30), checkpoint_hash(checkpoints / NAME), "test")
    assert np.array_equal(found.neighbours, again.neighbours)
    assert found.coordinates == pytest.approx(again.coordinates, abs=1e-2)
    assert printed["explained_variance"] == pytest.approx(again.explained.sum(axis=1).tolist())


def test_a_map_of_other_weights_or_of_another_network_is_refused(checkpoints):
    features = [np.random.default_rng(1).normal(size=(30, 4)) for _ in range(3)]
    weights = checkpoint_hash(checkpoints / NAME)
    for given, hash_, split, message in (
        (features, "0" * 64, "test", "one of other weights"),
        (features[:2], weights, "test", "with 3 exits, split test, got 2"),
        (features, weights, "calibration", "got 3, calibration"),
    ):
        FeatureMap.from_features(given, np.arange(30), hash_, split).save(map_path(checkpoints / NAME))
        with pytest.raises(UserError, match=message) as raised:
            load_feature_map(NAME, checkpoints)
        assert "\n" not in str(raised.value) and "core map" in str(raised.value)
