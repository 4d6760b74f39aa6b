"""Checkpoints: what is written is read again, and every defect is one line that harms nothing else."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.checkpoints import (
    Card,
    checkpoint_folder,
    checkpoint_hash,
    list_checkpoints,
    load_card,
    load_network,
    load_trace,
    read_card,
    save_checkpoint,
    trace_path,
)
from core.data.preprocess import Preprocessing
from core.errors import UserError
from core.network.early_exit import EarlyExitNetwork
from core.network.registry import NetworkSpec, build_network
from core.trace import Trace

SPEC = NetworkSpec("eenet8", 2, "pareto", "pool", (1, 28, 28), 10)
NAME = "mnist/eenet8"


def make() -> tuple[EarlyExitNetwork, Card]:
    torch.manual_seed(0)
    network, cost = build_network(SPEC)
    card = Card(
        title="EENet-8",
        dataset="mnist",
        spec=SPEC,
        preprocessing=Preprocessing(channels=1, size=28, mean=(0.13,), std=(0.31,)),
        class_names=tuple("0123456789"),
        cost=cost,
        recipe={"epochs": 3, "resolution": [[0.5, 14]]},
        metrics={"test": {"n": 10_000, "exit_accuracy": [0.5, 0.75, 1.0], "area": 0.9}},
        default_thresholds={"probability": (0.9,), "confidence": (0.5, 0.25)},
        plain_counterpart="mnist/resnet8",
    )
    return network.eval(), card


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "mnist" / "eenet8", *make())
    return tmp_path


def rewrite(folder: Path, change: Any) -> None:
    """Changes the JSON of a card in place."""
    path = folder / "card.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_what_is_written_is_read(root: Path) -> None:
    network, card = make()
    stored, again = load_network(NAME, root=root)
    assert again == card
    assert load_card(NAME, root) == card
    assert not stored.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, stored.state_dict()[name])
    assert card.num_exits == 3
    assert not card.is_plain
    assert card.thresholds("confidence") == (0.5, 0.25)
    assert card.thresholds("margin") == (0.8,)


def test_half_is_read_as_float32_and_saved_again_stays_the_same(tmp_path: Path) -> None:
    network, card = make()
    for name, half in (("whole", False), ("half", True)):
        save_checkpoint(tmp_path / "mnist" / name, network, card, half=half)
    stored, _ = load_network("mnist/half", root=tmp_path)
    for name, tensor in network.state_dict().items():
        kept = stored.state_dict()[name]
        assert kept.dtype == tensor.dtype
        assert torch.equal(kept, tensor if tensor.ndim <= 1 else tensor.half().float())
    sizes = [(tmp_path / "mnist" / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    save_checkpoint(tmp_path / "mnist" / "again", stored, card, half=True)
    assert checkpoint_hash(tmp_path / "mnist" / "again") == checkpoint_hash(tmp_path / "mnist" / "half")


def test_saving_again_replaces_and_keeps_the_rest(root: Path) -> None:
    folder = root / "mnist" / "eenet8"
    (folder / "history.jsonl").write_text("{}\n")
    network, card = make()
    before = checkpoint_hash(folder)
    with torch.no_grad():
        network.exits[0].classifier.bias.add_(1)
    save_checkpoint(folder, network, replace(card, title="Another"))
    assert checkpoint_hash(folder) != before
    assert load_card(NAME, root).title == "Another"
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "history.jsonl", "model.safetensors"]
    assert [path.name for path in (root / "mnist").iterdir()] == ["eenet8"]


def test_a_failed_save_leaves_the_old(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "mnist" / "eenet8"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    network, card = make()

    def full(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(folder, network, replace(card, title="Another"))
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(root / "mnist" / "new", network, card)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in (root / "mnist").iterdir()] == ["eenet8"]


def test_saving_leaves_the_network_where_it_is(root: Path) -> None:
    network, card = make()
    network.train()
    save_checkpoint(root / "mnist" / "other", network, card)
    assert network.training


def test_a_copied_folder_appears_and_a_broken_one_harms_nothing(root: Path) -> None:
    network, card = make()
    save_checkpoint(root / "mine", network, card)
    (root / "mnist" / "empty").mkdir()
    (root / "mnist" / "pickle").mkdir()
    torch.save(network.state_dict(), root / "mnist" / "pickle" / "model.pt")
    (root / "mnist" / ".hidden").mkdir()
    (root / "mnist" / "test-images.json").write_text("{}")
    (root / "cifar10").mkdir()
    entries = {entry.name: entry for entry in list_checkpoints(root)}
    assert list(entries) == ["mine", "mnist/eenet8", "mnist/empty", "mnist/pickle"]
    assert entries["mine"].card == entries["mnist/eenet8"].card == card
    assert entries["mine"].problem is None
    assert entries["mnist/empty"].card is None
    assert "expected card.json in empty, got an empty folder" in str(entries["mnist/empty"].problem)
    assert "got only model.pt" in str(entries["mnist/pickle"].problem)
    assert load_network("mine", root=root)[1] == card


def test_no_root() -> None:
    assert list_checkpoints(Path("does") / "not" / "exist") == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "mnist",
        "mnist/nope",
        "../mnist/eenet8",
        "mnist/../mnist/eenet8",
        "mnist//eenet8",
        "a\0b",
        "mnist\\eenet8",
    ],
)
def test_names_that_are_none(root: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected a checkpoint among mnist/eenet8") as caught:
        checkpoint_folder(name, root)
    assert "\n" not in str(caught.value)


def test_absolute_names_lead_nowhere(root: Path) -> None:
    with pytest.raises(UserError, match="expected a checkpoint among"):
        checkpoint_folder(str(root / "mnist" / "eenet8"), root)


CARD_DEFECTS = [
    (lambda v: v.pop("class_names"), "expected field 'class_names' in the card, got none"),
    (lambda v: v.update(colour="red"), "got 'colour': remove or rename it"),
    (lambda v: v.update(format=2), "expected format: 1, got 2"),
    (lambda v: v.update(title=""), "expected title: one line"),
    (lambda v: v.update(title="a\nb"), "expected title: one line"),
    (lambda v: v.update(title=7), "expected title: one line"),
    (lambda v: v.update(dataset=None), "expected dataset: one line"),
    (lambda v: v.update(class_names="0123456789"), "expected class_names: a list of names"),
    (lambda v: v["class_names"].pop(), "expected class_names: 10 different names"),
    (lambda v: v.update(class_names=["a"] * 10), "expected class_names: 10 different names"),
    (lambda v: v.update(class_names=[["a"]] * 10), "expected class name: one line"),
    (lambda v: v.update(network=[]), "expected network: a JSON object"),
    (lambda v: v["network"].update(model="resnet"), "expected model to be one of eenet8"),
    (lambda v: v["network"].update(num_early_exits="2"), "expected a number of early exits"),
    (lambda v: v["network"].update(num_early_exits=3), "expected cost.exit_macs: 3 numbers"),
    (lambda v: v["network"].update(input_shape=[1, 28]), "expected an input shape"),
    (lambda v: v["network"].update(input_shape=[1, 32, 32]), "expected preprocessing: channels and size"),
    (lambda v: v["network"].pop("placement"), "expected the network's fields"),
    (lambda v: v.update(preprocessing=None), "expected preprocessing as a JSON object"),
    (lambda v: v["preprocessing"].update(std=[0]), "expected std above 0"),
    (lambda v: v["preprocessing"].update(channels=3), "expected 3 finite number"),
    (lambda v: v["cost"].pop("unit"), "expected field 'unit' in cost"),
    (lambda v: v["cost"].update(unit="FLOPs"), "expected cost.unit: MACs, got 'FLOPs'"),
    (lambda v: v["cost"].update(exit_macs=[1, -1]), "expected cost.exit_macs: a list of whole numbers above 0"),
    (lambda v: v["cost"].update(final_macs=1.5), "expected cost.final_macs: a whole number"),
    (lambda v: v["cost"].update(exit_after=[2, 1]), "expected cost.exit_after: 2 rising block numbers from 1 to 2"),
    (lambda v: v["cost"].update(exit_after=[1, 3]), "expected cost.exit_after: 2 rising block numbers from 1 to 2"),
    (lambda v: v.update(recipe="mine"), "expected recipe: a JSON object"),
    (lambda v: v.update(metrics={"test": 0.9}), "expected metrics.test: a JSON object"),
    (lambda v: v.update(metrics={"exam": {"n": 1}}), "expected metrics: splits training, calibration or test"),
    (lambda v: v.update(metrics={"test": {}}), "expected metrics.test.n: a number of examples"),
    (lambda v: v.update(metrics={"test": {"n": 5, "accuracy": "good"}}), "expected metrics.test.accuracy: a number"),
    (lambda v: v.update(default_thresholds={"luck": [1]}), "expected default_thresholds: rules among"),
    (lambda v: v.update(default_thresholds={"margin": 1}), "expected default_thresholds.margin: a JSON list"),
    (
        lambda v: v.update(default_thresholds={"margin": [0.1] * 3}),
        "expected default_thresholds.margin: 1 or 2",
    ),
    (lambda v: v.update(default_thresholds={"margin": [2]}), "expected default_thresholds.margin: 1 or 2"),
    (lambda v: v.update(plain_counterpart=1), "expected plain_counterpart: one line"),
]


@pytest.mark.parametrize(("change", "words"), CARD_DEFECTS, ids=[words for _, words in CARD_DEFECTS])
def test_each_card_defect_is_one_line(root: Path, change: Any, words: str) -> None:
    rewrite(root / "mnist" / "eenet8", change)
    with pytest.raises(UserError) as caught:
        load_card(NAME, root)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list_checkpoints(root)[0].problem == str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected JSON in card.json of eenet8"),
        ("{", "expected JSON in card.json of eenet8"),
        ("[1]", "expected the card as a JSON object"),
        ('{"title": NaN}', "NaN, which is no JSON number"),
        ("[" * 100_000, "expected JSON in card.json of eenet8"),
        (" " * 5_000_000, "below 4 MB"),
    ],
)
def test_cards_that_are_none(root: Path, text: str, words: str) -> None:
    (root / "mnist" / "eenet8" / "card.json").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_card(NAME, root)
    assert "\n" not in str(caught.value)


def test_weights_defects_are_one_line(root: Path) -> None:
    folder = root / "mnist" / "eenet8"
    path = folder / "model.safetensors"
    good = load_file(path)
    first = "segments.0.0.0.weight"

    def refused(words: str) -> None:
        with pytest.raises(UserError, match=words) as caught:
            load_network(NAME, root=root)
        assert "\n" not in str(caught.value)

    save_file(good | {first: torch.zeros(4, 3, 3, 3)}, path)
    refused(r"expected tensor segments.0.0.0.weight of shape \(4, 1, 3, 3\) in eenet8, got \(4, 3, 3, 3\)")
    save_file({name: tensor for name, tensor in good.items() if name != first}, path)
    refused(r"expected tensor segments.0.0.0.weight of shape \(4, 1, 3, 3\) in eenet8, got none")
    save_file(good | {"extra": torch.zeros(1)}, path)
    refused("expected tensor extra of shape none")
    save_file(good | {first: torch.full((4, 1, 3, 3), np.nan)}, path)
    refused("expected finite weights in eenet8, got NaN or infinity in segments.0.0.0.weight")
    torch.save(good, path)
    refused("got a pickle, which may run code and is never loaded")
    assert "got a pickle" in str(list_checkpoints(root)[0].problem)
    path.write_bytes(b"\x10\0\0\0")
    refused("expected safetensors in model.safetensors of eenet8")
    assert "expected safetensors" in str(list_checkpoints(root)[0].problem)
    save_file(good, path)
    path.write_bytes(path.read_bytes()[:-100])
    refused("expected safetensors in model.safetensors of eenet8")
    path.unlink()
    refused("expected model.safetensors in eenet8, got only card.json")
    with pytest.raises(UserError, match=r"expected model\.safetensors in eenet8"):
        checkpoint_hash(folder)


def test_a_card_of_another_number_of_blocks(root: Path) -> None:
    folder = root / "mnist" / "eenet8"
    rewrite(folder, lambda v: v["cost"]["block_macs"].append(5))
    with pytest.raises(UserError, match="expected costs of 4 blocks in the card of eenet8, got 5"):
        load_network(NAME, root=root)


def test_a_pickle_is_never_run(root: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Evil()}, root / "mnist" / "eenet8" / "model.safetensors")
    list_checkpoints(root)
    with pytest.raises(UserError, match="never loaded"):
        load_network(NAME, root=root)
    assert not (tmp_path / "ran").exists()


def make_trace(folder: Path, **changes: Any) -> Trace:
    rng = np.random.default_rng(0)
    shape = (12, changes.pop("exits", 3), changes.pop("classes", 10))
    values = {"checkpoint_hash": checkpoint_hash(folder), "split": "test"} | changes
    return Trace.from_outputs(
        rng.standard_normal(shape),
        rng.standard_normal(shape[:2]),
        rng.integers(0, shape[2], shape[0]),
        np.arange(12),
        np.linspace(0.3, 1.1, shape[1]),
        **values,
    )


def test_traces_belong_to_their_weights(root: Path) -> None:
    folder = root / "mnist" / "eenet8"
    with pytest.raises(UserError, match=r"expected trace-test\.npz in mnist/eenet8, got no such file"):
        load_trace(NAME, root=root)
    make_trace(folder).save(trace_path(folder, "test"))
    assert load_trace(NAME, root=root).n == 12
    assert load_trace(NAME, root=root, small=True).log_probabilities is None
    make_trace(folder, checkpoint_hash="0" * 64).save(trace_path(folder, "test"))
    with pytest.raises(UserError, match="got one of other weights: run `python -m core trace mnist/eenet8`"):
        load_trace(NAME, root=root)
    make_trace(folder, exits=4).save(trace_path(folder, "test"))
    with pytest.raises(UserError, match="with 3 exits, 10 classes, split test, got 4, 10, test"):
        load_trace(NAME, root=root)
    make_trace(folder).save(trace_path(folder, "calibration"))
    with pytest.raises(UserError, match="split calibration, got 3, 10, test"):
        load_trace(NAME, "calibration", root)
    with pytest.raises(UserError, match="expected a split among calibration, test"):
        load_trace(NAME, "training", root)


def test_listing_needs_no_torch(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.checkpoints import list_checkpoints; "
        f"print(list_checkpoints(Path({str(root)!r}))[0].problem, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.split() == ["None", "False"]


def test_the_shipped_checkpoints_are_whole() -> None:
    for entry in list_checkpoints():
        assert entry.problem is None
        _, card = load_network(entry.name)
        assert read_card(entry.folder) == card
