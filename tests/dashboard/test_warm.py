"""What the server has imported before it listens: all that pages import at once, and nothing that takes seconds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

from tests.fraud.server import ROOT

PAGES = [ROOT / "dashboard" / "main.py", *sorted((ROOT / "dashboard" / "views").glob("[!_]*.py"))]
PROGRAM = "import json, sys; from dashboard.warm import warm; warm(); print(json.dumps(sorted(sys.modules)))"


def _imported_at_once() -> set[str]:
    found = set()
    for page in PAGES:
        for node in ast.parse(page.read_text()).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
    return found


def test_the_first_visitor_waits_for_no_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    wanted = _imported_at_once()
    assert {"pandas", "altair", "dashboard.charts"} <= wanted
    assert not wanted - modules
    # Seconds each, for one page each.
    assert not modules & {"mlflow", "kubernetes"}
    # Scripts are run, not imported.
    assert not modules & {"dashboard.main", "dashboard.app", "dashboard.views"}
