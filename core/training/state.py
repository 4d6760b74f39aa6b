"""The resumable state of a training: one file, replaced as a whole, never a pickle."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import UserError
from core.training.recipe import Recipe

STATE_FILE = "state.safetensors"
HISTORY_FILE = "history.jsonl"


@dataclass
class Progress:
    """What a training has done so far.

    Args:
        epoch: epochs finished.
        history: one dict for each of them.
        tags: (training examples,) int64, the exit each example is tagged with; used by the loss `tagged`.
    """

    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    tags: Tensor | None = None


def save_state(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, recipe: dict[str, Any], progress: Progress
) -> None:
    """Writes state and history; a kill at any moment leaves the old or the new state, never half of one."""
    tensors = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{slot}"] = value.contiguous()
    if progress.tags is not None:
        tensors["tags"] = progress.tags
    about = {"recipe": recipe, "epoch": progress.epoch, "history": progress.history}
    partial = folder / (STATE_FILE + ".partial")
    try:
        save_file(tensors, partial, metadata={"training": json.dumps(about)})
        partial.replace(folder / STATE_FILE)
    finally:
        partial.unlink(missing_ok=True)  # of a disk that is full, give back what there is
    write_history(folder, progress)


def write_history(folder: Path, progress: Progress) -> None:
    """Writes the history as the state has it; a kill between the two files leaves it one epoch behind."""
    write_text(folder / HISTORY_FILE, "".join(json.dumps(line) + "\n" for line in progress.history))


def load_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, recipe: dict[str, Any]) -> Progress:
    """Puts the newest state into network and optimizer; a fresh `Progress` where there is none.

    Raises:
        UserError: the folder holds another training's state, or the file is not readable.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return Progress()
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(
            f"expected a training's state in {path}, got an unreadable file ({error}): delete it"
        ) from error
    begun = Recipe.from_json(about["recipe"]).to_json()  # fields that came later have their defaults
    differing = sorted(key for key in recipe if begun[key] != recipe[key])
    if differing:
        raise UserError(
            f"expected the recipe this folder was started with, got another {', '.join(differing)}: "
            f"use a new --out folder, or delete {path}"
        )
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".", 2)
            slots.setdefault(int(index), {})[slot] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    return Progress(about["epoch"], about["history"], tensors.get("tags"))


def write_text(path: Path, text: str) -> None:
    """Replaces a small text file as a whole."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
