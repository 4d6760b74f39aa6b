"""Fitting confidences leaves the rest of the network alone and lowers the loss it is asked to lower."""

import pytest
import torch

from core.network.exit_block import ANSWER_FEATURES, ConfidenceBranch, answer_features
from core.network.registry import NetworkSpec, build_network
from core.training.confidence import StandardizedBranch, fit_confidence
from core.training.losses import CONFIDENCE_LOSSES, best_exit, log_likelihood

COST_WEIGHT = 1.0


def test_answer_features_by_hand():
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    entropy = 0.5 * torch.tensor(2.0).log() + 0.5 * torch.tensor(4.0).log()
    expected = [torch.tensor(0.5).log(), torch.tensor(0.5).log(), torch.tensor(0.25).log(), entropy]
    assert answer_features(logits)[0].tolist() == pytest.approx([float(v) for v in expected])
    assert answer_features(torch.tensor([[500.0, 0.0]])).isfinite().all()


def test_a_folded_branch_says_what_the_standardised_one_said():
    inputs = torch.randn(50, 7 + ANSWER_FEATURES) * 5 + 2
    fitted = StandardizedBranch(inputs, learned=7)
    torch.nn.init.normal_(fitted.features)
    torch.nn.init.normal_(fitted.answer)
    torch.nn.init.normal_(fitted.bias)
    branch = ConfidenceBranch(7, sees_answer=True)
    fitted.fold_into(branch)
    assert torch.allclose(branch.linear(inputs).squeeze(1), fitted(inputs), atol=1e-4)


@pytest.mark.parametrize("loss", CONFIDENCE_LOSSES)
@pytest.mark.parametrize(("model", "exit_type"), [("eenet8", "plain"), ("eenet20", "pool")])
def test_fitting_lowers_the_loss_and_touches_nothing_else(loss, model, exit_type):
    torch.manual_seed(0)
    network, costs = build_network(NetworkSpec(model, 2, "linear", exit_type, (1, 8, 8), 3))
    network.eval()
    cost = torch.tensor(costs.relative(), dtype=torch.float32)
    x, labels = torch.randn(64, 1, 8, 8), torch.arange(64) % 3

    def value() -> float:
        with torch.no_grad():
            outputs = network(x)
        arguments = (log_likelihood(outputs.logits, labels), outputs.confidence_logits, cost, COST_WEIGHT)
        tags = (best_exit(arguments[0], cost, COST_WEIGHT),) if loss == "tagged" else ()
        return CONFIDENCE_LOSSES[loss](*arguments, *tags).item()

    before, state = value(), {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def stream():
        while True:
            yield x, labels

    fit_confidence(network, stream, cost, loss, COST_WEIGHT, steps=60)
    assert value() < before
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, state[name])}
    assert changed
    assert all(".confidence." in name for name in changed)
