"""Refits while you wait: computed once in the background, shared by all visitors, kept as a checkpoint on request.

Everything that needs torch runs in threads of its own; this module imports none of it. Three jobs, each kept:
the test images through the frozen network, the softmax branches (they do not know the cost weight), the refit itself.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import streamlit as st

from app import cache
from core.checkpoints import Card, checkpoint_folder, checkpoint_hash, load_card
from core.data.embedded import LABELS_FILE, load_labels
from core.errors import UserError
from core.exit_features import PooledFeatures, features_path, load_features
from core.families import REFIT_METHOD
from core.network.cost import CostTable
from core.refit_recipe import RefitRecipe
from core.trace import Trace

Report = Callable[[float, str], None]
_READING = "Taking the test images through the network, once …"
_SOFTMAX = "Fitting the softmax branches, once for all λ …"
_CONFIDENCE = "Fitting the confidence branches …"


class Job:
    """Work in a thread of its own, with what it says on the way.

    Args:
        work: is given a function to report the part that is done, 0..1, and what it is doing; may raise.
    """

    def __init__(self, work: Callable[[Report], Any]):
        self.part, self.words = 0.0, ""
        self.result: Any = None
        self.problem: str | None = None
        self._done = Event()
        Thread(target=self._run, args=(work,), name="refit", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._done.is_set()

    def wait(self, report: Report = lambda part, words: None) -> Any:
        """The result as soon as it is there.

        Args:
            report: told how it goes, ten times a second; what it raises ends the waiting, not the work.

        Raises:
            UserError: why there is none.
        """
        while not self._done.wait(0.1):
            report(self.part, self.words)
        if self.problem is not None:
            raise UserError(self.problem)
        return self.result

    def _run(self, work: Callable[[Report], Any]) -> None:
        try:
            self.result = work(self._report)
        except UserError as error:
            self.problem = str(error)
        except Exception as error:  # a thread has nobody else to tell
            logging.getLogger(__name__).exception("a refit failed")
            self.problem = f"expected to refit the exits, got {type(error).__name__}: see the server's log"
        finally:
            self._done.set()

    def _report(self, part: float, words: str) -> None:
        self.part, self.words = part, words


@dataclass(frozen=True, eq=False)
class Refit:
    """Fitted exits and what they answer.

    Args:
        recipe: what was asked.
        base: name of the frozen network.
        trace: on the test split.
        cost: with the exits' own type.
        softmax, confidences: the fitted branches, see `core.training.refit.Linear`.
        seconds: the fit of this cost weight took, without what is done once for all of them.
    """

    recipe: RefitRecipe
    base: str
    trace: Trace
    cost: CostTable
    softmax: list[Any]
    confidences: list[Any]
    seconds: float


def can_refit(name: str) -> str | None:
    """None if a checkpoint can be refitted with what ships beside it, else one line on what is missing."""
    try:
        folder = checkpoint_folder(name, cache.ROOT)
        card = load_card(name, cache.ROOT)
    except UserError as error:
        return str(error)
    path = features_path(folder)
    if card.is_plain:
        return f"expected a network with early exits, got {name}, which has none: choose another one"
    if not path.is_file():
        return f"expected {path.name} in {name}, got no such file: run `python -m core features {name}`"
    if not cache.has_images(card.dataset):
        return f"expected test images of {card.dataset} beside its checkpoints, got none: copy test-images.* there"
    return None


def begin(name: str, device: str) -> None:
    """Start what a first refit would have to wait for; nothing where there is nothing to refit from."""
    if can_refit(name) is None:
        with suppress(UserError):  # whoever asks for a refit is told
            _basis(name, device)


def start(name: str, recipe: RefitRecipe, device: str) -> Job:
    """The refit of a checkpoint, begun now or earlier.

    Args:
        name: of the frozen network.
        device: where the test images run.

    Raises:
        UserError: `can_refit` says what is missing.
    """
    problem = can_refit(name)
    if problem is not None:
        raise UserError(problem)
    return _refit(*_key(name), device, recipe)


def forget(name: str, recipe: RefitRecipe, device: str) -> None:
    """Drop a refit that failed, and what it failed for: asked for again, it is tried again."""
    if can_refit(name) is not None:
        return
    root, _, weights, stamp, pixels = _key(name)
    try:
        tested, softmax = _basis(name, device)
    except UserError:
        return
    job = _refit(root, name, weights, stamp, pixels, device, recipe)
    for part, drop in (
        (job, lambda: _refit.clear(root, name, weights, stamp, pixels, device, recipe)),
        (tested, lambda: _test_features.clear(root, name, weights, pixels, device)),
        (softmax, lambda: _softmax.clear(root, name, weights, stamp)),
    ):
        if part.problem is not None:
            drop()


def _key(name: str) -> tuple[str, str, str, int, int]:
    """What a refit depends on besides its recipe: root, network, weights, and when features and images were written."""
    folder, card = checkpoint_folder(name, cache.ROOT), load_card(name, cache.ROOT)
    written = (features_path(folder), cache.ROOT / card.dataset / LABELS_FILE)
    features, images = (path.stat().st_mtime_ns for path in written)
    return str(cache.ROOT), name, cache.weights_hash(name), features, images


def _basis(name: str, device: str) -> tuple[Job, Job]:
    """Test features and softmax branches of a checkpoint."""
    root, _, weights, stamp, pixels = _key(name)
    return _test_features(root, name, weights, pixels, device), _softmax(root, name, weights, stamp)


@st.cache_resource(max_entries=8, show_spinner=False)
def _test_features(root: str, name: str, weights: str, pixels: int, device: str) -> Job:
    card = load_card(name, Path(root))
    labels = load_labels(card.dataset, Path(root)).labels
    images = cache.test_images(card.dataset)

    def work(report: Report) -> tuple[PooledFeatures, Any]:
        report(0.0, _READING)
        from core.checkpoints import load_network
        from core.network.devices import pick_device
        from core.network.features import exit_features

        shape = card.preprocessing.input_shape
        if images.shape[1:] != shape:
            raise UserError(
                f"expected test images of {shape} (channels, height, width), got {images.shape[1:]}: "
                "embed the images the network was made for"
            )
        network, _ = load_network(name, pick_device(device).name, Path(root))

        def tell(done: int) -> None:
            report(done / len(images), _READING)
            time.sleep(0)  # the page comes first

        found = exit_features(network, images, card.preprocessing, 200, tell)
        ids = np.arange(len(images))
        return PooledFeatures.from_arrays(*found, labels, ids, weights, "test"), network.cpu()

    return Job(work)


@st.cache_resource(max_entries=8, show_spinner=False)
def _softmax(root: str, name: str, weights: str, stamp: int) -> Job:
    def work(report: Report) -> tuple[PooledFeatures, list[Any]]:
        training = load_features(name, Path(root))
        from core.training.refit import fit_softmax, warm_up

        warm_up()
        return training, fit_softmax(training, report=lambda part: report(part, _SOFTMAX))

    return Job(work)


@st.cache_resource(max_entries=64, show_spinner=False)
def _refit(root: str, name: str, weights: str, stamp: int, pixels: int, device: str, recipe: RefitRecipe) -> Job:
    tested, softmax = _basis(name, device)

    def work(report: Report) -> Refit:
        training, branches = softmax.wait(lambda part, words: report(0.2 * part, words))
        from core.training.refit import fit_confidences, refit_cost, refit_trace

        started = time.perf_counter()
        card = load_card(name, Path(root))
        cost = refit_cost(card, recipe.exit_type)
        relative = cost.relative()
        sees_answer = card.spec.confidence_input == "features+answer"

        def tell(part: float) -> None:
            report(0.2 + 0.3 * part, _CONFIDENCE)

        confidences = fit_confidences(training, branches, recipe, relative, sees_answer, report=tell)
        seconds = time.perf_counter() - started
        features, _ = tested.wait(lambda part, words: report(0.5 + 0.5 * part, words))
        hidden = f"refit of {weights}"  # it has no weights of its own until it is kept
        trace = refit_trace(features, branches, confidences, sees_answer, relative, hidden)
        return Refit(recipe, name, trace.small(), cost, branches, confidences, seconds)

    return Job(work)


def folder_of(refit: Refit) -> str:
    """DATASET/MODEL of a refit once it is kept."""
    return f"{refit.base}-{refit.recipe.suffix}"


def keep(refit: Refit, device: str) -> str:
    """Write a refit as a checkpoint with its test trace, and return its name.

    Raises:
        UserError: there is one of that name, or it cannot be written.
    """
    from core.checkpoints import save_checkpoint, trace_path
    from core.training.pipeline import split_metrics
    from core.training.refit import refitted_network

    name = folder_of(refit)
    folder = cache.ROOT / name
    if folder.exists():
        raise UserError(f"expected a new checkpoint, got {name}, which is there already: open it, or delete its folder")
    tested, softmax = _basis(refit.base, device)
    training, _ = softmax.wait()
    _, base = tested.wait()
    card = load_card(refit.base, cache.ROOT)
    network = refitted_network(base, card, refit.recipe.exit_type, refit.softmax, refit.confidences)
    recipe = refit.recipe
    spec = replace(card.spec, exit_type=recipe.exit_type)
    about = f"λ = {recipe.cost_weight:g}, {recipe.loss}" if recipe.fits_confidences else recipe.loss
    made = Card(
        title=f"{card.title}, refitted, {about}, {recipe.exit_type}",
        dataset=card.dataset,
        spec=spec,
        preprocessing=card.preprocessing,
        class_names=card.class_names,
        cost=refit.cost,
        recipe={
            "dataset": card.recipe.get("dataset", card.dataset),
            "network": spec.to_json(),
            "loss": recipe.loss,
            "cost_weight": recipe.cost_weight,
            "method": REFIT_METHOD,
            "parent": refit.base,
            "training_seconds": round(refit.seconds, 2),
            "training_examples": training.n,
        },
        metrics={"test": split_metrics(refit.trace, refit.cost)},
        plain_counterpart=card.plain_counterpart,
    )
    try:
        save_checkpoint(folder, network, made)
        replace(refit.trace, checkpoint_hash=checkpoint_hash(folder)).save(trace_path(folder, "test"))
    except OSError as error:
        raise UserError(f"expected to write {name}, got {error.strerror or error}: make room, or allow it") from None
    return name
