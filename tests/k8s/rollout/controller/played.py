"""An API server that keeps objects, as far as rollouts need one: versions, merge patches, selectors, creation."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["PlayedApi"]

Object = dict[str, Any]


class PlayedApi:
    """Objects by their path. Safe for use by several threads.

    Parameters
    ----------
    before
        Called with method and path before each call is answered.
    """

    def __init__(self, before: Callable[[str, str], None] = lambda _method, _path: None) -> None:
        self.objects: dict[str, Object] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[tuple[str, str, Any]] = []
        self.before = before
        self._version = 0
        self._lock = threading.RLock()

    def put(self, path: str, item: Object) -> None:
        """Let there be an object."""
        with self._lock:
            self._version += 1
            stored = copy.deepcopy(item)
            stored.setdefault("metadata", {}).setdefault("name", path.rpartition("/")[2])
            stored["metadata"]["resourceVersion"] = str(self._version)
            stored["metadata"].setdefault("uid", f"uid-{stored['metadata']['name']}")
            self.objects[path] = stored

    def get(self, path: str) -> Object:
        """An object."""
        with self._lock:
            return copy.deepcopy(self.objects[path])

    def answer(self, method: str, address: str, body: Any) -> tuple[int, Object]:
        """As the API server would."""
        split = urlsplit(address)
        path, query = split.path, parse_qs(split.query)
        self.before(method, path)
        if path.startswith("/helm/"):
            return 200, {}
        with self._lock:
            self.calls.append((method, path))
            if body is not None:
                self.bodies.append((method, path, body))
            return {"GET": self._read, "POST": self._create, "PUT": self._replace, "PATCH": self._patch}[method](
                path, query, body
            )

    def _read(self, path: str, query: dict[str, list[str]], _body: Any) -> tuple[int, Object]:
        if path in self.objects:
            return 200, self.objects[path]
        if path.count("/") in {5, 6} and path.rpartition("/")[2].endswith("s"):
            wanted = dict(term.split("=") for term in ",".join(query.get("labelSelector", [])).split(",") if term)
            return 200, {
                "items": [
                    item
                    for place, item in sorted(self.objects.items())
                    if place.rpartition("/")[0] == path and wanted.items() <= item["metadata"].get("labels", {}).items()
                ]
            }
        return 404, _status(404, f"{path} not found")

    def _create(self, path: str, _query: dict[str, list[str]], body: Any) -> tuple[int, Object]:
        name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{self._version}"
        place = f"{path}/{name}"
        if place in self.objects:
            return 409, _status(409, f"{name} already exists")
        self.put(place, body)
        return 201, self.objects[place]

    def _replace(self, path: str, _query: dict[str, list[str]], body: Any) -> tuple[int, Object]:
        return self._changed(path, body, body)

    def _patch(self, path: str, _query: dict[str, list[str]], body: Any) -> tuple[int, Object]:
        if path not in self.objects:
            return 404, _status(404, f"{path} not found")
        return self._changed(path, body, _merged(self.objects[path], body))

    def _changed(self, path: str, body: Any, item: Object) -> tuple[int, Object]:
        expected = body.get("metadata", {}).get("resourceVersion")
        if expected not in {None, self.objects[path]["metadata"]["resourceVersion"]}:
            return 409, _status(409, "the object has been modified")
        self.put(path, item)
        return 200, self.objects[path]

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """The address of its server."""
        played = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Tests' output is theirs."""

            def do_GET(self) -> None:
                read = self.rfile.read(int(self.headers.get("content-length", 0)))
                code, found = played.answer(self.command, self.path, json.loads(read) if read else None)
                body = json.dumps(found).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

        server = _Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _merged(item: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(item) if isinstance(item, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _status(code: int, message: str) -> Object:
    return {"kind": "Status", "status": "Failure", "message": message, "code": code}
