"""The generated Feast repository, and what is said when Feast is not there; needs no Feast."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import yaml

from bentos.core.errors import ConfigError
from bentos.core.features.definitions import FEATURE_NAMES, FEATURE_SCHEMA, FEATURES
from bentos.core.features.history import CUSTOMER, KINDS
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.settings import load_settings
from bentos.fraud.__main__ import main
from bentos.fraud.store import open_store
from bentos.fraud.store.feast_repository import definitions_text, settings_text, write_repository
from bentos.fraud.store.settings import StoreSettings


def calls(text: str) -> dict[str, dict[str, ast.expr]]:
    """Arguments of each call that makes an object, by the object's name."""
    return {
        target.id: {word.arg: word.value for word in node.value.keywords if word.arg}
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def fields(schema: ast.expr) -> list[tuple[str, str]]:
    """Name and type of each."""
    assert isinstance(schema, ast.List)
    found = []
    for item in schema.elts:
        assert isinstance(item, ast.Call)
        words = {word.arg: word.value for word in item.keywords}
        found.append((ast.literal_eval(words["name"]), ast.unparse(words["dtype"])))
    return found


def test_each_kind_of_key_has_entity_push_source_and_view() -> None:
    made = calls(definitions_text("0" * 16))
    for kind in KINDS:
        assert ast.unparse(made[kind.name]["join_keys"]) == f"['{kind.name}_key']"
        assert ast.literal_eval(made[f"{kind.name}_push"]["name"]) == f"{kind.name}_push"
        view = made[f"{kind.name}_history"]
        assert ast.unparse(view["entities"]) == f"[{kind.name}]"
        assert ast.unparse(view["source"]) == f"{kind.name}_push"
        assert fields(view["schema"]) == [
            (f"{kind.name}_state", "Bytes"),
            (f"{kind.name}_recorded_at", "UnixTimestamp"),
            *((feature.name, "Float64") for feature in FEATURES if feature.source == kind.name),
        ]


def test_every_history_feature_is_in_one_view() -> None:
    made = calls(definitions_text("0" * 16))
    names = [name for kind in KINDS for name, _ in fields(made[f"{kind.name}_history"]["schema"])]
    assert sorted(set(names) & set(FEATURE_NAMES)) == sorted(
        feature.name for feature in FEATURES if feature.source != "transaction"
    )
    assert len(names) == len(set(names))


def test_the_view_on_demand_has_all_features() -> None:
    tree = ast.parse(definitions_text("0" * 16))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    decorator = function.decorator_list[0]
    assert isinstance(decorator, ast.Call)
    schema = next(word.value for word in decorator.keywords if word.arg == "schema")
    assert fields(schema) == [(name, "Float64") for name in FEATURE_NAMES]


def test_views_tell_what_they_were_made_for() -> None:
    text = definitions_text(Pseudonyms("secret").fingerprint())
    assert FEATURE_SCHEMA in text
    assert Pseudonyms("secret").fingerprint() in text
    assert text != definitions_text(Pseudonyms("other").fingerprint())


@pytest.mark.parametrize("online", ["sqlite", "redis"])
def test_settings_are_yaml_that_names_the_store(online: str) -> None:
    settings = yaml.safe_load(settings_text("payments", "redis" if online == "redis" else "sqlite"))
    assert settings["project"] == "payments"
    assert settings["online_store"]["type"] == online
    if online == "redis":
        assert settings["online_store"]["key_ttl_seconds"] == 39 * 86_400


def test_settings_that_are_there_stay(tmp_path: Path) -> None:
    assert len(write_repository(tmp_path, "0" * 16, "fraud", "sqlite")) == 2
    (tmp_path / "feature_store.yaml").write_text("project: ours\n")
    assert write_repository(tmp_path, "1" * 16, "fraud", "redis") == [tmp_path / "fraud_features.py"]
    assert (tmp_path / "feature_store.yaml").read_text() == "project: ours\n"
    assert '"1111111111111111"' in (tmp_path / "fraud_features.py").read_text()


def test_the_command_writes_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRAUD_PSEUDONYM_KEY", "secret")
    assert main(["feast", "repository", str(tmp_path / "repository"), "--online", "redis", "--project", "ours"]) == 0
    said = capsys.readouterr()
    assert "feature_store.yaml written" in said.out
    assert "feast apply" in said.err
    text = (tmp_path / "repository" / "fraud_features.py").read_text()
    assert text == definitions_text(Pseudonyms("secret").fingerprint())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["feast", "repository", str(tmp_path / "file" / "below")]) == 2
    assert "name another folder" in capsys.readouterr().err


def test_keys_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FRAUD_PSEUDONYM_KEY", "secret")
    assert main(["feast", "key", "--customer", "c1"]) == 0
    assert capsys.readouterr().out == f"customer_key {Pseudonyms('secret').key(CUSTOMER, 'c1').hex()}\n"
    assert main(["feast", "key"]) == 2
    assert "--customer" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As it is where nobody has installed it.
    monkeypatch.setitem(sys.modules, "feast", None)
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    monkeypatch.setenv("FRAUD_FEATURE_STORE", "feast")
    write_repository(tmp_path / "feast", "0" * 16, "fraud", "sqlite")
    with pytest.raises(ConfigError, match=r"constraints-feast\.txt"):
        open_store(load_settings(StoreSettings))


def test_without_a_repository_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_FEATURE_STORE", "feast")
    monkeypatch.setenv("FRAUD_FEAST_REPOSITORY", str(tmp_path))
    with pytest.raises(ConfigError, match="feast repository FOLDER"):
        open_store(load_settings(StoreSettings))
