"""The trainer: interrupted equals uninterrupted, every loss trains, foreign states are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.datasets import ImageSet
from core.errors import UserError
from core.network.registry import NetworkSpec
from core.training.augment import augment, shift
from core.training.losses import LOSSES
from core.training.recipe import Recipe, default_recipe, paper_recipe
from core.training.state import HISTORY_FILE, STATE_FILE
from core.training.trainer import channel_statistics, schedule, train_network

TINY = NetworkSpec("eenet8", 2, "pareto", "pool", (1, 12, 12), 3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stripes() -> ImageSet:
    """Three classes a network can learn: bright rows, bright columns, neither."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    images = rng.integers(0, 60, (90, 1, 12, 12))
    images[labels == 0, :, ::3, :] += 150
    images[labels == 1, :, :, ::3] += 150
    return ImageSet(images.astype(np.uint8), labels.astype(np.int64), np.arange(90), ("rows", "columns", "noise"))


def tiny_recipe(**changes) -> Recipe:
    return default_recipe("stripes", TINY, **{"epochs": 3, "batch_size": 16, "learning_rate": 0.05} | changes)


def weights(network) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd"},
        {"optimizer": "adam", "learning_rate": 1e-3},
        {"method": "end-to-end", "loss": "tagged"},
    ],
)
def test_a_killed_training_goes_on_to_the_same_weights(stripes, tmp_path, changes):
    recipe = tiny_recipe(**changes)
    whole, whole_progress = train_network(recipe, stripes, tmp_path / "whole", CPU)

    def die_after_two(line):
        if line["epoch"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_network(recipe, stripes, tmp_path / "parts", CPU, die_after_two)
    resumed, progress = train_network(recipe, stripes, tmp_path / "parts", CPU)
    assert torch.equal(weights(whole), weights(resumed))
    assert [line["loss"] for line in progress.history] == [line["loss"] for line in whole_progress.history]
    lines = (tmp_path / "parts" / HISTORY_FILE).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_end_to_end(stripes, tmp_path, loss):
    recipe = tiny_recipe(method="end-to-end", loss=loss, epochs=8)
    _, progress = train_network(recipe, stripes, tmp_path, CPU)
    assert progress.history[-1]["loss"] < progress.history[0]["loss"]
    assert sum(progress.history[-1]["exit_shares"]) == pytest.approx(1, abs=1e-3)


def test_two_stage_training_changes_its_loss_half_way(stripes, tmp_path):
    _, progress = train_network(tiny_recipe(method="two-stage", epochs=4), stripes, tmp_path, CPU)
    assert [line["loss_name"] for line in progress.history] == ["unweighted", "unweighted", "fused", "fused"]


def test_a_folder_of_another_training_is_refused(stripes, tmp_path):
    train_network(tiny_recipe(epochs=1), stripes, tmp_path, CPU)
    with pytest.raises(UserError, match="another epochs, seed"):
        train_network(tiny_recipe(epochs=2, seed=5), stripes, tmp_path, CPU)


def test_a_damaged_state_is_refused(stripes, tmp_path):
    tmp_path.joinpath(STATE_FILE).write_bytes(b"not a state")
    with pytest.raises(UserError, match="unreadable"):
        train_network(tiny_recipe(), stripes, tmp_path, CPU)


def test_recipes_survive_json_and_reject_nonsense():
    recipe = tiny_recipe(resolution=((0.5, 8),))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    for changes in ({"loss": "v9"}, {"cost_weight": float("nan")}, {"cost_weight": -1.0}, {"epochs": 0}):
        with pytest.raises(UserError, match="expected"):
            tiny_recipe(**changes)
    with pytest.raises(UserError, match="one size"):
        default_recipe("stripes", replace(TINY, exit_type="plain"), resolution=((0.5, 8),))
    assert paper_recipe("stripes", TINY).network.confidence_input == "features"


def test_small_images_come_first():
    recipe = tiny_recipe(epochs=10, resolution=((0.3, 6), (0.2, 8)))
    assert [recipe.side(epoch) for epoch in range(6)] == [6, 6, 6, 8, 8, None]


def test_a_schedule_with_images_too_small_for_the_network_is_refused_before_it_starts(stripes, tmp_path):
    vgg = NetworkSpec("eevgg11", 1, "pareto", "pool", (1, 32, 32), 3, stem="small", width=0.125)
    with pytest.raises(UserError, match=r"got 16 x 16 pixels.*full size from the first epoch on"):
        train_network(default_recipe("stripes", vgg, resolution=((0.3, 24), (0.2, 16))), stripes, tmp_path, CPU)
    assert not list(tmp_path.iterdir())


def test_the_learning_rate_rises_and_falls():
    recipe = tiny_recipe()
    assert [schedule(recipe, x) for x in (0.0, 0.05, 0.1, 0.55, 1.0)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert schedule(tiny_recipe(optimizer="adam"), 0.9) == 1


def test_shifts_move_each_image_by_itself():
    images = torch.zeros(64, 1, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 2] = 9
    moved = shift(images, 2, torch.Generator().manual_seed(0))
    places = {tuple(image.nonzero()[0].tolist()) for image in moved}
    assert moved.flatten(1).sum(dim=1).tolist() == [9] * 64  # nobody loses the dot
    assert len(places) > 15
    assert torch.equal(augment(images, "none", torch.Generator()), images)


def test_channel_statistics_by_hand():
    images = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).reshape(1, 1, 2, 2)
    assert channel_statistics(images) == ((0.5,), (0.5,))
