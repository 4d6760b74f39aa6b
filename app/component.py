"""Streamlit components from app/components: NAME.css, NAME.js and, where one tag is not enough, NAME.html."""

import re
from pathlib import Path
from typing import Any

import streamlit as st

_FILES = Path(__file__).resolve().parent / "components"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


def component(name: str) -> Any:
    """The component of that name, to be mounted with `key=` and `data=`."""
    page = _FILES / f"{name}.html"
    return st.components.v2.component(
        f"eenet_{name}",
        html=page.read_text(encoding="utf-8") if page.is_file() else f'<div class="{name}">\n</div>',
        css=_read(f"{name}.css"),
        js=script(name),
    )


def script(name: str) -> str:
    """NAME.js with what it imports from files beside it: a component is one module and has no base for imports."""
    own = _read(f"{name}.js")
    others = [_read(f"{other}.js").replace("\nexport ", "\n") for other in _IMPORT.findall(own)]
    return "\n".join([*others, _IMPORT.sub("", own)])


def _read(file: str) -> str:
    return (_FILES / file).read_text(encoding="utf-8")
