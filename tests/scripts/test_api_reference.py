"""The API reference is that of the service as it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from scripts.api_reference import FOLDER
from tests.fraud.server import ROOT


def test_what_is_in_the_docs_is_up_to_date() -> None:
    # In a process of its own, as somebody runs it: the framework warns when it is imported.
    command = [sys.executable, "scripts/api_reference.py", "--check"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_address_field_and_call_is_named() -> None:
    document = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    http, grpc = ((FOLDER / name).read_text(encoding="utf-8") for name in ("http.md", "grpc.md"))
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"\n## {method.upper()} {path}\n" in http
    for name, schema in document["components"]["schemas"].items():
        assert f"\n### {name}\n" in http
        for field in schema.get("properties", {}):
            assert f"| `{field}`" in http
    for call in ("Predict", "Explain", "PredictMany", "Feedback", "ModelInfer", "ServerReady"):
        assert f"\n| {call} | " in grpc
    # Comments of the .proto files come along.
    assert "In the account's currency, 0 (an authorisation) to 1e7." in grpc


def test_objects_within_others_have_their_fields_listed() -> None:
    http = (FOLDER / "http.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in http.split("\n### ")[1:]}
    # Of lists, of members that may be null, of maps.
    assert "| `raw_score` |" in sections["KeptPrediction"]
    assert "| `updated_at` |" in sections["KeptLabel"]
    assert "| `psi` |" in sections["PartInWindow"]
    assert "| `events` | list of [KeptPrediction](#keptprediction) |" in http
    assert "object of [PartInWindow](#partinwindow) by `hour`, `day`, `week`" in http
    for name in re.findall(r"\]\(#(\w+)\)", http):
        assert name in {title.lower() for title in sections}, name
