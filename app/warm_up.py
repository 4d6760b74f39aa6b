"""Reads what the first visitor will need, in the background, as soon as the server is up."""

import logging
from threading import Thread

from core.errors import UserError


def start() -> None:
    """Warm the caches in a thread of its own; the server answers meanwhile."""
    Thread(target=_warm_up, name="warm-up", daemon=True).start()


def _warm_up() -> None:
    logging.getLogger("streamlit.runtime.caching").setLevel(logging.ERROR)  # "no runtime found" is no news here
    from app import cache
    from app.state import default_model, default_view

    cards = cache.zoo().explorable
    if not cards:
        return
    try:
        name = default_model(cards)
        view = default_view(cards, name)
        trace = cache.load_trace(name)
        cache.component_table(trace, view.rule)
        cache.test_images(cards[name].dataset)
    except UserError:
        return  # the page will say it
