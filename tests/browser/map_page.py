"""A page with nothing but the map, and below it what it gave back; `tests/browser/test_feature_map.py` opens it."""

import numpy as np
import streamlit as st

from app import cache, feature_map
from core.analysis.sweep import route

NAME = str(st.query_params.get("model", "mnist/eenet8"))
st.set_page_config(layout="wide")
trace = cache.load_trace(NAME)
card = cache.zoo().cards[NAME]
exits = route(trace.scores["confidence"], (0.5,) * (trace.num_exits - 1))
colour = st.segmented_control("Colour", list(feature_map.COLOURS), default="class", required=True, key="colour")
only = st.checkbox("only class 3")
shown = trace.labels == 3 if only else np.ones(trace.n, bool)
rows = feature_map.show(feature_map.load(NAME, trace), trace, card, exits, shown, colour, key="map")
if rows is not None:
    st.session_state["rows"] = rows
    st.session_state["messages"] = st.session_state.get("messages", 0) + 1
st.text(f"rows {st.session_state.get('rows')}")
st.text(f"messages {st.session_state.get('messages', 0)}")
