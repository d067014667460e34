"""A server that answers as an API server would, for what needs no cluster: errors, silence, logs that break off."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

__all__ = ["Answer", "kubeconfig", "serving", "status"]

#: Status, body, and whether the connection breaks off after it.
Answer = tuple[int, bytes, bool]


def status(code: int, message: str) -> Answer:
    """An error as the API server words it."""
    return code, json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": code}).encode(), False


@contextlib.contextmanager
def serving(answer: Callable[[str, str], Answer]) -> Iterator[str]:
    """The address of a server that answers a method and a path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Tests' output is theirs."""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            code, body, breaks = answer(self.command, self.path)
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body) + breaks))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = breaks

        do_POST = do_DELETE = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(folder: Path, address: str, namespace: str = "fraud") -> Path:
    """A kubeconfig of one context, `here`."""
    path = folder / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": namespace}
    about = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": context}],
    }
    path.write_text(yaml.safe_dump(about))
    return path
