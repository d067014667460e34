"""An API server that keeps ConfigMaps and answers reviews of access, as far as rollouts need it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["ApiServer", "running_api_server"]

_VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass
class ApiServer:
    """What it holds, and how it behaves."""

    url: str = ""
    #: By name.
    config_maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Whether who asks may write.
    writable: bool = True
    #: How long it takes for an answer.
    seconds: float = 0.0
    versions: int = 0
    #: What was asked of ConfigMaps, in the words of a Role: verb, and name where there is one.
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and document of a call."""
        if path.endswith("selfsubjectaccessreviews"):
            return 201, {"status": {"allowed": self.writable}}
        name = path.rpartition("/configmaps")[2].strip("/")
        self.asked.append(("list" if method == "GET" and not name else _VERBS[method], name))
        if method == "GET" and not name:
            return 200, {"items": list(self.config_maps.values())}
        if method == "POST":
            name = body["metadata"]["name"]
            self.config_maps[name] = body
        elif method == "PATCH":
            if not self.writable:
                return 403, {"message": "configmaps is forbidden"}
            given = body.get("metadata", {}).get("resourceVersion")
            if given not in (None, self.config_maps[name]["metadata"]["resourceVersion"]):
                return 409, {"message": "the object has been modified"}
            data = {**self.config_maps[name]["data"], **body["data"]}
            self.config_maps[name]["data"] = {key: value for key, value in data.items() if value is not None}
        self.versions += method != "GET"
        self.config_maps[name]["metadata"]["resourceVersion"] = str(self.versions)
        return 200, self.config_maps[name]


@contextlib.contextmanager
def running_api_server() -> Iterator[ApiServer]:
    """Run it until the block ends."""
    kept = ApiServer()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return None

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length) or b"null")
            time.sleep(kept.seconds)
            with lock:
                status, document = kept.answer(self.command, urlsplit(self.path).path, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            # Who asked may have gone.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(content)

        do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        kept.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
