"""The pages there are, in the order of the bar on top."""

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

PAGES = Path(__file__).resolve().parents[1] / "pages"
# file below pages/, title, icon, address, what it is for
_PAGES = (
    ("explore.py", "Explore", ":material/tune:", "explore", "Move thresholds, watch accuracy and cost"),
    ("who_exits_where.py", "Who exits where", ":material/grid_view:", "who", "See which images leave where, and why"),
    ("try_image.py", "Try an image", ":material/add_photo_alternate:", "try", "Take an image through the network"),
    ("cost_weight.py", "Cost weight", ":material/balance:", "cost", "What the cost weight buys; refit at any other"),
    ("models.py", "Models", ":material/view_list:", "models", "Compare the trained networks, open their cards"),
    ("train.py", "Train", ":material/model_training:", "train", "Train a network of your own and watch it learn"),
)


def build_pages() -> dict[str, StreamlitPage]:
    """Registered pages by address, the first one being the start page; files that are not there are left out."""
    pages = {}
    for file, title, icon, address, purpose in _PAGES:
        path = PAGES / file
        if path.is_file():
            pages[address] = st.Page(path, title=title, icon=icon, url_path=address, default=not pages, help=purpose)
    return pages
