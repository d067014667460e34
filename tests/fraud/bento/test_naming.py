from __future__ import annotations

from pathlib import Path

import pytest

from bentos.core.answers import ModelVersion
from bentos.core.artifact import Artifact, read_artifact
from tests.fraud.artifacts import CARD, make_champion

pytestmark = pytest.mark.usefixtures("imported_bentoml")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return read_artifact(make_champion(tmp_path_factory.mktemp("naming")), public_key=None)


def _with_card(artifact: Artifact, **changes: object) -> Artifact:
    fields = {**vars(artifact), "card": artifact.card.model_copy(update=changes)}
    return Artifact(**fields)


def test_a_version_names_model_run_data_and_commit(artifact: Artifact) -> None:
    from bentos.fraud.bento.naming import version

    assert version(artifact) == "7-5f0c2a91-9d3e77b0-1a2b3c4d"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mlflow_run_id": None}, "7-none-9d3e77b0-1a2b3c4d"),
        ({"code_version": "Unknown (dirty)"}, "7-5f0c2a91-9d3e77b0-unknownd"),
        ({"data_hash": "sha256:AB/CD"}, "7-5f0c2a91-sha256ab-1a2b3c4d"),
        ({"version": "x" * 200}, "xxxxxxxxxxxxxxxx-5f0c2a91-9d3e77b0-1a2b3c4d"),
        ({"version": "…"}, "none-5f0c2a91-9d3e77b0-1a2b3c4d"),
    ],
)
def test_a_version_is_a_tag_whatever_the_card_says(
    artifact: Artifact, changes: dict[str, str | None], expected: str
) -> None:
    import bentoml

    from bentos.fraud.bento.naming import version

    wanted = version(_with_card(artifact, **changes))
    assert wanted == expected
    assert bentoml.Tag("fraud_detector", wanted).version == expected


def test_labels_are_texts_that_name_everything_in_full(artifact: Artifact) -> None:
    from bentos.fraud.bento.naming import labels

    named = labels(artifact)
    assert all(isinstance(value, str) for value in named.values())
    assert named["mlflow_run_id"] == CARD.mlflow_run_id
    assert named["mlflow_model_version"] == CARD.mlflow_model_version
    assert named["data_hash"] == CARD.data_hash
    assert named["commit"] == CARD.code_version
    assert named["artifact_digest"] == artifact.digest
    assert ModelVersion(name=named["model_name"], version=named["model_version"]).version == CARD.version


def test_other_bentos_keep_their_random_versions(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bentoml

    from bentos.fraud.bento.naming import name_build

    monkeypatch.setattr(bentoml.Tag, "make_new_version", bentoml.Tag.make_new_version)
    monkeypatch.setenv("FRAUD_HOME", str(home))
    name_build()
    first, second = (bentoml.Tag("another").make_new_version() for _ in range(2))
    assert first != second
    with pytest.raises(ValueError, match="already has a version"):
        bentoml.Tag("fraud_detector", "1").make_new_version()


def test_without_a_champion_a_build_ends_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bentoml.exceptions import BentoMLException

    from bentos.fraud.bento.naming import name_build

    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    with pytest.raises(BentoMLException, match="make train"):
        name_build()


def test_the_description_names_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bentos.fraud.bento.naming import describe

    monkeypatch.setenv("FRAUD_HOME", str(home))
    text = describe()
    assert str(CARD.mlflow_run_id) in text
    assert "0.7000" in text
