"""Networks trained with the paper's code come in and give their own answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from core.checkpoints import read_network, save_checkpoint
from core.errors import UserError
from core.network.importer import import_reference

DATA = Path(__file__).parents[2] / "data"
REFERENCE = DATA / "eenet20_cifar10.safetensors"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE)


def saved(weights: dict[str, torch.Tensor], folder: Path) -> Path:
    path = folder / "net.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return path


def test_reference_outputs(tmp_path: Path) -> None:
    network, card = import_reference(REFERENCE)
    assert (card.spec.model, card.spec.num_early_exits) == ("eenet20", 4)
    assert (card.spec.placement, card.spec.exit_type, card.spec.confidence_input) == ("pareto", "pool", "features")
    assert card.cost.exit_after == (2, 3, 5, 6)
    assert (card.dataset, card.class_names[0]) == ("cifar10", "airplane")
    save_checkpoint(tmp_path / "ref", network, card)
    stored, again = read_network(tmp_path / "ref")
    assert again == card
    with np.load(DATA / "eenet20_cifar10_outputs.npz", allow_pickle=False) as golden:
        images = np.ascontiguousarray(golden["images"].transpose(0, 3, 1, 2))
        with torch.no_grad():
            outputs = stored(torch.from_numpy(card.preprocessing.normalise(images)))
        assert np.abs(outputs.probabilities.numpy() - golden["probabilities"]).max() < 1e-4
        assert np.abs(outputs.confidence.numpy() - golden["confidence"]).max() < 1e-4


class PaperEENet8(nn.Module):
    """EENet-8 with the names of the paper's code, written out layer by layer."""

    def __init__(self, f: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.initblock = nn.Sequential(nn.Conv2d(1, f, 3, padding=1), nn.BatchNorm2d(f), nn.ReLU())
        self.basicblock1 = nn.Sequential(
            nn.Conv2d(f, f, 3, padding=1), nn.BatchNorm2d(f), nn.ReLU(), nn.Conv2d(f, f, 3, padding=1)
        )
        self.basicblock2 = self.halving(f)
        self.conv2d_6 = nn.Conv2d(f, 2 * f, 1, stride=2)
        self.basicblock3 = self.halving(2 * f)
        self.conv2d_9 = nn.Conv2d(2 * f, 4 * f, 1, stride=2)
        self.finalblock = nn.Sequential(nn.BatchNorm2d(4 * f), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Sequential(nn.Linear(4 * f, classes), nn.Softmax(dim=1))
        self.exit0_classifier = nn.Sequential(nn.Linear(f, classes), nn.Softmax(dim=1))
        self.exit0_confidence = nn.Sequential(nn.Linear(f, 1), nn.Sigmoid())
        self.exit1_classifier = nn.Sequential(nn.Linear(2 * f, classes), nn.Softmax(dim=1))
        self.exit1_confidence = nn.Sequential(nn.Linear(2 * f, 1), nn.Sigmoid())

    @staticmethod
    def halving(c: int) -> nn.Sequential:
        return nn.Sequential(
            nn.BatchNorm2d(c),
            nn.ReLU(),
            nn.Conv2d(c, 2 * c, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * c),
            nn.ReLU(),
            nn.Conv2d(2 * c, 2 * c, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        x = self.initblock(x)
        x = x + self.basicblock1(x)
        pooled = [x.mean(dim=(2, 3))]
        x = self.conv2d_6(x) + self.basicblock2(x)
        pooled.append(x.mean(dim=(2, 3)))
        x = self.conv2d_9(x) + self.basicblock3(x)
        answers = [self.exit0_classifier(pooled[0]), self.exit1_classifier(pooled[1])]
        confidences = [self.exit0_confidence(pooled[0]), self.exit1_confidence(pooled[1])]
        return [*answers, self.classifier(self.finalblock(x).flatten(1))], confidences


@pytest.fixture
def paper_net() -> PaperEENet8:
    torch.manual_seed(3)
    network = PaperEENet8()
    network.train()
    for _ in range(3):  # so that BatchNorm has statistics of its own
        network(torch.randn(16, 1, 28, 28) + 0.5)
    return network.eval()


def test_eenet8_gives_its_own_answers(paper_net: PaperEENet8, tmp_path: Path) -> None:
    network, card = import_reference(saved(paper_net.state_dict(), tmp_path))
    assert card.spec.model == "eenet8"
    assert card.cost.exit_after == (1, 2)
    assert card.dataset == "mnist"
    assert card.preprocessing.invert_if_light
    images = torch.randn(6, 1, 28, 28)
    with torch.no_grad():
        answers, confidences = paper_net(images)
        outputs = network(images)
    assert torch.allclose(outputs.probabilities, torch.stack(answers, dim=1), atol=1e-6)
    assert torch.allclose(outputs.confidence[:, :2], torch.cat(confidences, dim=1), atol=1e-6)
    assert (outputs.confidence[:, 2] == 1).all()


def test_flags_are_checked_against_the_weights(tmp_path: Path) -> None:
    _, card = import_reference(
        REFERENCE,
        model="eenet20",
        placement="pareto",
        exit_type="pool",
        size=32,
        dataset="photos",
        class_names=tuple("abcdefghij"),
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
    )
    assert card.dataset == "photos"
    assert card.preprocessing.mean == (0.5, 0.5, 0.5)
    for flags, words in (
        ({"model": "eenet32"}, "got those of eenet20"),
        ({"placement": "linear"}, "expected exits placed linear, got exits after blocks"),
        ({"exit_type": "plain"}, "expected exit type pool"),
        ({"exit_type": "bnpool"}, "does not save the BatchNorm"),
        ({"dataset": "photos"}, "expected 10 class names, got 0"),
        ({"class_names": ("a", "b")}, "expected 10 class names, got 2"),
        ({"mean": (0.5,)}, "3 finite number"),
        ({"size": 5000}, "expected"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            import_reference(REFERENCE, **flags)
        assert "\n" not in str(caught.value)


def test_other_weights_give_one_line(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    without_stage = {name: tensor for name, tensor in weights.items() if not name.startswith("stages.4.")}
    without_stem = {name: tensor for name, tensor in weights.items() if not name.startswith("stages.0.0.")}
    shallower = {name: tensor for name, tensor in weights.items() if not name.startswith("stages.4.2.")}
    without_one = {name: tensor for name, tensor in weights.items() if name != "stages.1.0.bn1.weight"}
    wrong_shape = weights | {"stages.1.0.conv1.weight": torch.zeros(16, 8, 3, 3)}
    for changed, words in (
        (weights | {"layer1.0.conv1.weight": torch.zeros(1)}, "expected parameter names of the EENets paper's code"),
        ({"fc.weight": torch.zeros(2, 2)}, "got 'fc.weight'"),
        (without_stage, "expected stem, last classifier and one exit behind each stage"),
        (without_stem, "expected stem"),
        (shallower, "got 18: other depths"),
        (without_one, "expected tensor segments.1.0.bn1.weight"),
        (wrong_shape, r"expected tensor segments\.1\.0\.conv1\.weight of shape \(16, 16, 3, 3\)"),
        ({}, "expected stem"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            import_reference(saved(changed, tmp_path))
        assert "\n" not in str(caught.value)


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="got a pickle, which may run code and is never loaded"):
        import_reference(path)
