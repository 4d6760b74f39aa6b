"""From the form to a network on every page, in a real browser: a tiny training in a process of its own."""

import os
import re
import shutil

import pytest
from playwright.sync_api import Browser, expect

from core.benchmarks.kill import make_pictures
from core.checkpoints import CHECKPOINTS
from tests.browser.conftest import Tab, run_server

pytestmark = pytest.mark.browser


def fill(tab: Tab, key: str, value: object, flag: str) -> None:
    """Write into a field and leave it; wait until the command line on the page names it."""
    field = tab.page.locator(f".st-key-{key} input")
    field.fill(str(value))
    field.press("Tab")
    expect(tab.page.get_by_test_id("stCode")).to_contain_text(f"{flag} {value}")
    tab.rest()


def test_a_training_started_on_the_page_becomes_a_network_to_explore(chromium: Browser, tmp_path) -> None:
    pictures = make_pictures(tmp_path / "halves")
    shutil.copytree(CHECKPOINTS / "mnist/eenet8", tmp_path / "checkpoints/mnist/eenet8")
    places = {"EENET_CHECKPOINTS": str(tmp_path / "checkpoints"), "EENET_RUNS": str(tmp_path / "runs")}
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with run_server(**places, **threads) as server:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        tab = Tab(context.new_page(), server)
        tab.page.goto(server + "/train")
        tab.page.wait_for_selector(".st-key-train_start", timeout=60000)
        tab.rest()
        tab.page.locator(".st-key-train_dataset input").click()
        tab.page.get_by_role("option", name="a folder or zip on this machine").click()
        tab.page.wait_for_selector(".st-key-train_path input")
        tab.rest()
        fill(tab, "train_path", pictures, "--dataset")
        fill(tab, "train_size", 12, "--size")
        fill(tab, "train_epochs_long", 1, "--epochs")
        tab.page.locator(".st-key-train_start button").click()
        tab.page.wait_for_url("**/train?training=halves*", timeout=30000)
        tab.page.reload()  # whoever comes back finds it
        tab.page.wait_for_selector("text=is finished: its last exit is right on", timeout=360000)
        tab.rest()
        assert (tmp_path / "checkpoints/halves/my-eenet8/card.json").exists()
        tab.page.get_by_role("link", name="Open in Explore").click()
        tab.page.wait_for_selector('.explorer[data-ready="true"][data-counts]', timeout=60000)
        tab.rest()
        expect(tab.page).to_have_url(re.compile("model=halves(%2F|/)my-eenet8"))
        tab.becomes(lambda: sum(tab.numbers()[2]), 12)  # a fifth of 60 pictures
        assert not [line for line in tab.errors if "404" not in line]
        context.close()
