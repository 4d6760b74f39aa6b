"""Every registered network with every exit type."""

import pytest
import torch

from core.errors import UserError
from core.network.exit_block import NormalizedPool, early_exit_block
from core.network.registry import BACKBONES, NetworkSpec, assemble, build_network, display_name
from core.network.spec import EXIT_TYPES, MODELS, TORCHVISION_MODELS, plain_name

DEEP = ("eenet44", "eenet56", "eenet110", "eenet101", "eenet152", "eevgg13", "eevgg19")
SMALL = [model for model in MODELS if model not in DEEP]


def spec_of(model: str, exit_type: str = "pool", **changes: object) -> NetworkSpec:
    shape = (1, 28, 28) if model == "eenet8" else (3, 16, 16)
    values = {
        "model": model,
        "num_early_exits": 2,
        "placement": "pareto",
        "exit_type": exit_type,
        "input_shape": shape,
        "num_classes": 5,
    }
    if model in TORCHVISION_MODELS:
        values |= {"input_shape": (3, 32, 32), "stem": "small", "width": 0.125}
    return NetworkSpec(**(values | changes))


def make(spec: NetworkSpec) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(spec)[0]


def test_every_model_has_a_backbone() -> None:
    assert tuple(BACKBONES) == MODELS


@pytest.mark.parametrize("exit_type", EXIT_TYPES)
@pytest.mark.parametrize("model", MODELS)
def test_outputs_are_finite_and_of_the_right_shape(model: str, exit_type: str) -> None:
    spec = spec_of(model, exit_type)
    network = make(spec).eval()
    with torch.no_grad():
        outputs = network(torch.randn(3, *spec.input_shape))
    assert outputs.logits.shape == (3, 3, 5)
    assert outputs.confidence_logits.shape == (3, 3)
    assert outputs.logits.isfinite().all()
    assert not outputs.confidence_logits.isnan().any()
    assert torch.allclose(outputs.probabilities.sum(dim=2), torch.ones(3, 3))
    assert (outputs.confidence >= 0).all()
    assert (outputs.confidence <= 1).all()


@pytest.mark.parametrize("exit_type", EXIT_TYPES)
@pytest.mark.parametrize("model", MODELS)
def test_gradient_reaches_every_parameter(model: str, exit_type: str) -> None:
    spec = spec_of(model, exit_type)
    network = make(spec).train()
    outputs = network(torch.randn(4, *spec.input_shape))
    confidence = outputs.confidence_logits
    loss = outputs.logits.square().sum() + confidence[confidence.isfinite()].square().sum()
    loss.backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a convolution's bias in front of a BatchNorm changes nothing, so its gradient is zero but for rounding
    assert [name for name in without if not (model == "eenet8" and name.endswith("bias"))] == []
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("exit_type", EXIT_TYPES)
@pytest.mark.parametrize("model", MODELS)
def test_state_dict_holds_every_tensor(model: str, exit_type: str) -> None:
    network = make(spec_of(model, exit_type))
    state = network.state_dict()
    modules = [module for module in network.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))]
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(state) == len(list(network.parameters())) + len(list(network.buffers()))
    tensors = sum(1 + (module.bias is not None) for module in modules) + 5 * len(norms)
    assert len(state) == tensors
    if exit_type == "bnpool":
        assert "exits.0.neck.0.running_mean" in state


@pytest.mark.parametrize("exit_type", EXIT_TYPES)
@pytest.mark.parametrize("model", SMALL)
def test_a_batch_of_n_equals_n_of_one(model: str, exit_type: str) -> None:
    spec = spec_of(model, exit_type)
    network = make(spec).eval()
    images = torch.randn(5, *spec.input_shape)
    with torch.no_grad():
        together = network(images)
        alone = [network(image[None]) for image in images]
    assert torch.allclose(together.logits, torch.cat([o.logits for o in alone]), atol=1e-4)
    assert torch.allclose(together.confidence, torch.cat([o.confidence for o in alone]), atol=1e-5)


def test_building_leaves_no_trace_in_the_network() -> None:
    network = make(spec_of("eenet20", "bnpool"))
    assert network.training
    assert all(module.training for module in network.modules())
    counters = [v for name, v in network.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counters
    assert not any(counters)


def test_a_plain_network_has_one_exit_and_no_confidence() -> None:
    spec = spec_of("eenet20", num_early_exits=0)
    network, cost = build_network(spec)
    assert network.num_exits == 1
    assert not any("confidence" in name for name in network.state_dict())
    assert cost.relative() == (1.0,)


@pytest.mark.parametrize(
    ("model", "plain", "title", "plain_title"),
    [
        ("eenet20", "resnet20", "EENet-20", "ResNet-20"),
        ("eevgg16", "vgg16", "EE-VGG-16, width 0.125", "VGG-16, width 0.125"),
        ("eemobilenet_v2", "mobilenet_v2", "EE-MobileNetV2, width 0.125", "MobileNetV2, width 0.125"),
        (
            "eemobilenet_v3_small",
            "mobilenet_v3_small",
            "EE-MobileNetV3 small, width 0.125",
            "MobileNetV3 small, width 0.125",
        ),
    ],
)
def test_names(model: str, plain: str, title: str, plain_title: str) -> None:
    assert plain_name(model) == plain
    assert display_name(spec_of(model)) == title
    assert display_name(spec_of(model, num_early_exits=0)) == plain_title


def test_eenet8_is_the_network_of_the_paper() -> None:
    network, cost = build_network(spec_of("eenet8", num_classes=10))
    assert cost.exit_after == (1, 2)
    assert sum(p.numel() for name, p in network.named_parameters() if ".confidence." not in name) == sum(
        (
            1 * 4 * 9 + 4 + 8,  # stem and its BatchNorm
            2 * (4 * 4 * 9 + 4) + 8,  # block 1
            8 + (4 * 8 * 9 + 8) + 16 + (8 * 8 * 9 + 8) + (4 * 8 + 8),  # block 2 and its shortcut
            16 + (8 * 16 * 9 + 16) + 32 + (16 * 16 * 9 + 16) + (8 * 16 + 16),  # block 3
            32 + (16 * 10 + 10),  # last BatchNorm and classifier
            (4 * 10 + 10) + (8 * 10 + 10),  # exits 1 and 2
        )
    )


def test_assembled_equals_built() -> None:
    spec = spec_of("eenet32")
    torch.manual_seed(1)
    network, cost = build_network(spec)
    torch.manual_seed(1)
    again = assemble(spec, cost.exit_after)
    for (name, tensor), (other, copy) in zip(network.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(tensor, copy)


def test_normalized_pool_is_the_same_before_and_behind_the_average() -> None:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(3)
    pool = NormalizedPool(norm, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    x = torch.randn(8, 3, 5, 5) * 2 + 1
    pool.train()(x)
    pool.eval()
    assert torch.allclose(pool(x), norm(x).mean(dim=(2, 3)), atol=1e-6)


def test_grid_exits_see_the_mean_of_each_quarter() -> None:
    block = early_exit_block("grid", (2, 4, 4), 3, sees_answer=False)
    x = torch.arange(32.0).view(1, 2, 4, 4)
    quarters = [[2.5, 4.5, 10.5, 12.5], [18.5, 20.5, 26.5, 28.5]]  # left and right above, left and right below
    assert block.neck(x).tolist() == [[*quarters[0], *quarters[1]]]
    assert block.classifier.weight.shape == (3, 8)
    assert block.confidence is not None
    assert block.confidence.linear.weight.shape == (1, 8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"placement": "random"}, "expected placement"),
        ({"exit_type": "attention"}, "expected exit type"),
        ({"confidence_input": "labels"}, "expected confidence input"),
        ({"num_early_exits": -1}, "0 or more"),
        ({"num_early_exits": 1.5}, "0 or more"),
        ({"num_classes": 1}, "two classes"),
        ({"input_shape": (3, 32)}, "input shape"),
        ({"input_shape": "3x32x32"}, "input shape"),
        ({"input_shape": (3, 0, 32)}, "input shape"),
        ({"stem": "large"}, "expected stem"),
        ({"stem": "small"}, "standard stem and width 1"),
        ({"width": 0.5}, "standard stem and width 1"),
        ({"model": "eenet18", "width": 0}, "width above 0"),
        ({"model": "eenet18", "width": "wide"}, "width above 0"),
        ({"model": "eenet18", "stem": "small", "input_shape": (3, 96, 96)}, "at most 64 pixels"),
    ],
)
def test_bad_specs_give_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        spec_of(**{"model": "eenet20"} | changes)
    assert "\n" not in str(caught.value)


def test_unknown_models_are_refused() -> None:
    with pytest.raises(UserError, match="expected model to be one of eenet8"):
        spec_of("eenet19")


def test_spec_survives_json() -> None:
    spec = spec_of("eenet20")
    assert NetworkSpec.from_json(spec.to_json()) == spec
    with pytest.raises(UserError, match="expected the network's fields"):
        NetworkSpec.from_json(spec.to_json() | {"depth": 3})
    with pytest.raises(UserError, match="expected the network's fields"):
        NetworkSpec.from_json({"model": "eenet20"})


def test_more_exits_than_fit() -> None:
    with pytest.raises(UserError, match="expected at most 6 early exits"):
        build_network(spec_of("eenet20", num_early_exits=12, input_shape=(3, 32, 32)))
