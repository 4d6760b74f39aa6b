"""The Streamlit side: what the pages share."""
