"""A trace holds what the network says."""

import numpy as np
import pytest
import torch

from core.data.datasets import ImageSet
from core.data.preprocess import Preprocessing
from core.network.registry import NetworkSpec, build_network
from core.network.tracing import record_trace, run_network

PREPROCESSING = Preprocessing(channels=1, size=28, mean=(0.13,), std=(0.31,))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (23, 1, 28, 28), dtype=np.uint8)
    return ImageSet(pixels, rng.integers(0, 10, 23), np.arange(23) * 3, tuple("0123456789"))


def test_trace_holds_what_the_network_says(images: ImageSet) -> None:
    torch.manual_seed(0)
    network, cost = build_network(NetworkSpec("eenet8", 2, "pareto", "pool", (1, 28, 28), 10))
    network.eval()
    done: list[int] = []
    outputs = run_network(network, images.images, PREPROCESSING, batch_size=10, report=done.append)
    assert done == [10, 20, 23]
    assert outputs.logits.shape == (23, 3, 10)
    assert outputs.logits.dtype == outputs.confidence_logits.dtype == np.float32
    assert np.isposinf(outputs.confidence_logits[:, 2]).all()
    with torch.no_grad():
        x = (torch.from_numpy(images.images).float() / 255 - 0.13) / 0.31
        wanted = network(x)
    assert outputs.logits == pytest.approx(wanted.logits.numpy(), abs=1e-4)
    trace = record_trace(network, images, PREPROCESSING, cost.relative(), "ab" * 32, "test")
    assert trace.n == 23
    assert (trace.ids == images.ids).all()
    assert (trace.labels == images.labels).all()
    assert trace.relative_cost.tolist() == list(cost.relative())
    assert trace.confidence == pytest.approx(wanted.confidence.numpy(), abs=1e-5)
    assert (trace.confidence[:, 2] == 1).all()
    assert trace.checkpoint_hash == "ab" * 32


def test_a_network_in_training_is_refused(images: ImageSet) -> None:
    network, _ = build_network(NetworkSpec("eenet8", 2, "pareto", "pool", (1, 28, 28), 10))
    with pytest.raises(ValueError, match="training mode"):
        run_network(network, images.images, PREPROCESSING)
