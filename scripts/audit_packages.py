"""Ask whether any pinned package has a known vulnerability: ``python scripts/audit_packages.py``.

Exits with 1 when there is one that ``.ci/audit_allowed.toml`` does not allow, and with 0 when there is none, or when no
advisory service can be reached, which it says: a build without network is not broken, but has not been checked either.
What a service that does not know a package answers looks like "none known", so a package with an old vulnerability is
asked first: a service counts only if it finds that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
ALLOWED: Final = ROOT / ".ci" / "audit_allowed.toml"
SERVICES: Final = ("pypi", "osv")
#: CVE-2020-14343.
CONTROL: Final = "pyyaml==5.3"
_SECONDS: Final = 300


class AuditError(Exception):
    """The audit itself is wrong."""


@dataclass(frozen=True)
class Finding:
    """One vulnerability of one package."""

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        fixed = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed in any version"
        return f"{self.package} {self.version}: {', '.join(self.names)}; {fixed}"


def findings(report: dict[str, Any]) -> list[Finding]:
    """The vulnerabilities of a report of pip-audit."""
    return [
        Finding(
            package["name"],
            package["version"],
            (found["id"], *found.get("aliases", ())),
            tuple(found.get("fix_versions", ())),
        )
        for package in report["dependencies"]
        for found in package.get("vulns", ())
    ]


def read_allowed(path: Path, today: date) -> dict[tuple[str, str], str]:
    """Reasons by package and vulnerability; what is over is left out.

    Raises
    ------
    AuditError
        An entry without package, id, reason or end.
    """
    try:
        entries = tomllib.loads(path.read_text()).get("allowed", [])
        return {
            (entry["package"].lower(), entry["id"]): entry["reason"]
            for entry in entries
            if entry["until"] >= today and _required(entry["reason"])
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise AuditError(
            f"{path.name}: each [[allowed]] needs package, id, reason, until (a date): {error!r}"
        ) from error


def forbidden(found: Iterable[Finding], allowed: dict[tuple[str, str], str]) -> list[Finding]:
    """What nobody allowed."""
    return [one for one in found if not any((one.package.lower(), name) in allowed for name in one.names)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit; returns the exit code."""
    parser = argparse.ArgumentParser(description="Ask whether any pinned package has a known vulnerability.")
    parser.add_argument("requirements", nargs="?", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--allowed", type=Path, default=ALLOWED)
    parser.add_argument("--pip-audit", default=str(Path(sys.executable).with_name("pip-audit")), dest="program")
    options = parser.parse_args(arguments)
    try:
        allowed = read_allowed(options.allowed, datetime.now(UTC).date())
        service = next((name for name in SERVICES if _answers(options.program, name)), None)
        if service is None:
            print(f"packages: NOT CHECKED, no advisory service answers from here (asked: {', '.join(SERVICES)})")
            return 0
    except AuditError as error:
        print(f"packages: {error}", file=sys.stderr)
        return 2
    report = _report(options.program, service, options.requirements)
    if report is None:
        print(f"packages: pip-audit gave no report of {options.requirements.name} from {service}", file=sys.stderr)
        return 2
    return _tell(report, allowed, service)


def _tell(report: dict[str, Any], allowed: dict[tuple[str, str], str], service: str) -> int:
    found = findings(report)
    bad = forbidden(found, allowed)
    unknown = [package["name"] for package in report["dependencies"] if "skip_reason" in package]
    if unknown:
        print(f"packages: {service} does not know {', '.join(sorted(unknown))}")
    for one in found:
        print(f"packages: {'VULNERABLE' if one in bad else 'allowed'}: {one}")
    print(f"packages: {len(report['dependencies'])} asked of {service}, {len(found)} findings, {len(bad)} not allowed")
    return 1 if bad else 0


def _answers(program: str, service: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "control.txt"
        control.write_text(CONTROL + "\n")
        report = _report(program, service, control)
    return report is not None and bool(findings(report))


def _report(program: str, service: str, requirements: Path) -> dict[str, Any] | None:
    """What pip-audit reports; None when it could not ask."""
    command = [program, "--requirement", str(requirements), "--vulnerability-service", service]
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    try:
        ended = subprocess.run(  # noqa: S603 - the program that was installed beside this interpreter
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        report: dict[str, Any] = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return report


def _required(reason: object) -> bool:
    if not (isinstance(reason, str) and reason.strip()):
        raise TypeError("a reason must say why")
    return True


if __name__ == "__main__":
    sys.exit(main())
