"""Muon: orthogonal steps of fixed length for filters, Nesterov SGD for the rest, worked out by hand."""

import pytest
import torch
from torch import nn

from core.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (16, 144), (9, 5)])
def test_singular_values_become_alike(shape):
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = left @ torch.diag(torch.linspace(1, 0.1, min(shape))) @ right
    after = torch.linalg.svdvals(orthogonalise(matrix, steps=5))
    assert after.min() > 0.5 and after.max() < 1.3


def test_the_step_does_not_depend_on_the_scale_of_the_gradient():
    torch.manual_seed(1)
    matrix = torch.randn(6, 20)
    assert torch.allclose(orthogonalise(matrix), orthogonalise(1e-4 * matrix), atol=1e-3)


def test_orthogonalising_keeps_the_singular_directions():
    # for a diagonal matrix the iteration is the scalar polynomial on each entry: 0.6 and 0.8 after normalising
    a, b, c = 3.4445, -4.7750, 2.0315
    expected = [a * s + b * s**3 + c * s**5 for s in (0.6, 0.8)]
    assert torch.allclose(
        orthogonalise(torch.diag(torch.tensor([3.0, 4.0])), steps=1), torch.diag(torch.tensor(expected))
    )


def test_a_filter_bank_turns_by_its_rate_and_keeps_its_length():
    torch.manual_seed(2)
    filters = nn.Parameter(torch.randn(8, 4, 3, 3))
    start = filters.detach().clone()
    optimizer = Muon([{"params": [filters], "filters": True, "lr": 0.1}])
    for _ in range(3):
        before = filters.detach().clone()
        filters.grad = torch.randn_like(filters)
        optimizer.step()
        assert filters.norm().item() == pytest.approx(start.norm().item(), rel=1e-5)
        turned = (filters.detach() - before).norm() / start.norm()
        assert 0.05 < turned < 0.11  # at most the rate: what points outwards is taken back


def test_the_rest_takes_the_same_steps_as_torchs_nesterov_sgd():
    torch.manual_seed(3)
    ours, theirs = nn.Parameter(torch.randn(5, 3)), None
    theirs = nn.Parameter(ours.detach().clone())
    muon = Muon([{"params": [ours], "lr": 0.2, "weight_decay": 0.01}])
    sgd = torch.optim.SGD([theirs], lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.01)
    for _ in range(4):
        ours.grad = torch.randn_like(ours)
        theirs.grad = ours.grad.clone()
        muon.step()
        sgd.step()
    assert torch.allclose(ours, theirs, atol=1e-6)
