"""The scan for secrets finds what is planted, and its baseline tells nothing of a machine."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from bentos.fraud.access.keys import new_key
from scripts.scan_secrets import BASELINE, main
from tests.fraud.server import ROOT


def _private_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


PLANTED = {
    "a key of this service": lambda: f"curl -H 'x-api-key: {new_key()}'\n",
    "a private key": _private_key,
    "a cloud key": lambda: f"region: eu\nid: AKIA{secrets.token_hex(8).upper()}\n",
    "a password in an address": lambda: f"url: postgresql://fraud:{secrets.token_urlsafe(12)}@db/fraud\n",
    "a token of GitHub": lambda: f"token ghp_{secrets.token_hex(18)}\n",
    "a random text": lambda: f'SIGNING = "{base64.b64encode(secrets.token_bytes(48)).decode()}"\n',
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a file and its baseline."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "notes.md").write_text("nothing\n")
    (tmp_path / ".gitignore").write_text("ignored/\n")
    assert main(["--root", str(tmp_path), "--update"]) == 0
    return tmp_path


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_secret_is_found(repository: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert main(["--root", str(repository)]) == 0
    planted = PLANTED[what]()
    (repository / "deploy.yaml").write_text(planted)
    assert main(["--root", str(repository)]) == 1
    said = capsys.readouterr().err
    assert "deploy.yaml:" in said
    # The log of a build is read by more people than the file.
    assert not [word for word in planted.split() if len(word) > 12 and word in said]


def test_what_is_committed_counts_and_what_is_ignored_does_not(repository: Path) -> None:
    (repository / "ignored").mkdir()
    (repository / "ignored" / "keys").write_text(new_key())
    assert main(["--root", str(repository)]) == 0
    (repository / "committed").write_text(new_key())
    subprocess.run(["git", "-C", str(repository), "add", "committed"], check=True)
    assert main(["--root", str(repository)]) == 1


def test_the_baseline_knows_a_finding_wherever_it_moves_but_no_other(repository: Path) -> None:
    vector = secrets.token_hex(20)
    (repository / "test_vectors.py").write_text(f'VECTOR = "{vector}"\n')
    assert main(["--root", str(repository), "--update"]) == 0
    (repository / "test_vectors.py").write_text(f'\n\n\nVECTOR = "{vector}"\n')
    assert main(["--root", str(repository)]) == 0
    assert vector not in (repository / BASELINE).read_text()
    (repository / "test_vectors.py").write_text(f'VECTOR = "{secrets.token_hex(20)}"\n')
    assert main(["--root", str(repository)]) == 1


def test_the_committed_baseline_tells_nothing_of_a_machine() -> None:
    text = (ROOT / BASELINE).read_text()
    baseline = json.loads(text)
    assert set(baseline) == {"plugins_used", "filters_used", "results"}
    assert str(ROOT) not in text
    assert "://" not in text
    assert not [name for name in baseline["results"] if name.startswith(("/", "..", "~"))]
