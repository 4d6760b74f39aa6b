"""Is a picture from outside one of the network's kind? An honest line about it, with what it is compared with."""

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache
from app.state import DATASETS
from core.checkpoints import Card
from core.data.embedded import load_labels
from core.data.likeness import Reference, evenly, measures, unlike
from core.data.preprocess import Prepared

_COMPARED = 1_000  # test images that are taken through the network for the comparison
_RARE = 0.99  # from this share on a picture is called unusual
_BATCH = 50
_LONGEST_WAIT = 60  # seconds for the comparison's images to run


@dataclass(frozen=True)
class Compared:
    """The test images as a picture is compared with them.

    Args:
        reference: some of them, in the network's feature space.
        measures: of the pixels of all of them.
    """

    reference: Reference
    measures: NDArray[np.float32]


def prepare(name: str, card: Card, device: str) -> "Future[Compared] | None":
    """Start to take test images through the network, in the background; None where there are none of its shape.

    Args:
        name: of the checkpoint.
        device: where its network runs; it must be loaded already.
    """
    if not cache.has_images(card.dataset):
        return None
    images = cache.test_images(card.dataset)
    if images.shape[1:] != card.preprocessing.input_shape or len(images) < 2:
        return None
    network, _, lock = cache.load_network(name, device)
    labels = load_labels(card.dataset, cache.ROOT)
    return _reference(cache.weights_hash(name), labels.sha256, device, network, lock, card, images)


@st.cache_resource(max_entries=8, show_spinner=False)
def _reference(
    weights: str, pixels: str, device: str, _network: Any, _lock: Any, _card: Card, _images: NDArray[np.uint8]
) -> "Future[Compared]":
    def run() -> Compared:
        rows = evenly(len(_images), _COMPARED)
        found = _features(_network, _images[rows], _card, _lock)
        return Compared(Reference.fit(found, len(_images)), measures(_images))

    pool = ThreadPoolExecutor(1, thread_name_prefix="comparison")
    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def _features(network: Any, images: NDArray[np.uint8], card: Card, lock: Any) -> NDArray[np.float32]:
    """Means and spreads of the feature maps at all exits, side by side; others get their turn in between."""
    from core.network.features import pooled_features

    found = pooled_features(network, images, card.preprocessing, _BATCH, spread=True, turn=lambda: lock)
    return np.concatenate(found, axis=1)


def look(name: str, card: Card, prepared: Prepared, device: str) -> tuple[str, bool] | None:
    """What is to be said about a picture from outside, and whether it is unusual; None without test images.

    Args:
        name: of the checkpoint; its network is loaded, and nobody here holds its lock.
        prepared: what the network sees.
    """
    future = prepare(name, card, device)
    if future is None:
        return None
    try:
        compared = future.result(timeout=_LONGEST_WAIT)
    except TookTooLong:
        return "Still taking test images through the network to compare this picture with: ask again in a while.", False
    network, _, lock = cache.load_network(name, device)
    features = _features(network, prepared.picture[None], card, lock)[0]
    found = unlike(prepared.picture, compared.measures)
    dataset = DATASETS.get(card.dataset, card.dataset)
    reference = compared.reference
    return words(reference.share_nearer(features), found, reference, dataset, len(card.class_names))


def words(share: float, found: tuple[str, ...], reference: Reference, dataset: str, classes: int) -> tuple[str, bool]:
    """One line: how unusual a picture is among which images, and what that does not prove.

    Args:
        share: of the compared test images that are less unusual.
        found: in what its pixels are out of the ordinary, see `unlike`.
    """
    far = share >= _RARE
    amount = "all" if share == 1 else f"{100 * share:.1f}\u202f%"
    n = f"{reference.available:,} {dataset} test images"
    of = f"the {n}" if reference.n == reference.available else f"{reference.n:,} of the {n}"
    listed = " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))
    if far:
        also = f"; it is {listed} of them" if found else ""
        return (
            f"Not one of its kind, it seems: to this network the picture is more unusual than {amount} of {of} "
            f"(distance in its feature space){also}. It may be sure all the same; here that proves nothing."
        ), True
    if found:
        return (
            f"Unlike the {n}: as the network sees it, this picture is {listed} of them, though in its feature space "
            f"only more unusual than {amount} of {of}. It may be sure all the same; here that proves little."
        ), True
    return (
        f"To this network the picture is more unusual than {amount} of {of} (distance in its feature space): "
        f"nothing remarkable, and no proof that it shows one of the {classes} classes."
    ), False
