"""Look for secrets in what is, or could be, committed: ``python scripts/scan_secrets.py [--update]``.

``.secrets.baseline`` holds the digests of what looks like a secret and is none, such as test vectors; ``--update``
writes it anew, to be read before it is committed. Exits with 1 when there is anything else.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

ROOT: Final = Path(__file__).resolve().parent.parent
BASELINE: Final = ".secrets.baseline"
#: Of detect-secrets; its others guess from names of variables, or ask the services whose secrets they find.
_PLUGINS: Final = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SlackDetector",
    "StripeDetector",
)
_ENTROPY: Final = ({"name": "Base64HighEntropyString", "limit": 4.5}, {"name": "HexHighEntropyString", "limit": 3.0})
_FILTERS: Final = (
    "allowlist.is_line_allowlisted",
    "heuristic.is_indirect_reference",
    "heuristic.is_likely_id_string",
    "heuristic.is_not_alphanumeric_string",
    "heuristic.is_potential_uuid",
    "heuristic.is_prefixed_with_dollar_sign",
    "heuristic.is_sequential_string",
    "heuristic.is_templated_secret",
)
#: This service's own API keys.
_OWN_KEY: Final = re.compile(r"fraudkey_[A-Za-z0-9_-]{43}")
_BINARY: Final = {".png", ".so", ".parquet", ".npz", ".onnx"}

Found = dict[tuple[str, str], dict[str, Any]]


def tracked(root: Path) -> list[str]:
    """Files that are committed, and those that would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = sorted({name for name in listed.split("\0") if name and name != BASELINE})
    return [name for name in names if Path(name).suffix not in _BINARY and (root / name).is_file()]


def scan(root: Path, names: Sequence[str]) -> Found:
    """What looks like a secret, by file and digest."""
    found: Found = {}
    with transient_settings(_settings()):
        for name in names:
            for secret in scan_file(str(root / name)):
                found[name, secret.secret_hash] = {"type": secret.type, "line_number": secret.line_number}
            for line, key in _own_keys(root / name):
                found[name, key] = {"type": "Fraud API key", "line_number": line}
    return found


def read_baseline(path: Path) -> set[tuple[str, str]]:
    """What is known to be none."""
    if not path.exists():
        return set()
    results = json.loads(path.read_text())["results"]
    return {(name, entry["hashed_secret"]) for name, entries in results.items() for entry in entries}


def write_baseline(path: Path, found: Found) -> None:
    """Write what is found, as detect-secrets does, but for what changes without need: the time, the machine's paths."""
    results: dict[str, list[dict[str, Any]]] = {}
    for (name, digest), entry in sorted(found.items()):
        results.setdefault(name, []).append({"hashed_secret": digest, **entry})
    path.write_text(json.dumps({**_settings(), "results": results}, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Scan; returns the exit code."""
    parser = argparse.ArgumentParser(description="Look for secrets in what is, or could be, committed.")
    parser.add_argument("--update", action="store_true", help="write the baseline anew")
    parser.add_argument("--root", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    names = tracked(options.root)
    found = scan(options.root, names)
    baseline = options.root / BASELINE
    if options.update:
        write_baseline(baseline, found)
        print(f"secrets: {len(found)} findings in {len(names)} files written to {BASELINE}; read it before committing")
        return 0
    known = read_baseline(baseline)
    new = {place: entry for place, entry in found.items() if place not in known}
    for (name, _), entry in sorted(new.items()):
        print(f"secrets: {name}:{entry['line_number']}: looks like a secret ({entry['type']})", file=sys.stderr)
    if new:
        print(
            "secrets: take them out; who has seen a real one may have it, so change it too. What is none goes into"
            f" {BASELINE} with --update, or gets the comment 'pragma: allowlist secret'",
            file=sys.stderr,
        )
        return 1
    print(f"secrets: none in {len(names)} files; {len(found)} findings are known to be none")
    return 0


def _settings() -> dict[str, Any]:
    return {
        "plugins_used": [*({"name": name} for name in _PLUGINS), *_ENTROPY],
        "filters_used": [{"path": f"detect_secrets.filters.{name}"} for name in _FILTERS],
    }


def _own_keys(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        for key in _OWN_KEY.findall(line):
            yield number, sha1(key.encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
