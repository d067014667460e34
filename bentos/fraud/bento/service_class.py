"""A BentoML service that answers its calls itself, documents them rightly, and names its bento after its model.

The overridden members are those that ``bentoml.Service`` gives to its own servers and builders; a test fails when
BentoML stops using one of them.
"""

from __future__ import annotations

from typing import Any

import bentoml
import yaml

from bentos.fraud.bento import naming
from bentos.fraud.http.direct import serve_directly
from bentos.fraud.http.gateway import Gateway
from bentos.fraud.http.openapi import completed

__all__ = ["ScoringService"]


class _Document:
    """An OpenAPI document as BentoML's builder (attributes) and server (``asdict``) want it."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def asdict(self) -> dict[str, Any]:
        return self._content


yaml.add_representer(_Document, lambda dumper, document: dumper.represent_dict(document.asdict()))


class ScoringService(bentoml.Service[Any]):  # type: ignore[misc] # BentoML gives its lazy modules no types
    """The service class of the fraud detector."""

    def to_asgi(self, is_main: bool = True) -> Gateway:
        """BentoML's application behind the gateway. What reads requests for it is made afterwards."""
        serve_directly()
        return Gateway(super().to_asgi(is_main=is_main), lambda: bentoml.get_current_service().endpoints)

    def framework_asgi(self) -> Any:
        """BentoML's application alone."""
        return super().to_asgi()

    @property
    def openapi_spec(self) -> Any:
        """The OpenAPI document, completed."""
        return _Document(completed(super().openapi_spec.asdict()))

    @property
    def labels(self) -> dict[str, str]:
        """Labels of a bento. Only a build asks for them, so this is also where it learns its version."""
        return naming.name_build()

    @labels.setter
    def labels(self, value: dict[str, str]) -> None:
        """Ignore what the decorator sets: labels come from the artifact."""

    @property
    def description(self) -> str:
        """Text of a bento's README. Only a build asks for it."""
        return naming.describe()

    @description.setter
    def description(self, value: str | None) -> None:
        """Ignore what the decorator sets: the description comes from the artifact."""
