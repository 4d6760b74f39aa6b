"""Networks in and out: the zip to take home, the zip that somebody brings, and what the plan still lacks."""

import pandas as pd
import streamlit as st

from app import cache, controls, profiles, zoo_table
from app.cache import Zoo
from core.errors import UserError
from core.suitcase import pack, unpack, zip_name

_UPLOAD = "models_upload"
_LARGEST = 64  # MB, as .streamlit/config.toml allows


def download(name: str) -> None:
    """A checkpoint's folder as a zip, made when it is asked for."""
    known = profiles.of(name).size
    size = f", {known.disk_bytes / 1e6:.1f} MB" if known else ""
    st.download_button(
        "Download",
        data=lambda: pack(name, cache.ROOT),
        file_name=zip_name(name),
        mime="application/zip",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="models_download",
        help=f"Weights, card, recorded answers and history as a zip{size}: unpack it into checkpoints/ elsewhere",
    )


def upload() -> None:
    """A zip that somebody brings, checked before it becomes a network among the others."""
    with st.expander("Add a network from a zip", icon=":material/upload:"):
        file = st.file_uploader(
            "A zip made here or elsewhere by Download",
            type=["zip"],
            key=_UPLOAD,
            max_upload_size=_LARGEST,
            on_change=_take,
            help="One folder DATASET/MODEL/ with card.json and model.safetensors; traces and history come along. "
            "No pickle is read.",
        )
        if file is None:
            st.session_state.pop("models_upload_line", None)
        kind, line = st.session_state.get("models_upload_line", ("", ""))
        if kind == "added":
            st.success(controls.plain_text(line), icon=":material/check:")
        elif kind:
            st.error(controls.plain_text(line), icon=":material/broken_image:")


def _take() -> None:
    file = st.session_state.get(_UPLOAD)
    st.session_state.pop("models_upload_line", None)
    if file is None:
        return
    try:
        name = unpack(file.getvalue(), cache.ROOT)
        st.session_state["models_upload_line"] = ("added", f"{name} is in the table now")
    except UserError as error:
        st.session_state["models_upload_line"] = ("refused", str(error))


def planned(zoo: Zoo) -> None:
    """What the zoo's plan lacks here, with the command that trains it; times are worked out when asked for."""
    missing = [entry for name, entry in zoo_table.planned().items() if name not in zoo.cards]
    if not missing:
        st.caption("Every network of the zoo's plan is here.")
        return
    timed = st.session_state.get("models_timed", False)
    lines = [
        {
            "network": entry.name,
            "compared by": zoo_table.FAMILIES.get(entry.family, entry.family),
            "epochs": entry.recipe.epochs,
            **({"minutes": entry.seconds() / 60} if timed else {}),
            "command": f"python -m core zoo --train --only {entry.name}",
        }
        for entry in missing
    ]
    st.caption(
        f"Not trained yet: {len(missing)} of the {len(zoo_table.planned())} networks of the zoo's plan. Each command "
        "trains one, after its parent where it starts from one; interrupted and run again, it goes on."
    )
    st.dataframe(
        pd.DataFrame(lines),
        key="models_planned",
        hide_index=True,
        height=38 + 35 * min(len(lines), 8),
        column_config={
            "minutes": st.column_config.NumberColumn(
                "minutes, estimated", format="%.0f", help="On one core of the machine where training speed was measured"
            ),
            "command": st.column_config.TextColumn("command", width="large"),
        },
    )
    if not timed:
        st.button(
            "How long would each take?",
            key="models_time",
            icon=":material/timer:",
            on_click=lambda: st.session_state.update(models_timed=True),
            help="Builds every one of these networks to count its MACs: a few seconds",
        )
