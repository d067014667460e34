from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bentos.core.errors import ConfigError
from bentos.fraud.bento.requirements import serving_requirements
from tests.fraud.server import ROOT

TRAINING = {"torch", "scikit-learn", "imbalanced-learn", "mlflow", "shap", "skorch", "optuna", "onnx", "matplotlib"}


def _project(folder: Path, *, serve: str, constraints: str | None = None) -> Path:
    text = f'[project]\nname = "x"\ndependencies = ["numpy"]\n[project.optional-dependencies]\nserve = ["{serve}"]\n'
    (folder / "pyproject.toml").write_text(text)
    if constraints is not None:
        (folder / "constraints.txt").write_text(constraints)
    return folder


def test_the_service_needs_nothing_of_training_and_pins_everything() -> None:
    requirements = [Requirement(line) for line in serving_requirements(ROOT)]
    names = {requirement.name for requirement in requirements}
    assert {"numpy", "onnxruntime", "pydantic", "prometheus-client", "starlette"} <= names
    assert not names & TRAINING
    for requirement in requirements:
        assert [item.operator for item in requirement.specifier] == ["=="]


def test_what_bentoml_adds_itself_is_left_to_it() -> None:
    assert not any(line.startswith("bentoml==") for line in serving_requirements(ROOT))


def test_constraints_decide_the_version(tmp_path: Path) -> None:
    constraints = "# made by hand\nNumPy==1.2.3  # why\n-r other.txt\nanyio>=1\n"
    lines = serving_requirements(_project(tmp_path, serve="prometheus_client", constraints=constraints))
    assert "numpy==1.2.3" in lines
    assert any(line.startswith("prometheus-client==") for line in lines)


def test_needs_of_needs_are_included(tmp_path: Path) -> None:
    names = {line.partition("==")[0] for line in serving_requirements(_project(tmp_path, serve="httpx"))}
    assert {"httpx", "httpcore", "h11", "idna"} <= names


def test_extras_are_followed_only_when_asked_for(tmp_path: Path) -> None:
    plain = serving_requirements(_project(tmp_path, serve="coverage"))
    assert {line.partition("==")[0] for line in plain} == {"coverage", "numpy"}


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not-there-at-all"):
        serving_requirements(_project(tmp_path, serve="not-there-at-all"))


def test_a_broken_constraint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no requirement"):
        serving_requirements(_project(tmp_path, serve="httpx", constraints="numpy == = 1\n"))
