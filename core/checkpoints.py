"""Checkpoints: a folder with weights in safetensors and a validated card. Listing and traces need no torch.

checkpoints/DATASET/MODEL/model.safetensors, card.json, trace-calibration.npz, trace-test.npz, history.jsonl
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from core.analysis.rules import RULES
from core.data.preprocess import Preprocessing
from core.errors import UserError
from core.network.cost import METHOD, CostTable
from core.network.spec import NetworkSpec
from core.trace import SPLITS, Trace

if TYPE_CHECKING:
    import torch

    from core.network.early_exit import EarlyExitNetwork

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"
HISTORY_FILE = "history.jsonl"
FORMAT = 1
LARGEST_CARD = 4 * 2**20  # bytes
LONGEST_TEXT = 200  # characters of a title or a class name
_PICKLE_STARTS = (b"PK", b"\x80")  # torch.save writes a zip of pickles, once a bare pickle
_KEYS = (
    "format", "title", "dataset", "network", "preprocessing", "class_names", "cost", "recipe", "metrics",
    "default_thresholds", "plain_counterpart",
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What there is to know about a checkpoint besides its weights.

    Args:
        title: what a page calls it, `EENet-20`.
        dataset: what it was trained on: `mnist`, `cifar10` or any other name.
        spec: all it takes to build the network.
        preprocessing: from pixels to the network's input.
        class_names: one for each class, in the order of the outputs.
        cost: MACs of blocks and exits.
        recipe: how it was trained, as plain values.
        metrics: for each split (`calibration`, `test`, `training`) numbers, or lists of numbers, with their `n`.
        default_thresholds: for a rule the K thresholds, or one for all, that a page starts with.
        plain_counterpart: name of the plain network trained alike, for the reference line.

    Raises:
        UserError: fields that contradict each other.
    """

    title: str
    dataset: str
    spec: NetworkSpec
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    cost: CostTable
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    default_thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    plain_counterpart: str | None = None

    def __post_init__(self) -> None:
        _text("title", self.title)
        _text("dataset", self.dataset)
        for name in self.class_names:
            _text("class name", name)
        early = self.spec.num_early_exits
        _require(
            len(set(self.class_names)) == self.spec.num_classes == len(self.class_names),
            "class_names",
            f"{self.spec.num_classes} different names, as num_classes says",
            self.class_names,
        )
        _require(
            self.preprocessing.input_shape == self.spec.input_shape,
            "preprocessing",
            f"channels and size of the input shape {list(self.spec.input_shape)}",
            [self.preprocessing.channels, self.preprocessing.size],
        )
        _require(len(self.cost.exit_macs) == early, "cost.exit_macs", f"{early} numbers", self.cost.exit_macs)
        after, blocks = self.cost.exit_after, len(self.cost.block_macs)
        rising = all(a < b for a, b in zip((0, *after), (*after, blocks - 1), strict=True))
        _require(
            len(after) == early and rising,
            "cost.exit_after",
            f"{early} rising block numbers from 1 to {blocks - 2}",
            after,
        )
        for rule, thresholds in self.default_thresholds.items():
            _require(rule in RULES, "default_thresholds", f"rules among {', '.join(RULES)}", rule)
            fits = len(thresholds) in (1, early) and all(_number(t) and 0 <= t <= 1 for t in thresholds)
            _require(fits, f"default_thresholds.{rule}", f"1 or {early} numbers from 0 to 1", thresholds)
        for split, numbers in self.metrics.items():
            _require(split in (*SPLITS, "training"), "metrics", "splits training, calibration or test", split)
            _require(_whole(numbers.get("n"), 1), f"metrics.{split}.n", "a number of examples", numbers.get("n"))
            for name, value in numbers.items():
                values = value if isinstance(value, (list, tuple)) else [value]
                fits = all(_number(v) for v in values)
                _require(fits, f"metrics.{split}.{name}", "a number or a list of numbers", value)
        if self.plain_counterpart is not None:
            _text("plain_counterpart", self.plain_counterpart)

    @property
    def num_exits(self) -> int:
        """N, the last exit counted."""
        return self.spec.num_early_exits + 1

    @property
    def is_plain(self) -> bool:
        """Whether this is a network without early exits."""
        return self.spec.num_early_exits == 0

    def thresholds(self, rule: str) -> tuple[float, ...]:
        """The thresholds a page starts with: the card's, else the rule's own default."""
        return tuple(self.default_thresholds.get(rule, (RULES[rule].default_threshold,)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in `card.json`."""
        return {
            "format": FORMAT,
            "title": self.title,
            "dataset": self.dataset,
            "network": self.spec.to_json(),
            "preprocessing": self.preprocessing.to_json(),
            "class_names": list(self.class_names),
            "cost": {
                "unit": "MACs",
                "method": METHOD,
                "block_macs": list(self.cost.block_macs),
                "exit_macs": list(self.cost.exit_macs),
                "final_macs": self.cost.final_macs,
                "exit_after": list(self.cost.exit_after),
            },
            "recipe": dict(self.recipe),
            "metrics": {split: dict(numbers) for split, numbers in self.metrics.items()},
            "default_thresholds": {rule: list(values) for rule, values in self.default_thresholds.items()},
            "plain_counterpart": self.plain_counterpart,
        }

    @classmethod
    def from_json(cls, values: Any) -> "Card":
        """Inverse of `to_json`.

        Raises:
            UserError: one line about the first field that is missing, unknown or wrong.
        """
        _fields("the card", values, _KEYS)
        _require(values["format"] == FORMAT, "format", str(FORMAT), values["format"])
        for name in ("network", "cost", "recipe", "metrics", "default_thresholds"):
            _require(isinstance(values[name], dict), name, "a JSON object", values[name])
        _require(isinstance(values["class_names"], list), "class_names", "a list of names", values["class_names"])
        for name in ("metrics", "default_thresholds"):
            kind, word = (dict, "object") if name == "metrics" else (list, "list")
            for key, value in values[name].items():
                _require(isinstance(value, kind), f"{name}.{key}", f"a JSON {word}", value)
        return cls(
            title=values["title"],
            dataset=values["dataset"],
            spec=NetworkSpec.from_json(values["network"]),
            preprocessing=Preprocessing.from_json(values["preprocessing"]),
            class_names=tuple(values["class_names"]),
            cost=_cost_table(values["cost"]),
            recipe=values["recipe"],
            metrics=values["metrics"],
            default_thresholds={rule: tuple(t) for rule, t in values["default_thresholds"].items()},
            plain_counterpart=values["plain_counterpart"],
        )


@dataclass(frozen=True)
class CheckpointEntry:
    """A folder below `checkpoints/`.

    Args:
        name: DATASET/MODEL.
        card: None where the folder is broken.
        problem: one line on what is broken, or None.
    """

    name: str
    folder: Path
    card: Card | None
    problem: str | None


def list_checkpoints(root: Path = CHECKPOINTS) -> list[CheckpointEntry]:
    """Every checkpoint there is, sorted by name; a broken one comes with its reason and harms no other."""
    entries = []
    for folder in _candidates(root):
        card, problem = None, None
        try:
            card = read_card(folder)
            check_safetensors(folder / WEIGHTS_FILE)
        except UserError as error:
            card, problem = None, str(error)
        entries.append(CheckpointEntry(folder.relative_to(root).as_posix(), folder, card, problem))
    return sorted(entries, key=lambda entry: entry.name)


def checkpoint_folder(name: str, root: Path = CHECKPOINTS) -> Path:
    """The folder of the checkpoint of that name.

    Raises:
        UserError: there is none, or the name leads out of the root.
    """
    parts = name.split("/")
    safe = all(part.isprintable() and "\\" not in part and not _is_hidden(part) for part in parts)
    if safe and len(parts) <= 2 and all(parts):
        folder = root.joinpath(*parts)
        if folder.is_dir() and _is_checkpoint(root / parts[0]) == (len(parts) == 1):
            return folder
    names = ", ".join(folder.relative_to(root).as_posix() for folder in _candidates(root))
    raise UserError(f"expected a checkpoint among {names or 'none so far'}, got {name!r}: see `python -m core list`")


def load_card(name: str, root: Path = CHECKPOINTS) -> Card:
    """The card of a checkpoint.

    Raises:
        UserError: no such checkpoint, or one line on what is wrong with its card.
    """
    return read_card(checkpoint_folder(name, root))


def read_card(folder: Path) -> Card:
    """The card of a checkpoint's folder.

    Raises:
        UserError: it is missing, not JSON or wrong.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise UserError(_missing(folder, CARD_FILE))
    if path.stat().st_size > LARGEST_CARD:
        raise UserError(f"expected {CARD_FILE} of {folder.name} below 4 MB, got more: it is no card, copy it again")
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"expected JSON in {CARD_FILE} of {folder.name}, got {_one_line(error)}: mend the file"
        ) from None
    try:
        return Card.from_json(values)
    except UserError as error:
        raise UserError(f"card of {folder.name}: {error}") from None


def load_network(
    name: str, device: "torch.device | str" = "cpu", root: Path = CHECKPOINTS
) -> tuple["EarlyExitNetwork", Card]:
    """A checkpoint's network in evaluation mode, to be read only, and its card.

    Raises:
        UserError: no such checkpoint, or one line on what is wrong with its card or weights.
    """
    return read_network(checkpoint_folder(name, root), device)


def read_network(folder: Path, device: "torch.device | str" = "cpu") -> tuple["EarlyExitNetwork", Card]:
    """As `load_network`, from a checkpoint's folder anywhere.

    Raises:
        UserError: what is wrong with its card or weights.
    """
    from safetensors.torch import load_file

    from core.network.layout import fast_layout
    from core.network.registry import assemble

    card = read_card(folder)
    path = folder / WEIGHTS_FILE
    check_safetensors(path)
    try:
        network = assemble(card.spec, card.cost.exit_after)
    except (IndexError, RuntimeError) as error:
        raise UserError(
            f"expected a network that fits the card of {folder.name}, got {_one_line(error)}: "
            "mend its network or cost.exit_after"
        ) from None
    if len(card.cost.block_macs) != network.num_blocks:
        raise UserError(
            f"expected costs of {network.num_blocks} blocks in the card of {folder.name}, "
            f"got {len(card.cost.block_macs)}: mend cost.block_macs"
        )
    weights = load_file(path)
    check_weights(network, weights, folder.name)
    network.load_state_dict(weights)
    return network.eval().to(device).to(memory_format=fast_layout(network)), card


def check_weights(network: "EarlyExitNetwork", weights: "Mapping[str, torch.Tensor]", where: str) -> None:
    """Raises UserError about the first tensor that is missing, unknown, of another shape or not finite."""
    wanted = network.state_dict()
    for name in [*wanted, *weights]:
        found = tuple(weights[name].shape) if name in weights else "none"
        shape = tuple(wanted[name].shape) if name in wanted else "none"
        if found != shape:
            raise UserError(
                f"expected tensor {name} of shape {shape} in {where}, got {found}: "
                "the weights belong to another network than the card says"
            )
        if not bool(weights[name].isfinite().all()):
            raise UserError(f"expected finite weights in {where}, got NaN or infinity in {name}: train it again")


def load_trace(name: str, split: str = "test", root: Path = CHECKPOINTS, small: bool = False) -> Trace:
    """A checkpoint's recorded answers on a split.

    Args:
        split: `calibration` or `test`.
        small: leave the class table on disk.

    Raises:
        UserError: no such checkpoint or trace, or a trace made with other weights.
    """
    if split not in SPLITS:
        raise UserError(f"expected a split among {', '.join(SPLITS)}, got {split!r}: choose one of these")
    folder = checkpoint_folder(name, root)
    card = read_card(folder)
    path = trace_path(folder, split)
    if not path.is_file():
        raise UserError(f"expected {path.name} in {name}, got no such file: run `python -m core trace {name}`")
    trace = Trace.load(path, small=small)
    if trace.checkpoint_hash != checkpoint_hash(folder):
        raise UserError(
            f"expected {path.name} of the weights in {name}, got one of other weights: "
            f"run `python -m core trace {name}`"
        )
    if (trace.split, trace.num_exits, trace.classes) != (split, card.num_exits, card.spec.num_classes):
        raise UserError(
            f"expected {path.name} with {card.num_exits} exits, {card.spec.num_classes} classes, split {split}, "
            f"got {trace.num_exits}, {trace.classes}, {trace.split}: run `python -m core trace {name}`"
        )
    return trace


def trace_path(folder: Path, split: str) -> Path:
    """Where a checkpoint's trace of a split lies."""
    return folder / f"trace-{split}.npz"


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 of the weights, in hex: what traces and policies are bound to.

    Raises:
        UserError: there are no weights.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise UserError(_missing(folder, WEIGHTS_FILE))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(folder: Path, network: "EarlyExitNetwork", card: Card, half: bool = False) -> None:
    """Writes weights and card.

    Args:
        half: filters and matrices as float16, half the size; read again they are float32. Whatever is recorded of the
            network must be recorded of the weights as they are read again.

    A new folder appears whole or not at all. In a folder that exists each file is replaced whole, the card last, and
    what else lies there stays.
    """
    from safetensors.torch import save_file

    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        if half:  # BatchNorm's variances may be too large for float16, and vectors are short
            tensors = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
        save_file(tensors, partial / WEIGHTS_FILE)
        (partial / CARD_FILE).write_text(json.dumps(card.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if folder.exists():
            for name in (WEIGHTS_FILE, CARD_FILE):
                (partial / name).replace(folder / name)
        else:
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _candidates(root: Path) -> list[Path]:
    """Folders that are, or should be, checkpoints: DATASET/MODEL, and those below the root with a card or weights."""
    found: list[Path] = []
    for outer in _folders(root):
        found.extend([outer] if _is_checkpoint(outer) else _folders(outer))
    return found


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a card or weights itself."""
    return any((folder / name).exists() for name in (CARD_FILE, WEIGHTS_FILE))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _folders(parent: Path) -> list[Path]:
    """Folders in a folder, hidden ones left out; none where it cannot be read."""
    try:
        inside = sorted(path for path in parent.iterdir() if not _is_hidden(path.name))
        return [path for path in inside if path.is_dir()]
    except OSError:
        return []


def _missing(folder: Path, name: str) -> str:
    """One line on a file that a checkpoint's folder lacks."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        names = []
    found = f"only {', '.join(names[:4])}" if names else "an empty folder"
    return f"expected {name} in {folder.name}, got {found}: copy the whole folder"


def check_safetensors(path: Path) -> None:
    """Raises UserError unless the file is there and is readable safetensors; tensors are not read."""
    if not path.is_file():
        raise UserError(_missing(path.parent, WEIGHTS_FILE))
    try:
        with path.open("rb") as file:
            start = file.read(2)
        with safe_open(path, framework="numpy") as file:
            file.keys()
    except (OSError, SafetensorError) as error:
        if start.startswith(_PICKLE_STARTS):
            raise UserError(
                f"expected safetensors in {path.name}, got a pickle, which may run code and is never loaded: "
                "write the weights with safetensors.torch.save_file"
            ) from None
        raise UserError(
            f"expected safetensors in {path.name} of {path.parent.name}, got {_one_line(error)}: copy the file again"
        ) from None


def _cost_table(values: dict[str, Any]) -> CostTable:
    _fields("cost", values, ("unit", "method", "block_macs", "exit_macs", "final_macs", "exit_after"))
    _require(values["unit"] == "MACs", "cost.unit", "MACs", values["unit"])
    _require(isinstance(values["method"], str), "cost.method", "a text", values["method"])
    for name in ("block_macs", "exit_macs", "exit_after"):
        fits = isinstance(values[name], list) and all(_whole(v, 1) for v in values[name])
        _require(fits, f"cost.{name}", "a list of whole numbers above 0", values[name])
    _require(_whole(values["final_macs"], 1), "cost.final_macs", "a whole number above 0", values["final_macs"])
    return CostTable(
        tuple(values["block_macs"]), tuple(values["exit_macs"]), values["final_macs"], tuple(values["exit_after"])
    )


def _fields(what: str, values: Any, wanted: tuple[str, ...]) -> None:
    if not isinstance(values, dict):
        raise UserError(f"expected {what} as a JSON object, got {_shown(values)}: mend the card")
    for name in wanted:
        if name not in values:
            raise UserError(f"expected field {name!r} in {what}, got none: add it")
    for name in values:
        if name not in wanted:
            raise UserError(f"expected fields of {what} among {', '.join(wanted)}, got {name!r}: remove or rename it")


def _require(fits: bool, name: str, expected: str, got: Any) -> None:
    if not fits:
        raise UserError(f"expected {name}: {expected}, got {_shown(got)}: mend the card")


def _text(name: str, value: Any) -> None:
    fits = isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable()
    _require(fits, name, f"one line of 1 to {LONGEST_TEXT} characters", value)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _whole(value: Any, smallest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= smallest


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON number")
