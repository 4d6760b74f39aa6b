"""The dashboard: page settings, the bar on top, then the page."""

import streamlit as st

from app import state, theme
from app.navigation import build_pages

st.set_page_config(page_title="EENet Explorer", page_icon=theme.page_icon(), layout="wide")
present = state.presenting()
theme.apply(present)
st.logo(theme.wordmark(theme.current_scheme()), size="large")
pages = build_pages()
page = st.navigation(list(pages.values()), position="hidden" if present else "top")
if st.session_state.get("page") != page.url_path:
    # a page that is opened anew takes its handles from the view, not from where they stood when it was left
    st.session_state["page"] = page.url_path
    st.session_state.pop("frozen_point", None)
    st.session_state["revision"] = st.session_state.get("revision", 0) + 1
page.run()
