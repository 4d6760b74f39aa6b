"""A recipe's command line, parsed again, asks for the same recipe again."""

import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from core.checkpoints import CHECKPOINTS, load_card
from core.errors import UserError
from core.network.spec import NetworkSpec
from core.training import losses, recipe, zoo
from core.training.command import make_recipe, parse
from core.training.command_line import command_line, recipe_of
from core.training.recipe import default_recipe, paper_recipe

DIGITS = NetworkSpec("eenet8", 2, "golden", "bnpool", (1, 28, 28), 10)
PHOTOS = NetworkSpec("eevgg16", 4, "pareto", "pool", (3, 32, 32), 10, stem="small", width=0.25)
RECIPES = {
    "plain defaults": default_recipe("mnist", DIGITS),
    "paper": paper_recipe("mnist", DIGITS, loss="tagged", cost_weight=0.3, seed=7),
    "paper's branch, default training": default_recipe("mnist", replace(DIGITS, confidence_input="features")),
    "paper's training, our branch": replace(paper_recipe("mnist", DIGITS), network=DIGITS),
    "sizes": default_recipe("cifar10", PHOTOS, epochs=3, resolution=((0.3, 16), (0.25, 24)), batch_size=64),
    "branch": default_recipe("cifar10", PHOTOS, method="end-to-end", learning_rate=0.01, parent="cifar10/a b"),
    "two-stage": default_recipe("cifar10", PHOTOS, method="two-stage", optimizer="sgd", head_learning_rate=1 / 30),
    "no exits": default_recipe("mnist", replace(DIGITS, num_early_exits=0)),
    "a folder": default_recipe("/my data/cats", replace(DIGITS, input_shape=(1, 40, 40), num_classes=3)),
}


@pytest.mark.parametrize("wanted", [*RECIPES.values(), *(entry.recipe for entry in zoo.entries())], ids=str)
def test_parsed_back_it_is_the_same_recipe(wanted):
    line = command_line(wanted, "some where/new")
    assert dict(line.unsaid) == {} and line.arguments[0] == "train"
    parsed = parse(line.arguments[1:])
    assert make_recipe(parsed, wanted.network.input_shape, wanted.network.num_classes) == wanted
    assert str(parsed.out) == "some where/new"
    channels, side, _ = wanted.network.input_shape
    assert wanted.dataset in ("mnist", "cifar10") or (parsed.size, parsed.channels) == (side, channels)
    assert shlex.split(str(line)) == ["python", "-m", "core", *line.arguments]


def test_what_is_usual_is_not_said():
    recipe = default_recipe("mnist", NetworkSpec("eenet20", 4, "pareto", "pool", (1, 28, 28), 10))
    assert str(command_line(recipe, "x")) == "python -m core train --dataset mnist --model eenet20 --exits 4 --out x"


def test_what_no_flag_can_say_is_listed():
    line = command_line(replace(RECIPES["plain defaults"], weight_decay=0.25), "x")
    assert dict(line.unsaid) == {"weight_decay": 0.25}


def test_shipped_cards_have_recipes_and_strange_ones_a_line():
    card = load_card("mnist/eenet8", CHECKPOINTS)
    assert recipe_of(card).network == card.spec
    changed = (
        {"x": 1},
        {"seed": None},
        {"weight_decay": "low"},
        {"epochs": 10**400},
        {"parent": 3},
        {"loss": ["fused"]},
        {"dataset": 3},
    )
    others = ({}, {"source": "elsewhere"}, {"dataset": "mnist", "network": 3}, *(card.recipe | c for c in changed))
    for strange in others:
        with pytest.raises(UserError, match="expected a recipe as `core train` writes it"):
            recipe_of(replace(card, recipe=strange))


def test_names_of_losses_agree():
    assert recipe.LOSSES == losses.LOSSES


def test_plan_and_recipes_load_without_torch():
    program = "import sys; from core.training import zoo, command_line; zoo.entries(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKPOINTS.parent, check=False).returncode == 0
