"""A bento is built by the plain command, and serves with everything it was built from gone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.fraud.artifacts import CARD, make_champion
from tests.fraud.requests import transaction_json
from tests.fraud.server import ROOT, bentoml_command, environment, running_server

pytestmark = pytest.mark.slow

VERSION = "7-5f0c2a91-9d3e77b0-1a2b3c4d"
BUILD_SECONDS = 120


def _build(repository: Path, environ: dict[str, str]) -> str:
    """Build as a user does; the new bento's tag."""
    ended = subprocess.run(
        bentoml_command("build", "--output", "tag"),
        cwd=repository,
        env=environ,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip().splitlines()[-1].removeprefix("__tag__:")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], list[str]]:
    """BENTOML_HOME with two bentos of one champion, what to serve them with, their tags. The repository is gone."""
    folder = tmp_path_factory.mktemp("bento")
    repository = folder / "repository"
    shutil.copytree(ROOT / "bentos", repository / "bentos", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bentofile.yaml", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, repository / name)
    # What lies about in a working folder must not end up in a bento.
    for litter in ("var/mlruns/model.pkl", "tests/test_x.py", "training/train.py", "bentos/notes.txt", ".env"):
        (repository / litter).parent.mkdir(parents=True, exist_ok=True)
        (repository / litter).write_text("litter")
    home = folder / "home"
    make_champion(home / "versions")
    (home / "champion").symlink_to(home / "versions" / "champion")
    environ = environment(home, BENTOML_HOME=str(folder / "bentoml"))
    tags = [_build(repository, environ) for _ in range(2)]
    shutil.rmtree(repository)
    shutil.rmtree(home)
    return folder, environ, tags


def test_the_version_names_the_model_and_repeats_are_told_apart(
    built: tuple[Path, dict[str, str], list[str]],
) -> None:
    assert built[2] == [f"fraud_detector:{VERSION}", f"fraud_detector:{VERSION}-2"]


def test_labels_name_where_the_model_comes_from(built: tuple[Path, dict[str, str], list[str]]) -> None:
    described: dict[str, Any] = yaml.safe_load((_bento(built) / "bento.yaml").read_text())
    assert described["version"] == VERSION
    labels = described["labels"]
    assert labels["mlflow_run_id"] == CARD.mlflow_run_id
    assert labels["mlflow_model_version"] == CARD.mlflow_model_version
    assert labels["data_hash"] == CARD.data_hash
    assert labels["commit"] == CARD.code_version
    assert str(CARD.mlflow_run_id) in (_bento(built) / "README.md").read_text()


def test_only_what_serving_needs_is_in_it(built: tuple[Path, dict[str, str], list[str]]) -> None:
    source = _bento(built) / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert {"artifact/manifest.json", "artifact/model.onnx", "bentos/fraud/service.py"} <= files
    assert [name for name in files if name.startswith("bentos/core/explain/_tree_kernel") and name.endswith(".so")]
    assert {name.partition("/")[0] for name in files} == {"artifact", "bentos", "bentofile.yaml"}
    assert {Path(name).suffix for name in files if name.startswith("bentos/")} <= {".py", ".so", ".typed", ".yaml"}
    requirements = (_bento(built) / "env" / "python" / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "torch" not in requirements
    assert "scikit-learn" not in requirements
    assert "extra-index" not in requirements


def test_it_serves_from_elsewhere(built: tuple[Path, dict[str, str], list[str]], tmp_path: Path) -> None:
    folder, environ, _ = built
    # As a relative path, to be taken from where the command is given.
    environ = {**environ, "FRAUD_HOME": "state"}
    with running_server(environ, "fraud_detector:latest", folder=tmp_path, log=tmp_path / "log") as server:
        answer = httpx.post(f"{server.url}/predict?explain=all", json=transaction_json(), timeout=30)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["reasons"]) == 3
        assert httpx.get(f"{server.url}/model", timeout=30).json()["mlflow_run_id"] == CARD.mlflow_run_id
        version = httpx.get(f"{server.url}/docs.json", timeout=30).json()["info"]["version"]
        workers = psutil.Process(server.process.pid).children(recursive=True)
        kernels = {item.path for worker in workers for item in worker.memory_maps() if "_tree_kernel" in item.path}
    assert version == f"{VERSION}-2"
    assert kernels
    assert all(path.startswith(str(folder / "bentoml")) for path in kernels), kernels
    assert (tmp_path / "state" / "serving" / "features.store").is_file()


def _bento(built: tuple[Path, dict[str, str], list[str]]) -> Path:
    return built[0] / "bentoml" / "bentos" / "fraud_detector" / VERSION
