"""The Compose file: by Compose's schema, closed, and every name in it is one that somebody knows.

tests/e2e/compose runs it on a real engine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from bentos.core.settings import load_settings
from bentos.fraud.access.keys import key_digest
from bentos.fraud.settings import ScoringSettings
from dashboard.settings import DashboardSettings
from tests.delivery.compose import FILE, FOLDER, SERVICES, bind_mounts, environment_of, example, read, variables
from tests.delivery.programs import check_schema, find_program, recorder, run, shell_problems
from tests.fraud.server import ROOT

SCRIPTS = tuple(sorted(path.name for path in FOLDER.glob("*.sh")))
#: By image, who reads its variables.
READERS = {"fraud-scoring": ScoringSettings, "fraud-dashboard": DashboardSettings}
#: Of the images of others and of libraries.
OTHERS = {"SITE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "BENTOML_CONFIG_OPTIONS", "STREAMLIT_SERVER_BASE_URL_PATH"}
OTHERS |= {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "POSTGRESQL_PASSWORD", "REDIS_PASSWORD"}
OTHERS |= {"PROXY_USERS"}
#: What prepare.sh makes.
SECRETS = set(read()["secrets"])


def test_it_fits_composes_schema(tmp_path: Path) -> None:
    assert check_schema("vendor.compose-spec", FILE) == ""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("depends_on:", "depend_on:"))
    assert "depend_on" in check_schema("vendor.compose-spec", wrong)


def test_every_setting_is_in_the_example_and_used() -> None:
    assert variables() == set(example())
    assert f'version = "{example()["IMAGE_TAG"]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_rights_and_an_end(name: str) -> None:
    service = read()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert "privileged" not in service
    for source, _, mode in bind_mounts(service):
        assert mode == "ro"
        assert source.exists() or source.name == "keys", source
    assert service["image"].rpartition(":")[2] not in ("", "latest")


def test_only_the_proxy_is_reached_and_on_this_machine_alone() -> None:
    document = read()
    for name, service in document["services"].items():
        for port in service.get("ports", []):
            assert name == "proxy"
            assert port.startswith("127.0.0.1:")
        assert ("outside" in service["networks"]) == (name == "proxy")
        # What keeps data is reached by those alone that need it.
        assert ("storage" in service["networks"]) == (name not in ("proxy", "dashboard"))
    open_networks = {name for name, network in document["networks"].items() if not network.get("internal")}
    assert open_networks == {"outside"}


@pytest.mark.parametrize("name", SERVICES)
def test_it_waits_for_what_can_be_waited_for(name: str) -> None:
    services = read()["services"]
    for other, how in services[name].get("depends_on", {}).items():
        if how["condition"] == "service_completed_successfully":
            assert services[other]["restart"] == "no"
        else:
            assert how["condition"] == "service_healthy"
            assert services[other]["healthcheck"]["test"]
        # They meet in a network.
        assert set(services[other]["networks"]) & set(services[name]["networks"])


def test_tables_are_made_before_anybody_asks_for_them() -> None:
    services = read()["services"]
    for name in ("scoring", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def _reader(service: dict[str, Any]) -> type[ScoringSettings | DashboardSettings] | None:
    return READERS.get(service["image"].rpartition("/")[2].partition(":")[0])


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_a_setting(name: str) -> None:
    service = read()["services"][name]
    reader = _reader(service)
    known = set() if reader is None else {f"FRAUD_{field.upper()}" for field in reader.model_fields}
    named = set(service.get("environment", {})) | set(service.get("secrets", []))
    assert named - OTHERS - {"MLFLOW_TRACKING_URI"} <= known
    assert set(service.get("secrets", [])) <= SECRETS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the folder in which prepare.sh was run, and what it said."""
    find_program("caddy")
    folder = tmp_path_factory.mktemp("compose") / "fraud"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    ended = run(str(folder / "prepare.sh"), environ=_environ(), folder=folder)
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stdout


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "FRAUD_PSEUDONYM_KEY": ""}


@pytest.mark.parametrize("name", ["scoring", "worker", "migrate", "dashboard"])
def test_settings_are_what_the_program_takes(
    name: str, prepared: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        if variable.startswith("FRAUD_"):
            monkeypatch.delenv(variable)
    service = read()["services"][name]
    for variable, value in environment_of(name).items():
        monkeypatch.setenv(variable, value)
    for secret in service["secrets"]:
        monkeypatch.setenv(secret, (prepared[0] / "secrets" / secret).read_text())
    reader = _reader(service)
    assert reader is not None
    settings = load_settings(reader)
    if isinstance(settings, ScoringSettings):
        assert settings.queue_url is not None
        assert settings.authenticates
        # What is named there are containers.
        for url in (settings.queue_url, settings.redis_url, settings.records_url):
            assert url is not None
            host = re.search(r"@([\w-]+):", url.get_secret_value())
            assert host is not None
            assert host[1] in SERVICES


def test_what_is_prepared_is_whole_and_closed(prepared: tuple[Path, str]) -> None:
    folder, told = prepared
    secrets = folder / "secrets"
    assert {path.name for path in secrets.iterdir() if path.is_file()} == SECRETS
    # Containers run as others and read the files; on this machine nobody else gets past the folder.
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert all(path.stat().st_mode & stat.S_IROTH for path in secrets.rglob("*") if path.is_file())
    keys = {item["name"]: item for item in json.loads((secrets / "keys" / "keys.json").read_text())["keys"]}
    assert {name: item["roles"] for name, item in keys.items()} == {
        "dashboard": ["feedback", "score"],
        "shop": ["score"],
    }
    shown = re.findall(r"this once: +(\S+)", told)
    assert key_digest(shown[0]).hex() == keys["shop"]["sha256"]
    passwords = [(secrets / name).read_text() for name in ("REDIS_PASSWORD", "POSTGRESQL_PASSWORD")]
    assert len(set(passwords)) == 2
    assert min(map(len, passwords)) >= 32
    assert not list(folder.glob(".secrets.*"))
    assert (folder / ".env").read_text() == (FOLDER / ".env.example").read_text()


def test_what_is_there_stays(prepared: tuple[Path, str]) -> None:
    folder, _ = prepared
    before = {path: path.read_bytes() for path in (folder / "secrets").rglob("*") if path.is_file()}
    ended = run(str(folder / "prepare.sh"), environ=_environ(), folder=folder)
    assert ended.returncode == 0
    assert "stays as it is" in ended.stdout
    assert {path: path.read_bytes() for path in before} == before


def test_another_caller_gets_a_key(prepared: tuple[Path, str]) -> None:
    folder, _ = prepared
    ended = run(str(folder / "prepare.sh"), "--key", "bank", "score", "admin", environ=_environ(), folder=folder)
    assert ended.returncode == 0, ended.stderr
    file = folder / "secrets" / "keys" / "keys.json"
    keys = {item["name"]: item for item in json.loads(file.read_text())["keys"]}
    assert keys["bank"]["roles"] == ["admin", "score"]
    assert key_digest(ended.stdout.strip()).hex() == keys["bank"]["sha256"]
    assert file.stat().st_mode & stat.S_IROTH


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--force"], "unknown argument '--force'"), (["--key", "bank"], "needs a name and roles")],
    ids=["option", "roles"],
)
def test_what_is_wrong_is_said(arguments: list[str], told: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "fraud", ignore=shutil.ignore_patterns("secrets", ".env"))
    ended = run(str(tmp_path / "fraud" / "prepare.sh"), *arguments, environ=_environ(), folder=tmp_path)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert not (tmp_path / "fraud" / ".env").exists()


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "fraud"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    (tmp_path / "programs").mkdir()
    recorder(tmp_path / "programs", "caddy", "exit 1")
    environ = {**_environ(), "PATH": f"{tmp_path / 'programs'}:{os.environ['PATH']}"}
    assert run(str(folder / "prepare.sh"), environ=environ, folder=folder).returncode != 0
    assert not [path.name for path in folder.iterdir() if "secrets" in path.name and path.is_dir()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert shell_problems(text, "bash" if text.startswith("#!/usr/bin/env bash") else "sh") == ""


def test_secrets_become_variables(tmp_path: Path) -> None:
    (tmp_path / "FRAUD_REDIS_URL").write_text("redis://:a b$c@redis")
    (tmp_path / "FRAUD_PSEUDONYM_KEY").write_text("")
    program = "import json, os; print(json.dumps({n: os.environ[n] for n in os.environ if n.startswith('FRAUD_')}))"
    environ = {"PATH": os.environ["PATH"], "SECRETS": str(tmp_path)}
    ended = run("sh", str(FOLDER / "with_secrets.sh"), sys.executable, "-c", program, environ=environ)
    assert json.loads(ended.stdout) == {"FRAUD_REDIS_URL": "redis://:a b$c@redis", "FRAUD_PSEUDONYM_KEY": ""}


def test_commands_of_our_images_are_there() -> None:
    from bentos.fraud.__main__ import cli

    services = read()["services"]
    for name in ("worker", "migrate"):
        words = services[name]["command"]
        assert words[:3] == ["python", "-m", "bentos.fraud"]
        group = cli.get_command(click.Context(cli), words[3])
        assert isinstance(group, click.Group)
        command = group.get_command(click.Context(group), words[4])
        assert command is not None
        command.make_context(words[4], list(words[5:]))


def test_the_server_is_started_as_its_image_starts_it() -> None:
    text = (ROOT / "k8s" / "images" / "scoring.Dockerfile").read_text()
    entry = [json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE)]
    assert read()["services"]["scoring"]["command"] == [*entry[0], *entry[1]]
    # Compose gives no entrypoint of the image's own a chance.
    assert environment_of("scoring")["BENTOML_CONFIG_OPTIONS"].startswith("services.fraud_detector.workers=")
