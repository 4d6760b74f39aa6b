"""Grad-CAM against numbers worked out by hand, and that it leaves the shared network as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import UserError
from core.network.attribution import grad_cam
from core.network.chain import Chain
from core.network.early_exit import EarlyExitNetwork
from core.network.registry import build_network
from core.network.spec import EXIT_TYPES, NetworkSpec


def tiny() -> EarlyExitNetwork:
    """One 1x1 convolution to two channels (x and -x), average over space, two classes."""
    convolution = nn.Conv2d(1, 2, 1, bias=False)
    classifier = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
        classifier.weight.copy_(torch.tensor([[4.0, 0.0], [0.0, 8.0]]))
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    chain = Chain([convolution], neck, classifier, features=None)
    return EarlyExitNetwork(chain, (), "pool", (1, 2, 2), 2, False).eval()


IMAGE = np.array([[[[1.0, 2.0], [-3.0, 4.0]]]], np.float32)


def test_numbers_worked_out_by_hand() -> None:
    """Class 0: logit 4 mean(x), gradient 1 per pixel of channel 0, so the map is relu(x), over its maximum 4.
    Class 1: logit -8 mean(x), gradient 2 per pixel of channel 1 = -x, so the map is relu(-2 x), over its maximum 6."""
    found = grad_cam(tiny(), IMAGE, 0)
    np.testing.assert_allclose(found.heat, [[[0.25, 0.5], [0, 1]]], atol=1e-6)
    found = grad_cam(tiny(), IMAGE, 1)
    np.testing.assert_allclose(found.heat, [[[0, 0], [1, 0]]], atol=1e-6)
    own = grad_cam(tiny(), IMAGE)
    assert own.classes.tolist() == [0]  # logits 4 and -8
    np.testing.assert_allclose(own.probabilities, [[1 / (1 + np.exp(-12)), 1 / (1 + np.exp(12))]], rtol=1e-5)
    assert not own.looks_nowhere.any()


def test_an_exit_may_look_nowhere() -> None:
    found = grad_cam(tiny(), -np.abs(IMAGE), 0)
    assert found.looks_nowhere.tolist() == [True] and not found.heat.any()


def network(exit_type: str) -> EarlyExitNetwork:
    torch.manual_seed(3)
    made, _ = build_network(NetworkSpec("eenet8", 2, "pareto", exit_type, (1, 28, 28), 10))
    return made.eval()


@pytest.mark.parametrize("exit_type", EXIT_TYPES)
def test_every_exit_type_against_gradients_taken_directly(exit_type: str) -> None:
    made = network(exit_type)
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    found = grad_cam(made, image.numpy(), 4)
    assert found.heat.shape == (3, 28, 28) and found.heat.dtype == np.float32
    assert found.heat.min() >= 0 and found.heat.max() <= 1 and found.classes.tolist() == [4, 4, 4]
    x = image
    for n, segment in enumerate(made.segments):
        x = segment(x).detach().requires_grad_()
        gradient = torch.autograd.grad(made.exit_block(n)(x)[0][0, 4], x)[0]
        cam = (gradient.mean(dim=(2, 3), keepdim=True) * x).sum(dim=1, keepdim=True).relu()
        wanted = nn.functional.interpolate(cam, (28, 28), mode="bilinear")[0, 0].detach()
        wanted = wanted / wanted.max() if wanted.max() > 0 else wanted
        np.testing.assert_allclose(found.heat[n], wanted.numpy(), atol=1e-5)


def test_the_shared_network_stays_as_it_was() -> None:
    made = network("bnpool")
    before = {name: value.clone() for name, value in made.state_dict().items()}
    wanted_grad = [p.requires_grad for p in made.parameters()]
    with torch.inference_mode():  # whatever mode the caller is in
        first = grad_cam(made, np.random.default_rng(0).random((1, 1, 28, 28), np.float32))
    second = grad_cam(made, np.random.default_rng(0).random((1, 1, 28, 28), np.float32))
    np.testing.assert_array_equal(first.heat, second.heat)
    assert all(parameter.grad is None for parameter in made.parameters())
    assert [p.requires_grad for p in made.parameters()] == wanted_grad
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.modules())
    assert not any(module._backward_hooks for module in made.modules()) and not made.training
    for name, value in made.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_answers_are_the_network_s() -> None:
    made = network("pool")
    image = np.random.default_rng(5).random((1, 1, 28, 28), np.float32)
    found = grad_cam(made, image)
    with torch.no_grad():
        wanted = made(torch.from_numpy(image)).probabilities[0].numpy()
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-6)
    np.testing.assert_array_equal(found.classes, wanted.argmax(axis=1))


def test_what_makes_no_sense_is_one_line() -> None:
    with pytest.raises(UserError, match="class from 0 to 1, got 2"):
        grad_cam(tiny(), IMAGE, 2)
    with pytest.raises(UserError, match="expected one preprocessed picture"):
        grad_cam(tiny(), IMAGE[:, :, :1], 0)
    with pytest.raises(ValueError, match="training mode"):
        grad_cam(tiny().train(), IMAGE, 0)
