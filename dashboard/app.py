"""The dashboard's server: ``streamlit run dashboard/app.py``. What each visit runs stands in ``main.py``."""

from __future__ import annotations

import streamlit as st

from dashboard.warm import warmed

__all__ = ["app"]

app = st.App("main.py", lifespan=warmed)
