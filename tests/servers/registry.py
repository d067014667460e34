"""A registry of images of the tests' own: Debian's docker-registry, over TLS."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fraud.access.authority import Authority
from tests.ports import free_port
from tests.waiting import eventually

__all__ = ["ImageRegistry", "running_registry"]

_STOP_SECONDS = 10.0
_SETTINGS = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {certificate}, key: {key}}}}}
"""


@dataclass(frozen=True)
class ImageRegistry:
    """A running registry.

    Parameters
    ----------
    host
        As names of images begin.
    variables
        Environment in which a builder of images trusts it.
    """

    host: str
    variables: dict[str, str]

    def tags(self, repository: str) -> list[str]:
        """Of a repository; none when there is no such."""
        answer = self.get(f"{repository}/tags/list")
        return list(answer.json()["tags"]) if answer.status_code == httpx.codes.OK else []

    def get(self, path: str) -> httpx.Response:
        """An answer of its interface."""
        trusted = ssl.create_default_context(cafile=self.variables["SSL_CERT_FILE"])
        return httpx.get(f"https://{self.host}/v2/{path}", verify=trusted)


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[ImageRegistry]:
    """A registry with nothing in it."""
    authority, port = Authority(folder), free_port()
    certificate, key = authority.issue("registry")
    settings = folder / "registry.yml"
    settings.write_text(_SETTINGS.format(folder=folder, port=port, certificate=certificate, key=key))
    registry = ImageRegistry(f"127.0.0.1:{port}", {"SSL_CERT_FILE": str(authority.file)})
    with (
        (folder / "registry.log").open("wb") as log,
        subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=log, stderr=log) as process,
    ):
        try:
            eventually(lambda: _answers(registry, process))
            yield registry
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def _answers(registry: ImageRegistry, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "docker-registry has ended"
    with contextlib.suppress(httpx.TransportError):
        return registry.get("").is_success
    return False
