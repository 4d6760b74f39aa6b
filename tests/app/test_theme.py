"""Colours: one source, both schemes, wrong is never an exit's colour."""

import tomllib
from pathlib import Path

import pytest

from app import theme

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("scheme", theme.SCHEMES)
def test_the_theme_file_says_the_same(scheme):
    section, tokens = CONFIG["theme"][scheme], theme.TOKENS[scheme]
    assert section["backgroundColor"] == tokens["page"]
    assert section["secondaryBackgroundColor"] == tokens["panel"]
    assert section["borderColor"] == tokens["hairline"]
    assert section["textColor"] == tokens["text"]
    assert section["chartCategoricalColors"] == [*theme.RAMPS[scheme], tokens["wrong"]]


@pytest.mark.parametrize("scheme", theme.SCHEMES)
@pytest.mark.parametrize("num_exits", [1, 2, 3, 5, 8, 40])
def test_a_colour_for_each_exit(scheme, num_exits):
    colours = theme.exit_colours(num_exits, scheme)
    assert len(set(colours)) == num_exits
    assert colours[0] == theme.RAMPS[scheme][0]
    assert num_exits == 1 or colours[-1] == theme.RAMPS[scheme][-1]
    assert theme.TOKENS[scheme]["wrong"] not in colours


def test_five_exits_wear_the_ramp_itself():
    assert tuple(theme.exit_colours(5, "dark")) == theme.RAMPS["dark"]


def test_the_server_stays_at_home():
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["client"]["showErrorDetails"] == "none"
    assert CONFIG["server"]["maxUploadSize"] == 64  # a zip of 10,000 small images; single images are held to 32
