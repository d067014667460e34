"""What a server says when it cannot start: one line, and what to do."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.core.artifact import decode_key, generate_keys
from bentos.core.artifact.manifest import canonical_json, sha256
from bentos.core.errors import ArtifactIncompatible, ArtifactMissing, SignatureInvalid
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import write_snapshot
from bentos.fraud.application import prepare
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import make_champion
from tests.fraud.blocking import BlockingPredictor, running_application
from tests.fraud.requests import NOON, transaction
from tests.fraud.server import ROOT, bentoml_command, environment

SECONDS = 60


def _refusal(home: Path, **settings: str) -> str:
    return refusal(home, "--host", "127.0.0.1", **settings)


def refusal(home: Path, *arguments: str, lines: int = 1, **settings: str) -> str:
    """What a server that must not start prints."""
    ended = subprocess.run(
        bentoml_command("serve", "--port", "0", *arguments),
        cwd=ROOT,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode != 0
    printed = (ended.stdout + ended.stderr).strip()
    assert "Traceback" not in printed
    assert len(printed.splitlines()) == lines, printed
    return printed


def test_without_a_champion_it_says_how_to_make_one(tmp_path: Path) -> None:
    message = _refusal(tmp_path)
    assert str(tmp_path / "champion" / "artifact") in message
    assert "make train" in message


def test_a_changed_byte_is_named_by_its_file(home: Path) -> None:
    model = home / "champion" / "artifact" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    message = _refusal(home)
    assert "model.onnx is not as it was written" in message
    assert "the manifest says" in message


def test_a_wrong_setting_is_named(home: Path) -> None:
    assert "FRAUD_INFERENCE_THREADS" in _refusal(home, FRAUD_INFERENCE_THREADS="many")


# The others take the same way through BentoML, so that the message is all there is to test.


def test_a_model_for_other_features_is_refused(home: Path) -> None:
    folder = home / "champion" / "artifact"
    other = "0" * 64
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["digest"]
    for name in ("features.json", "card.json"):
        document = json.loads((folder / name).read_bytes())
        document["feature_schema"] = other
        content = canonical_json(document)
        (folder / name).write_bytes(content)
        manifest["files"][name] = {"bytes": len(content), "sha256": sha256(content)}
    manifest["feature_schema"] = other
    digest = sha256(canonical_json(manifest))
    (folder / "manifest.json").write_bytes(canonical_json({**manifest, "digest": digest}))
    with pytest.raises(ArtifactIncompatible, match=f"made for the feature schema {other}"):
        prepare(ScoringSettings(home=home))


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed by another"])
def test_with_a_public_key_only_its_signature_is_served(tmp_path: Path, signed: bool) -> None:
    _, expected = generate_keys()
    other, _ = generate_keys()
    make_champion(tmp_path, private_key=decode_key(other) if signed else None)
    with pytest.raises(SignatureInvalid):
        prepare(ScoringSettings(home=tmp_path, signing_public_key=expected))


def test_the_right_signature_is_served(tmp_path: Path, runner: asyncio.Runner) -> None:
    private, public = generate_keys()
    make_champion(tmp_path, private_key=decode_key(private))
    settings = ScoringSettings(home=tmp_path, signing_public_key=public)
    prepare(settings)
    with running_application(settings, runner) as application:
        assert BlockingPredictor(application.predictor, runner).predict(transaction()).degraded == ()


def test_a_missing_snapshot_that_was_asked_for_is_named(home: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"absent\.npz"):
        prepare(ScoringSettings(home=home, snapshot=home / "absent.npz"))


def test_a_snapshot_fills_an_empty_store_once(home: Path, runner: asyncio.Runner) -> None:
    table = pd.DataFrame(
        {
            "transaction_id": ["t-0", "t-1"],
            "customer_id": "customer-1",
            "merchant_id": "merchant-1",
            "merchant_category": "grocery",
            "amount": [10.0, 20.0],
            "timestamp": pd.to_datetime([NOON - timedelta(hours=2), NOON - timedelta(hours=1)], utc=True).as_unit("us"),
            "utc_offset_seconds": np.int32(3600),
            "customer_latitude": np.nan,
            "customer_longitude": np.nan,
            "merchant_latitude": np.nan,
            "merchant_longitude": np.nan,
            "is_fraud": False,
        }
    )
    write_snapshot(table, home / "champion" / "snapshot" / "features.npz", Pseudonyms(""))
    settings = ScoringSettings(home=home)
    for _ in range(2):
        prepare(settings)
    with running_application(settings, runner) as application:
        explanation = BlockingPredictor(application.predictor, runner).explain(transaction())
        assert explanation.features["customer_transactions_1d"] == 3
