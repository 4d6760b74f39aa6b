"""Launcher: `streamlit run` finds `app` here; the dashboard itself is app/main.py.

It stands apart because a `pages/` folder beside a script that calls `st.navigation` breaks the first deep link on a
fresh server (Streamlit takes the folder for its old page system until some visitor has opened the start page).
"""

import streamlit as st

from app.server import lifespan, middleware, routes, show_script_error

app = st.App("app/main.py", lifespan=lifespan, middleware=middleware, routes=routes, on_script_error=show_script_error)
