"""The address that HTTP is served on, which BentoML tells its services nowhere.

``bentoml serve`` runs the deployment hook within its own command, whose options click knows. When none is given,
BentoML takes its configuration's, the one thing of its insides that is read here; a test fails when either moves.
"""

from __future__ import annotations

import os
import socket

import click

__all__ = ["http_host", "inherited_host"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)


def http_host() -> str:
    """The address, in the process that starts the workers: of --host, BENTOML_HOST or BentoML's configuration."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    given = _option("host")
    return str(given or BentoMLContainer.http.host.get())


def inherited_host() -> str | None:
    """The address, in a worker: of the socket that it was given; None when it was given none."""
    handle = _option("fd")
    if not isinstance(handle, int):
        return None
    try:
        with socket.socket(fileno=os.dup(handle)) as listening:
            return str(listening.getsockname()[0]) if listening.family in _INTERNET else None
    except OSError:
        return None


def _option(name: str) -> object:
    context = click.get_current_context(silent=True)
    return None if context is None else context.params.get(name)
