"""What pages import is imported before the server listens, so that the first visitor does not wait for it.

Pages are no modules: Streamlit runs their files anew at each visit, and imports what they need at the first.
"""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import dashboard

__all__ = ["warm", "warmed"]

#: Scripts: importing them would run them.
_SCRIPTS: Final = ("app", "main", "views")


def warm() -> None:
    """Import every module of the dashboard, and so pandas, Altair and the service's client.

    MLflow and Kubernetes' client take seconds, and one page each needs them: they wait until that page is opened.
    """
    for module in pkgutil.iter_modules(dashboard.__path__):
        if module.name not in _SCRIPTS:
            import_module(f"dashboard.{module.name}")


@asynccontextmanager
async def warmed(_app: Any) -> AsyncIterator[None]:
    """Lifespan of the server: nothing is answered before :func:`warm` is done."""
    warm()
    yield
