"""An OpenID Connect provider of a test's own, at which everybody is Ann, an analyst, at once."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.fraud.access.authority import Issuer

__all__ = ["Provider", "running_provider"]

_CLIENT = "fraud-dashboard"


class Provider:
    """What it says of those who log in.

    Parameters
    ----------
    url
        Its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        #: How long ago tokens say that they were issued.
        self.age_seconds = 0
        self.nonces: dict[str, str] = {}
        self.issuer = Issuer()
        self.issuer.add("key", "RS256")

    def document(self) -> dict[str, Any]:
        """Its discovery document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorized(self, query: dict[str, list[str]]) -> str:
        """Where the browser goes on."""
        code = secrets.token_urlsafe(8)
        self.nonces[code] = query["nonce"][0]
        return f"{query['redirect_uri'][0]}?{urlencode({'code': code, 'state': query['state'][0]})}"

    def tokens(self, form: dict[str, list[str]]) -> dict[str, Any]:
        """For a code, once."""
        now = int(time.time())
        token = self.issuer.token(
            "key",
            iss=self.url,
            aud=_CLIENT,
            sub="1",
            email="ann@example.org",
            roles=["analyst"],
            nonce=self.nonces.pop(form["code"][0]),
            iat=now - self.age_seconds,
            exp=now + 300,
        )
        return {"access_token": "unused", "token_type": "Bearer", "expires_in": 300, "id_token": token}


@contextlib.contextmanager
def running_provider(file: Path, port: int) -> Iterator[Provider]:
    """Run it until the block ends.

    Parameters
    ----------
    file
        Gets Streamlit's secrets for it.
    port
        Of the dashboard.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/authorize":
                self.send_response(302)
                self.send_header("location", provider.authorized(parse_qs(address.query)))
                self.end_headers()
            elif address.path == "/keys":
                self._answer(provider.issuer.document())
            else:
                self._answer(json.dumps(provider.document()).encode())

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer(json.dumps(provider.tokens(parse_qs(form))).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = Provider(f"http://127.0.0.1:{server.server_port}")
        file.write_text(
            f"""[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{secrets.token_urlsafe(32)}"
client_id = "{_CLIENT}"
client_secret = "{secrets.token_urlsafe(16)}"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"
"""
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
