"""The zoo's plan holds together, and what is missing is trained, once, resumably."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from core.checkpoints import list_checkpoints, load_card, load_network, load_trace
from core.errors import UserError
from core.network.registry import build_network
from core.network.spec import NetworkSpec, backbone
from core.training import zoo
from core.training.recipe import default_recipe


def test_names_are_unique_and_parents_come_first():
    entries = zoo.plan()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    for position, entry in enumerate(entries):
        if entry.recipe.parent is not None:
            assert entry.recipe.parent in names[:position]
            parent = entries[names.index(entry.recipe.parent)]
            assert backbone(parent.recipe.network) == backbone(entry.recipe.network)
            assert parent.recipe.seed == entry.recipe.seed


def test_every_network_of_the_plan_can_be_built():
    for spec in {entry.recipe.network for entry in zoo.plan()}:
        _, cost = build_network(spec)
        assert len(cost.exit_after) == spec.num_early_exits


def test_a_lambda_family_differs_in_lambda_alone():
    for dataset in ("mnist/eenet8", "cifar10/eenet20"):
        family = [entry.recipe for entry in zoo.plan() if entry.name.startswith(f"{dataset}-lambda-")]
        assert [recipe.cost_weight for recipe in family] == list(zoo.COST_WEIGHTS)
        assert len({replace(recipe, cost_weight=1.0) for recipe in family}) == 1


def test_few_networks_keep_their_class_tables():
    assert sum(entry.full for entry in zoo.plan()) <= 3
    assert all(entry.seconds() > 0 for entry in zoo.plan())


@pytest.fixture
def pictures(tmp_path):
    """A folder of two classes, with a test part."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, low in (("dark", 0), ("light", 150)):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = rng.integers(low, low + 100, (32, 32, 3)).astype(np.uint8)
                Image.fromarray(values).save(folder / f"{number}.png")
    return tmp_path / "pictures"


def test_what_is_missing_is_trained_once_and_branches_start_from_their_parent(pictures, tmp_path):
    spec = NetworkSpec("eenet8", 2, "pareto", "pool", (3, 32, 32), 2)
    recipe = default_recipe(str(pictures), spec, epochs=1, batch_size=16)
    branch = replace(recipe, method="end-to-end", learning_rate=1e-9, head_learning_rate=1e-9, parent="pictures/parent")
    entries = [
        zoo.Entry("pictures/parent", "main", recipe, full=True),
        zoo.Entry("pictures/branch", "lambda", branch),
    ]
    root, work, lines = tmp_path / "checkpoints", tmp_path / "runs", []
    made = zoo.train_missing(entries, tmp_path, "cpu", root, work, lines.append)
    assert made == ["pictures/parent", "pictures/branch"]
    assert [(line["name"], line["epoch"]) for line in lines] == [("pictures/parent", 1), ("pictures/branch", 1)]
    assert [entry.problem for entry in list_checkpoints(root)] == [None, None]
    assert load_card("pictures/branch", root).recipe["parent"] == "pictures/parent"
    # at a learning rate of almost 0 the branch keeps its parent's weights
    parent, child = (load_network(f"pictures/{name}", root=root)[0] for name in ("parent", "branch"))
    for ours, theirs in zip(child.parameters(), parent.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert load_trace("pictures/parent", "test", root).log_probabilities is not None
    assert load_trace("pictures/branch", "test", root).log_probabilities is None
    assert zoo.missing(entries, root) == []
    assert zoo.train_missing(entries, tmp_path, "cpu", root, work, lines.append) == []
    assert len(lines) == 2


def test_exits_are_added_to_the_backbone_of_a_plain_parent(pictures, tmp_path):
    spec = NetworkSpec("eenet8", 2, "pareto", "pool", (3, 32, 32), 2)
    recipe = default_recipe(str(pictures), spec, epochs=1, batch_size=16, learning_rate=1e-9, head_learning_rate=1e-9)
    plain = replace(recipe, network=replace(spec, num_early_exits=0))
    root = tmp_path / "checkpoints"
    entries = [
        zoo.Entry("pictures/plain", "plain", plain),
        zoo.Entry("pictures/exits", "main", replace(recipe, parent="pictures/plain", seed=1)),
    ]
    zoo.train_missing(entries, tmp_path, "cpu", root, tmp_path / "runs")
    # at a learning rate of almost 0 the last exit says what the plain network said; without its parent, with another
    # seed, it could not
    parent, child = (load_network(f"pictures/{name}", root=root)[0] for name in ("plain", "exits"))
    trained = [value for block in parent.blocks() for value in block.parameters()]
    taken = [value for block in child.blocks() for value in block.parameters()]
    for ours, theirs in zip(taken, trained, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    weight = parent.exit_block(-1).classifier.weight
    assert torch.allclose(child.exit_block(-1).classifier.weight, weight, atol=1e-5)


def test_a_parent_with_another_backbone_is_refused(pictures, tmp_path):
    spec = NetworkSpec("eenet8", 2, "pareto", "pool", (3, 32, 32), 2)
    recipe = default_recipe(str(pictures), spec, epochs=1, batch_size=16)
    other = replace(recipe, network=replace(spec, model="eenet20"), parent="pictures/parent")
    root = tmp_path / "checkpoints"
    zoo.train_missing([zoo.Entry("pictures/parent", "main", recipe)], tmp_path, "cpu", root, tmp_path / "runs")
    with pytest.raises(UserError, match="expected a parent with the backbone of the network to train"):
        zoo.train_missing([zoo.Entry("pictures/other", "lambda", other)], tmp_path, "cpu", root, tmp_path / "runs")
