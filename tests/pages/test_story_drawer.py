"""The drawer on the page: opened by a picked image, followed from neighbour to neighbour."""

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache, gallery, story
from core.checkpoints import CHECKPOINTS
from core.feature_map import load_feature_map
from tests.pages.test_explore import MODEL, checkpoints  # noqa: F401  a fixture

MAIN = str(Path(__file__).parents[2] / "app" / "main.py")


def open_drawer(monkeypatch: pytest.MonkeyPatch, row: int, **parameters: str) -> AppTest:
    """Explore, where the gallery says that an image was clicked."""
    monkeypatch.setattr(gallery, "show", lambda *_, **__: row)
    at = AppTest.from_file(MAIN, default_timeout=60)
    for name, value in ({"model": MODEL, "rule": "confidence", "t": "0.5"} | parameters).items():
        at.query_params[name] = value
    return at.run()


def told(at: AppTest) -> dict[str, Any]:
    found = [c for c in at.get("bidi_component") if c.proto.component_name == "eenet_story"]
    assert len(found) == 1
    return json.loads(found[0].proto.json)


def test_a_picked_image_opens_its_story(monkeypatch):
    at = open_drawer(monkeypatch, 17, rule="margin", t="0.25,0.75", off="2")
    assert not at.exception and not at.error
    data = told(at)
    assert data["row"] == 17 and data["name"] == "test image 17" and data["back"] is None
    assert [exit_["off"] for exit_ in data["exits"]] == [False, True, False]
    assert [exit_["threshold"] for exit_ in data["exits"]] == [0.25, 1.0, None]
    assert all(len(exit_["top"]) == 3 for exit_ in data["exits"])
    link = at.get("page_link")[0].proto
    assert link.page.endswith("try")
    parameters = dict(part.split("=") for part in link.query_string.split("&"))
    assert parameters["image"] == "17" and parameters["rule"] == "margin" and parameters["off"] == "2"
    assert parameters["t"].replace("%2C", ",") == "0.25,0.75"


def test_neighbours_are_followed_and_left_again(monkeypatch):
    at = open_drawer(monkeypatch, 17)
    neighbour = told(at)["exits"][1]["neighbours"][0]["row"]
    assert neighbour == load_feature_map(MODEL).neighbours[17, 1, 0]
    monkeypatch.setattr(story, "show", lambda _, *rest: story._drawer(*rest))  # as in a rerun of the drawer
    at.session_state["story_path"] = [17, neighbour]
    at.run()
    assert told(at)["row"] == neighbour and told(at)["back"] == 17
    assert not at.exception


def test_without_a_map_the_drawer_says_how_to_make_one(monkeypatch, checkpoints):  # noqa: F811
    (checkpoints / MODEL / "map-test.npz").unlink()
    at = open_drawer(monkeypatch, 17)
    assert not at.exception and not at.error
    assert f"run python -m core map {MODEL}" in told(at)["note"]
    assert told(at)["sheet"] is None and not at.get("page_link")  # no images there either


def test_a_damaged_map_and_damaged_images_are_one_line(monkeypatch, checkpoints):  # noqa: F811
    (checkpoints / MODEL / "map-test.npz").write_bytes(b"PK nothing")
    at = open_drawer(monkeypatch, 17)
    assert not at.exception
    assert "core map" in told(at)["note"] and "\n" not in told(at)["note"]
    labels = CHECKPOINTS / "mnist" / "test-images.json"
    (checkpoints / "mnist" / "test-images.json").write_bytes(labels.read_bytes())
    (checkpoints / "mnist" / "test-images.webp").write_bytes(b"RIFF nothing")
    st.cache_data.clear()
    st.cache_resource.clear()
    assert cache.has_images("mnist")
    at = open_drawer(monkeypatch, 17)
    assert not at.exception
    assert all("\n" not in error.value and "expected" in error.value for error in at.error) and at.error
