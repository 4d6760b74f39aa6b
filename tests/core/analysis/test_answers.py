"""Routing by arithmetic against the executor, image by image."""

import numpy as np
import pytest

from core.analysis.answers import leave
from core.analysis.rules import RULES
from core.checkpoints import load_network
from core.data.embedded import load_embedded
from core.network.executor import Policy, execute
from core.network.tracing import run_network


@pytest.fixture(scope="module")
def heard():
    network, card = load_network("mnist/eenet8")
    images = load_embedded("mnist")[:60]
    return network, card.preprocessing.normalise(images), run_network(network, images, card.preprocessing)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("thresholds", [(0.0,), (0.6,), (0.995, 0.7), (1.0,)])
@pytest.mark.parametrize("temperatures", [None, (1.5, 0.8, 1.2)])
def test_what_running_each_image_alone_gives(heard, rule, thresholds, temperatures) -> None:
    network, inputs, outputs = heard
    found = leave(*outputs, rule, thresholds, temperatures)
    policy = Policy(rule, thresholds, temperatures)
    alone = [execute(network, image[None], policy) for image in inputs]
    assert found.exits.tolist() == [int(one.exits[0]) for one in alone]
    assert found.predicted.tolist() == [int(one.predicted[0]) for one in alone]
    np.testing.assert_allclose(found.probability, [one.probabilities[0].max() for one in alone], atol=1e-5)
    scores = [one.scores[0, one.exits[0]] for one in alone]
    np.testing.assert_allclose(found.score, scores, atol=1e-5)


def test_no_images() -> None:
    found = leave(np.empty((0, 3, 10), np.float32), np.empty((0, 3), np.float32), "probability", (0.5,))
    assert len(found.exits) == len(found.predicted) == len(found.probability) == 0
