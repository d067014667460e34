"""What pages import is imported before the server listens, so that the first visitor does not wait for it.

Pages are no modules: Streamlit runs their files anew at each visit, and imports what they need at the first.
"""

from __future__ import annotations

import logging
import pkgutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import dashboard
from bentos.core.settings import load_settings

__all__ = ["warm", "warm_registry", "warmed"]

_LOGGER: Final = logging.getLogger(__name__)
#: Who waited for the server to start has his first page by then, and shares no processor with MLflow.
_LATER_SECONDS: Final = 5.0
#: Scripts: importing them would run them.
_SCRIPTS: Final = ("app", "main", "views")


def warm() -> None:
    """Import every module of the dashboard, and so pandas, Altair and the service's client.

    MLflow and Kubernetes' client take seconds, and one page each needs them: MLflow comes later
    (:func:`warm_registry`), the other when its page is opened.
    """
    for module in pkgutil.iter_modules(dashboard.__path__):
        if module.name not in _SCRIPTS:
            import_module(f"dashboard.{module.name}")


def warm_registry() -> None:
    """Import MLflow and open the registry once, as the page Models does; of what goes wrong that page tells."""
    from dashboard.registry import open_registry
    from dashboard.settings import DashboardSettings

    try:
        open_registry(load_settings(DashboardSettings))
    except Exception as error:  # noqa: BLE001 - of MLflow's parts; nobody waits for an answer here
        _LOGGER.info("the registry was not opened ahead: %s", error)


@asynccontextmanager
async def warmed(_app: Any) -> AsyncIterator[None]:
    """Lifespan of the server: nothing is answered before :func:`warm` is done; the registry is opened a while after."""
    warm()
    later = threading.Timer(_LATER_SECONDS, warm_registry)
    # A server that ends does not wait for it.
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
