"""torchvision's networks as chains: the same computation as torchvision's own with the same weights."""

import pytest
import torch
from torch import nn
from torchvision import models

from core.errors import UserError
from core.network.registry import BACKBONES, NetworkSpec, build_network
from core.network.torchvision_backbones import scaled

OWN = {
    "eenet18": models.resnet18,
    "eenet50": models.resnet50,
    "eevgg11": models.vgg11_bn,
    "eemobilenet_v2": models.mobilenet_v2,
    "eemobilenet_v3_small": models.mobilenet_v3_small,
}


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Weights in the order of the modules that have any: the chains keep torchvision's order."""
    state = source.state_dict()
    assert len(state) == len(target.state_dict())
    target.load_state_dict(dict(zip(target.state_dict(), state.values(), strict=True)))


@pytest.mark.parametrize("model", OWN)
def test_a_chain_computes_what_torchvision_does(model: str) -> None:
    torch.manual_seed(0)
    own = OWN[model](num_classes=7).eval()
    chain = BACKBONES[model](NetworkSpec(model, 0, "pareto", "pool", (3, 64, 64), 7))
    ours = nn.Sequential(*chain.blocks, chain.neck, chain.classifier).eval()
    copy_in_order(own, ours)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours(images), own(images), atol=1e-5)
        vectors = chain.neck(nn.Sequential(*chain.blocks)(images))
    assert vectors.shape == (2, chain.features)


@pytest.mark.parametrize("model", ["eenet18", "eevgg16", "eemobilenet_v2", "eemobilenet_v3_large"])
def test_a_small_stem_keeps_the_size(model: str) -> None:
    chain = BACKBONES[model](NetworkSpec(model, 0, "pareto", "pool", (1, 32, 32), 7, stem="small", width=0.25)).blocks
    assert chain[0](torch.zeros(2, 1, 32, 32)).shape[2:] == (32, 32)


def test_width_scales_channels_and_cost() -> None:
    assert [scaled(64, w) for w in (1, 0.25, 0.3, 0.01, 2)] == [64, 16, 16, 8, 128]
    spec = {"placement": "linear", "exit_type": "pool", "input_shape": (3, 32, 32), "num_classes": 10, "stem": "small"}
    whole, half = (build_network(NetworkSpec("eenet18", 3, width=width, **spec))[1] for width in (1, 0.5))
    assert 3.5 < whole.plain_macs / half.plain_macs < 4.1
    assert len(whole.exit_after) == 3


def test_too_many_exits_for_a_vgg() -> None:
    with pytest.raises(UserError, match="expected at most"):
        build_network(NetworkSpec("eevgg11", 12, "linear", "pool", (3, 32, 32), 10, stem="small", width=0.25))
