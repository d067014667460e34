"""Ports for servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import Final

__all__ = ["free_port"]

#: Below what Linux gives to outgoing connections (32768 up): one of those could take a port between the moment that
#: it is found free and the moment that its server listens.
_FIRST: Final = 12000
_COUNT: Final = 20000
#: Each process of pytest-xdist has its own part, for the same reason.
_PARTS: Final = 16


def _candidates() -> list[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
    ports = list(range(_FIRST, _FIRST + _COUNT))[worker::_PARTS]
    # Another run of the tests on this machine begins elsewhere.
    start = random.randrange(len(ports))  # noqa: S311
    return ports[start:] + ports[:start]


_PORTS: Final = itertools.cycle(_candidates())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that this process did not get lately."""
    for port in itertools.islice(_PORTS, _COUNT):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
