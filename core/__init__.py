"""The machinery of EENet Explorer: networks, training, data, traces and their analysis. No Streamlit, no Plotly."""
