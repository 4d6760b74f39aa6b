"""From a recipe back to the command line that trains it: the inverse of `core.training.command`."""

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from core.checkpoints import Card
from core.errors import UserError
from core.network.spec import NetworkSpec
from core.training.command import add_arguments
from core.training.recipe import PRESETS, Recipe

# what a training wrote into the card's recipe when it was done
OUTCOMES = ("training_seconds", "training_examples")
NAMED_DATASETS = ("mnist", "cifar10", "svhn", "tiny-imagenet")
# field of the network -> its flag's name in the parser, where they differ
_NETWORK_FLAGS = {"num_early_exits": "exits"}
_ALWAYS = ("model", "exits")
_HUGE = 10**12


@dataclass(frozen=True)
class CommandLine:
    """How to train a recipe again.

    Args:
        arguments: what comes after `python -m core`.
        unsaid: fields of the recipe that no flag can set, with the values they would need.
    """

    arguments: tuple[str, ...]
    unsaid: Mapping[str, Any]

    def __str__(self) -> str:
        return "python -m core " + shlex.join(self.arguments)


def recipe_of(card: Card) -> Recipe:
    """The recipe in a card.

    Raises:
        UserError: it is none that `core train` knows, as with imported networks.
    """
    values = {name: value for name, value in card.recipe.items() if name not in OUTCOMES}
    try:
        recipe = Recipe.from_json(values)
        alike = all(_is_alike(getattr(recipe, field.name), field.default) for field in fields(recipe))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, UserError):
        alike = False
    if not alike or not isinstance(recipe.dataset, str):
        raise UserError("expected a recipe as `core train` writes it, got another one: take it as the card tells it")
    return recipe


def _is_alike(value: Any, default: Any) -> bool:
    """Whether a field's value is of the kind of its default, and a number where that is one."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int):
        return isinstance(value, int) and abs(value) < _HUGE
    if isinstance(default, float):
        return isinstance(value, (int, float)) and abs(value) < _HUGE  # false for NaN
    if default is None:
        return value is None or isinstance(value, str)
    return default is MISSING or isinstance(value, type(default))


def command_line(recipe: Recipe, out: str) -> CommandLine:
    """The shortest command that trains a recipe: of the preset that leaves least to say.

    Args:
        out: the folder that `--out` names.
    """
    lines = [_of_preset(recipe, preset, out) for preset in PRESETS]
    return min(lines, key=lambda line: (len(line.unsaid), len(line.arguments)))


def _of_preset(recipe: Recipe, preset: str, out: str) -> CommandLine:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    spec = replace(recipe.network, confidence_input=NetworkSpec.confidence_input)  # the default
    given = {name: actions[name].default for name in _names(Recipe) if name in actions}
    base = PRESETS[preset](recipe.dataset, spec, **{n: v for n, v in given.items() if v is not None and n != "dataset"})

    arguments = ["train", *_flag(actions["dataset"], recipe.dataset)]
    if recipe.dataset not in NAMED_DATASETS:  # a folder's images are made as large as the network wants them
        channels, side, _ = recipe.network.input_shape
        arguments += _changed(actions, {"size": side, "channels": channels})
    network = {
        _NETWORK_FLAGS.get(name, name): getattr(recipe.network, name)
        for name in _names(NetworkSpec)
        if name not in ("input_shape", "num_classes", "confidence_input")
    }
    arguments += [word for name in _ALWAYS for word in _flag(actions[name], network.pop(name))]
    arguments += _changed(actions, network)
    if preset != actions["recipe"].default:
        arguments += _flag(actions["recipe"], preset)
    if base.network.confidence_input != recipe.network.confidence_input:
        arguments += _flag(actions["confidence_input"], recipe.network.confidence_input)
    unsaid = {}
    for name in _names(Recipe):
        value = getattr(recipe, name)
        if name in ("dataset", "network") or value == getattr(base, name):
            continue
        if name in actions:
            arguments += _flag(actions[name], value)
        else:
            unsaid[name] = value
    return CommandLine((*arguments, *_flag(actions["out"], out)), unsaid)


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _changed(actions: Mapping[str, argparse.Action], values: Mapping[str, Any]) -> list[str]:
    """Flags of those values that are not their flag's default."""
    return [w for name, value in values.items() if value != actions[name].default for w in _flag(actions[name], value)]


def _flag(action: argparse.Action, value: Any) -> list[str]:
    name = action.option_strings[-1]
    if action.nargs == 0:  # a switch
        return [name]
    if action.dest == "resolution":
        return [name, ",".join(f"{share!r}:{side}" for share, side in value)]
    return [name, str(value)]
