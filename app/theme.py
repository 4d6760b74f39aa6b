"""Colours and the little CSS that the theme file cannot say.

Exits have one colour each on every page, early to late; right answers wear the exit's colour, wrong ones vermilion.
The same tokens stand in .streamlit/config.toml; tests/app/test_theme.py holds the two together.
"""

import streamlit as st
from PIL import Image, ImageDraw

TOKENS = {
    "light": {
        "page": "#FFFFFF",
        "panel": "#F7F8FA",
        "hairline": "#E3E6EB",
        "text": "#15181E",
        "muted": "#667085",
        "accent": "#2C7BB0",
        "wrong": "#D55E00",
    },
    "dark": {
        "page": "#0E1117",
        "panel": "#161B22",
        "hairline": "#2A313C",
        "text": "#E8ECF2",
        "muted": "#98A2B3",
        "accent": "#55A9E2",
        "wrong": "#FF8A3D",
    },
}
RAMPS = {
    "light": ("#5DB74A", "#1F9E89", "#2C7BB0", "#5A55A8", "#6B2C7E"),
    "dark": ("#8FD65F", "#3CC6A5", "#55A9E2", "#938CF0", "#CE8FE0"),
}
SCHEMES = ("light", "dark")


def exit_colours(num_exits: int, scheme: str = "light") -> list[str]:
    """One colour per exit, interpolated along the ramp; the first and the last exit always wear its ends.

    Args:
        num_exits: N, 1 or more.
        scheme: `light` or `dark`.
    """
    ramp = [tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in RAMPS[scheme]]
    colours = []
    for n in range(num_exits):
        place = n * (len(ramp) - 1) / max(num_exits - 1, 1)
        low = min(int(place), len(ramp) - 2)
        part = place - low
        mixed = (round(a + (b - a) * part) for a, b in zip(ramp[low], ramp[low + 1], strict=True))
        colours.append("#" + "".join(f"{channel:02X}" for channel in mixed))
    return colours


def palette(num_exits: int) -> dict[str, dict[str, object]]:
    """Colours of both schemes for a component, which knows better than the server which one is on."""
    return {scheme: {"exits": exit_colours(num_exits, scheme), **TOKENS[scheme]} for scheme in SCHEMES}


def current_scheme() -> str:
    """`light` or `dark`, as far as the server knows; for pictures made in Python."""
    return "dark" if st.context.theme.type == "dark" else "light"


def wordmark(scheme: str) -> str:
    """The name as a picture for the upper left corner: five exits on a line."""
    dots = "".join(
        f'<circle cx="{9 + 11 * n}" cy="{20 - 2.6 * n}" r="4.4" fill="{colour}"/>'
        for n, colour in enumerate(RAMPS[scheme])
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="216" height="30" viewBox="0 0 216 30">'
        f'<path d="M9 20 53 9.6" stroke="{TOKENS[scheme]["hairline"]}" stroke-width="2"/>{dots}'
        f'<text x="68" y="21" font-family="Source Sans Pro, Source Sans, Helvetica, Arial, sans-serif" '
        f'font-size="18.5" font-weight="700" fill="{TOKENS[scheme]["text"]}">EENet Explorer</text></svg>'
    )


_CSS = """
[data-testid="stMainBlockContainer"] { padding-left: 1.75rem; padding-right: 1.75rem; max-width: none; }
.stApp button[data-variant="segmented_control"][aria-checked="true"] {
  background: light-dark(#15181E, #E8ECF2) !important; border-color: light-dark(#15181E, #E8ECF2) !important;
  color: light-dark(#FFFFFF, #0E1117) !important;
}
.st-key-corner { position: fixed; top: 0.55rem; right: 3.6rem; z-index: 999991; width: max-content !important; }
.st-key-corner > * { width: auto !important; min-width: max-content; flex: none !important; }
.st-key-corner [data-testid="stSelectbox"] { width: 14rem; }
[data-testid="stStatusWidget"] { display: none; } /* it would lie on the corner; pages show their own progress */
.st-key-network { max-width: 24rem; }
.st-key-controls button[data-variant="segmented_control"] { min-height: 2.5rem; }
@media (max-width: 900px) {
  .st-key-corner { position: static; }
}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
}
"""
_PRESENT_CSS = """
[data-testid="stHeader"], .st-key-controls, .st-key-corner { display: none; }
[data-testid="stMainBlockContainer"] { padding-top: 1.5rem; }
"""


def page_icon() -> Image.Image:
    """Five exits as the picture on the browser's tab; drawn here, so that no request leaves the machine."""
    icon = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(icon)
    for n, colour in enumerate(RAMPS["light"]):
        x, y, radius = 8 + 12 * n, 48 - 8 * n, 7
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return icon


def apply(present: bool) -> None:
    """Write the CSS into the page.

    Args:
        present: hide header and controls, for a stage.
    """
    st.html(f"<style>{_CSS}{_PRESENT_CSS if present else ''}</style>")
