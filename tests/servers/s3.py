"""A server of S3's protocol of the tests' own: moto, in a process, with what clients need to find it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import s3fs

from tests.ports import free_port
from tests.waiting import eventually

__all__ = ["S3", "running_s3"]

_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class S3:
    """A running server.

    Parameters
    ----------
    url
        Its address.
    variables
        Environment in which any client of S3 speaks to it.
    """

    url: str
    variables: dict[str, str]

    def bucket(self, name: str) -> s3fs.S3FileSystem:
        """Make an empty bucket; a view of it that remembers nothing."""
        system = s3fs.S3FileSystem(
            endpoint_url=self.url,
            key="tests",
            secret="tests-secret",  # noqa: S106
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        system.mkdir(name)
        return system


@contextlib.contextmanager
def running_s3() -> Iterator[S3]:
    """A server that holds its buckets in memory."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        # Nobody is asked for credentials but these variables.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _answers(url))
        yield S3(url, variables)
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/moto-api/").is_success
    except httpx.TransportError:
        return False
