"""The five losses against numbers computed with the paper's own code, and against tiny cases worked out by hand."""

import json
from math import log
from pathlib import Path

import pytest
import torch

from core.training.losses import (
    best_exit,
    cumulate,
    cumulative,
    fused,
    log_likelihood,
    normalized,
    tagged,
    unweighted,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "losses.json").read_text())


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"K={row['num_early_exits']}")
def test_losses_equal_the_papers_code(row):
    probabilities = torch.tensor(row["probabilities"]).transpose(0, 1)  # (batch, exits, classes)
    confidence = torch.tensor(row["confidences"]).reshape(len(probabilities[0, :, 0]), -1).T.contiguous()
    likelihood = log_likelihood(probabilities.log(), torch.tensor(row["target"]))
    confidence_logits = torch.logit(confidence.reshape(likelihood.shape))
    cost, weight = torch.tensor(row["relative_cost"]), row["lambda_coef"]
    arguments = (likelihood, confidence_logits, cost, weight)
    values = {
        "v0": unweighted(likelihood),
        "v1": fused(*arguments),
        "v2": cumulative(*arguments),
        "v3": normalized(*arguments),
        "v4": tagged(*arguments, torch.tensor(row["exit_tag"])),
    }
    for name, value in values.items():
        assert value.item() == pytest.approx(row["loss"][name], rel=1e-5), name
    assert best_exit(likelihood, cost, weight).tolist() == row["best_exit_tag"]


# one example, two exits: y_1 = 1/4 and y_2 = 1/2 for the true class, h_1 = 1/2, costs 0.4 and 1
LIKELIHOOD = torch.tensor([[0.25, 0.5]]).log()
CONFIDENCE_LOGITS = torch.zeros(1, 2)
COST = torch.tensor([0.4, 1.0])


def test_cumulating_by_hand():
    log_y, spent = cumulate(LIKELIHOOD, CONFIDENCE_LOGITS, COST)
    assert log_y.exp().tolist() == [pytest.approx([0.375, 0.5])]  # 1/2 * 1/4 + 1/2 * 1/2
    assert spent.tolist() == [pytest.approx([0.7, 1.0])]


def test_losses_by_hand():
    assert fused(LIKELIHOOD, CONFIDENCE_LOGITS, COST, 2.0).item() == pytest.approx(-log(0.375) + 1.4)
    assert cumulative(LIKELIHOOD, CONFIDENCE_LOGITS, COST, 2.0).item() == pytest.approx(
        -log(0.375) + 1.4 - log(0.5) + 2.0
    )
    assert normalized(LIKELIHOOD, CONFIDENCE_LOGITS, COST, 2.0).item() == pytest.approx(
        (-log(0.25) + 0.8 - log(0.5) + 2.0) / 2
    )
    assert unweighted(LIKELIHOOD, 0.25).item() == pytest.approx(-0.25 * log(0.25) - log(0.5))


def test_the_tag_is_the_exit_with_the_lowest_sum_and_the_earliest_of_equals():
    assert best_exit(LIKELIHOOD, COST, 2.0).tolist() == [0]  # -log(1/4) + 0.8 < -log(1/2) + 2
    assert best_exit(LIKELIHOOD, COST, 0.0).tolist() == [1]
    assert best_exit(torch.zeros(1, 2), COST, 0.0).tolist() == [0]


@pytest.mark.parametrize("loss", [fused, cumulative, normalized])
def test_saturated_confidences_keep_loss_and_gradient_finite(loss):
    likelihood = torch.tensor([[-80.0, -0.1, -3.0], [-1.0, -90.0, -0.5]], requires_grad=True)
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    value = loss(likelihood, logits, torch.tensor([0.2, 0.5, 1.0]), 1.0)
    value.backward()
    assert value.isfinite()
    assert likelihood.grad.isfinite().all()
    assert logits.grad.isfinite().all()


def test_a_last_exit_without_confidence_branch_takes_part_as_certain():
    logits = torch.tensor([[0.0, torch.inf]], requires_grad=True)
    tags = torch.tensor([0])
    for value in (
        cumulative(LIKELIHOOD, logits, COST, 1.0),
        normalized(LIKELIHOOD, logits, COST, 1.0),
        tagged(LIKELIHOOD, logits, COST, 1.0, tags),
    ):
        assert value.isfinite()
        (gradient,) = torch.autograd.grad(value, logits)
        assert gradient[0, 0].isfinite()
