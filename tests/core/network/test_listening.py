"""Files on their way through a network."""

from contextlib import nullcontext

import numpy as np
import pytest

from core.benchmarks.many import run, zip_of_images
from core.checkpoints import load_network
from core.data.batch import Files
from core.data.embedded import load_embedded
from core.network.listening import listen
from core.network.tracing import run_network


@pytest.fixture(scope="module")
def loaded():
    return load_network("mnist/eenet8")


def test_a_zip_of_images_is_heard_as_the_images_are(loaded) -> None:
    network, card = loaded
    files = Files.open([("digits.zip", zip_of_images("mnist", 70))])
    turns = []
    steps = list(listen(network, files, card.preprocessing, turn=lambda: turns.append(1) or nullcontext()))
    images = load_embedded("mnist")[:70]
    assert np.array_equal(np.concatenate([chunk.pictures for chunk, _ in steps]), images)
    direct = run_network(network, images, card.preprocessing)
    np.testing.assert_allclose(np.concatenate([outputs.logits for _, outputs in steps]), direct.logits, atol=1e-4)
    assert len(turns) == len(steps) == 3


def test_the_benchmark_measures() -> None:
    measured = run("mnist/eenet8", n=50)
    assert measured["n"] == 50 and measured["images_per_second"] > 0
