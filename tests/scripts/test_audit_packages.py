"""The audit of packages: what it finds, what it allows, and what it says when it cannot ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scripts.audit_packages import ALLOWED, AuditError, findings, forbidden, read_allowed
from tests.fraud.server import ROOT

TODAY = date(2026, 1, 31)
CONTROL_ANSWER = {
    "dependencies": [
        {
            "name": "pyyaml",
            "version": "5.3",
            "vulns": [{"id": "PYSEC-2021-142", "fix_versions": ["5.4"], "aliases": []}],
        }
    ]
}
#: As pip-audit writes it.
REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "click", "version": "8.5.1", "vulns": []},
        {
            "name": "Jinja2",
            "version": "2.4.1",
            "vulns": [
                {"id": "PYSEC-2014-8", "fix_versions": ["2.7.2"], "aliases": ["CVE-2014-0012"], "description": "..."}
            ],
        },
        {"name": "own", "skip_reason": "Dependency not found on PyPI and could not be audited: own (1)"},
    ],
    "fixes": [],
}
#: In the place of pip-audit: answers from files as the services would. What it is asked is checked.
_PROGRAM = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
arguments = sys.argv[1:]
service = arguments[arguments.index("--vulnerability-service") + 1]
requirements = pathlib.Path(arguments[arguments.index("--requirement") + 1])
kind = "control" if requirements.read_text().startswith("pyyaml==5.3") else "report"
answer = folder / f"{{service}}-{{kind}}.json"
if not answer.exists():
    sys.exit("requests.exceptions.ConnectionError: no such host")
print(answer.read_text())
sys.exit(1)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that answers what the files beside it say."""
    path = tmp_path / "pip-audit"
    path.write_text(_PROGRAM.format(python=sys.executable, folder=str(tmp_path)))
    path.chmod(0o755)
    return path


def _audit(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/audit_packages.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def _answers(folder: Path, service: str, control: Any, report: Any = None) -> None:
    (folder / f"{service}-control.json").write_text(json.dumps(control))
    (folder / f"{service}-report.json").write_text(json.dumps(report or REPORT))


def test_a_vulnerability_fails_the_build_and_is_named(program: Path, tmp_path: Path) -> None:
    _answers(tmp_path, "pypi", CONTROL_ANSWER)
    ended = _audit("--pip-audit", str(program))
    assert ended.returncode == 1
    assert "VULNERABLE: Jinja2 2.4.1: PYSEC-2014-8, CVE-2014-0012; fixed in 2.7.2" in ended.stdout
    assert "does not know own" in ended.stdout


def test_an_allowed_one_does_not_and_is_still_named(program: Path, tmp_path: Path) -> None:
    _answers(tmp_path, "pypi", CONTROL_ANSWER)
    allowed = tmp_path / "allowed.toml"
    entry = '[[allowed]]\npackage = "jinja2"\nid = "CVE-2014-0012"\nreason = "a test"\nuntil = {}\n'
    allowed.write_text(entry.format("2199-01-01"))
    ended = _audit("--pip-audit", str(program), "--allowed", str(allowed))
    assert (ended.returncode, "allowed: Jinja2" in ended.stdout) == (0, True)
    allowed.write_text(entry.format("2020-01-01"))
    assert _audit("--pip-audit", str(program), "--allowed", str(allowed)).returncode == 1


def test_a_service_that_knows_nothing_is_not_believed(program: Path, tmp_path: Path) -> None:
    skipped = {"dependencies": [{"name": "pyyaml", "skip_reason": "Dependency not found on PyPI"}], "fixes": []}
    _answers(tmp_path, "pypi", skipped, {"dependencies": [], "fixes": []})
    ended = _audit("--pip-audit", str(program))
    assert (ended.returncode, ended.stdout.count("NOT CHECKED")) == (0, 1)
    # The next one is asked.
    _answers(tmp_path, "osv", CONTROL_ANSWER)
    assert _audit("--pip-audit", str(program)).returncode == 1


def test_without_network_the_real_one_says_that_it_did_not_check() -> None:
    closed = "http://127.0.0.1:1"
    ended = _audit(HTTPS_PROXY=closed, https_proxy=closed, NO_PROXY="", no_proxy="")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("packages: NOT CHECKED, no advisory service answers from here (asked: pypi, osv)")


def test_a_missing_program_checks_nothing(tmp_path: Path) -> None:
    assert "NOT CHECKED" in _audit("--pip-audit", str(tmp_path / "absent")).stdout


@pytest.mark.parametrize(
    "text",
    [
        '[[allowed]]\npackage = "a"\nid = "b"\nuntil = 2027-01-01\n',
        '[[allowed]]\npackage = "a"\nid = "b"\nreason = " "\nuntil = 2027-01-01\n',
        '[[allowed]]\npackage = "a"\nid = "b"\nreason = "c"\nuntil = "soon"\n',
        "allowed = 7",
        "[[allowed",
    ],
)
def test_a_broken_list_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "allowed.toml"
    path.write_text(text)
    with pytest.raises(AuditError, match=r"allowed\.toml"):
        read_allowed(path, TODAY)
    assert _audit("--allowed", str(path)).returncode == 2


def test_names_are_compared_without_case_and_by_any_alias() -> None:
    (found,) = findings(REPORT)
    assert forbidden([found], {("jinja2", "PYSEC-2014-8"): "a"}) == []
    assert forbidden([found], {("jinja2", "CVE-2014-0012"): "a"}) == []
    assert forbidden([found], {("jinja", "CVE-2014-0012"): "a"}) == [found]


def test_the_committed_list_can_be_read() -> None:
    read_allowed(ALLOWED, TODAY)
