"""Configurations: presets, YAML, what is refused and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.core.errors import ConfigError
from tests.training.models.data import FOREST, forest, network
from training.models.config import ModelConfig, load_config, preset_names, save_config, with_values


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_survive_a_file(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert config.name == name
    save_config(config, tmp_path / "model.yaml", comment="two\nlines")
    assert load_config(tmp_path / "model.yaml") == config
    assert (tmp_path / "model.yaml").read_text().startswith("# two\n# lines\n")


def test_forest_and_network_ship() -> None:
    assert {"forest", "network"} <= set(preset_names())
    assert load_config("forest").kind == "forest"
    assert load_config("network").kind == "network"
    assert load_config("logistic").kind == "other"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"estimator": "os.system"}, "is not allowed"),
        ({"estimator": "sklearn.ensemble.RandomForest; import os"}, "is not allowed"),
        ({"estimator": "sklearn.ensemble.NoSuchClassifier"}, "does not exist"),
        ({"estimator": "sklearn.nowhere.Classifier"}, "does not exist"),
        ({"estimator": "sklearn.ensemble.RandomForestRegressor"}, "not a classifier"),
        ({"estimator": "sklearn.utils.Bunch"}, "no estimator of"),
        ({"estimator": "sklearn.ensemble.VotingClassifier"}, "wraps another estimator"),
        ({"estimator": "sklearn.svm.LinearSVC"}, "no probabilities"),
        ({"parameters": {"n_tree": 5}}, "no parameter n_tree; it has bootstrap"),
        ({"parameters": {"random_state": 5}}, "--seed"),
        ({"parameters": {"class_weight": "balanced"}}, "strategy: class_weight"),
        ({"nme": 1}, "nme: Extra inputs are not permitted (there are name, estimator"),
        ({"imbalance": {"strategy": "magic"}}, "imbalance.strategy"),
        ({"imbalance": {"ratio": 0}}, "imbalance.ratio"),
        ({"scale": True}, "a forest takes features as they are"),
        ({"calibration_folds": -1}, "calibration_folds"),
        ({"name": "../x"}, "name"),
        (
            {"estimator": "sklearn.ensemble.ExtraTreesClassifier", "imbalance": {"strategy": "balanced_forest"}},
            "use one of none",
        ),
        ({"estimator": "imblearn.ensemble.BalancedRandomForestClassifier"}, "is itself the strategy"),
        (
            {"estimator": "sklearn.ensemble.GradientBoostingClassifier", "imbalance": {"strategy": "class_weight"}},
            "knows no class weights",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(values: dict[str, object], words: str, tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "estimator": FOREST} | values))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"hiden": [4]}, "parameters.hiden: Extra inputs are not permitted (there are hidden"),
        ({"hidden": []}, "parameters.hidden"),
        ({"hidden": [0]}, "from 1 to 4096 units"),
        ({"dropout": 1.0}, "parameters.dropout"),
        ({"knots": {"amuont": [1, 2]}}, "no feature amuont"),
        ({"knots": {"amount": [2, 1]}}, "ascending"),
        ({"gain": {"amount": 0}}, "a gain lies above 0"),
    ],
)
def test_network_parameters_are_checked(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network(**parameters)
    assert words in str(caught.value)


def test_values_are_set_by_dotted_path() -> None:
    config = with_values(forest(), {"parameters.max_depth": 3, "imbalance.strategy": "smote"})
    assert config.parameters == {"n_estimators": 25, "max_depth": 3}
    assert config.imbalance.strategy == "smote"
    assert with_values(network(), {"parameters.hidden": "8,4"}).network.hidden == (8, 4)
    with pytest.raises(ConfigError, match="max_deep"):
        with_values(forest(), {"parameters.max_deep": 3})


@pytest.mark.parametrize(
    ("content", "words"), [("a: [", "is not YAML"), ("- 1", "holds list"), ("", "holds NoneType"), (None, "cannot be")]
)
def test_files_that_are_no_configuration(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_config(path)


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="there are forest, "):
        load_config("forrest")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        save_config(forest(), tmp_path / "file" / "model.yaml")


def test_any_classifier_of_sklearn_by_name() -> None:
    config = ModelConfig(name="knn", estimator="sklearn.neighbors.KNeighborsClassifier", parameters={"n_neighbors": 3})
    assert config.kind == "other"
