"""GitHub's workflows are what GitHub takes, safe by zizmor's rules, and call nothing that is not there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.delivery.programs import check_schema, run, shell_problems
from tests.delivery.workflows import FOLDER, NAMES, commands, find_step, jobs, read, schema_files, scripts, triggers
from tests.fraud.server import ROOT

DEPENDABOT = FOLDER.parent / "dependabot.yml"
CALLS = [
    (name, job, body["uses"])
    for name in NAMES
    for job, body in jobs(name).items()
    if body.get("uses", "").startswith("./")
]
#: What a workflow's scripts may call of this repository.
_FILE = re.compile(r"(?<![\w./$-])(?:scripts|helm|k8s|compose|\.ci)/[\w./-]+")


def _audit(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("zizmor")
    return run(str(program), "--offline", "--no-progress", "--format", "plain", str(folder))


def test_the_workflows_fit_githubs_schema() -> None:
    assert NAMES
    assert check_schema("vendor.github-workflows", *schema_files()) == ""
    assert check_schema("custom.github-workflows-require-timeout", *schema_files()) == ""
    assert check_schema("vendor.dependabot", DEPENDABOT) == ""


def test_the_workflows_are_safe() -> None:
    ended = _audit(FOLDER.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"actions/checkout@\w+ # v7.0.0", "actions/checkout@v7"),
        (r"persist-credentials: false", "persist-credentials: true"),
        (r"run: scripts/images.sh", "run: echo ${{ inputs.tag }}; scripts/images.sh"),
        (r"^permissions: {}$", "permissions: write-all"),
    ],
    ids=["an action by its tag", "credentials left behind", "a text of others as code", "all permissions"],
)
def test_what_is_unsafe_is_found(tmp_path: Path, before: str, after: str) -> None:
    text, count = re.subn(before, after, (FOLDER / "images.yaml").read_text(), flags=re.MULTILINE)
    assert count > 0
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "images.yaml").write_text(text)
    assert _audit(tmp_path).returncode != 0


def test_what_github_would_refuse_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((FOLDER / "tests.yaml").read_text().replace("runs-on:", "runs_on:"))
    assert "runs_on" in check_schema("vendor.github-workflows", wrong)


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_sound(name: str) -> None:
    for place, script in scripts(name):
        # Texts of others come as variables, never as code.
        assert "${{" not in script, place
        assert shell_problems(script) == "", place


@pytest.mark.parametrize("name", NAMES)
def test_files_that_scripts_name_are_there(name: str) -> None:
    for place, script in scripts(name):
        for called in _FILE.findall(script):
            path = ROOT / called
            assert path.exists(), f"{place} calls {called}"
            assert path.suffix != ".sh" or path.stat().st_mode & 0o111, f"{called} cannot be run"


@pytest.mark.parametrize("name", NAMES)
def test_targets_that_scripts_make_are_there(name: str) -> None:
    for command in commands(name, "make"):
        for target in shlex.split(command)[1:]:
            place = target.replace("$FRAUD_HOME", str(ROOT / "var"))
            ended = run("make", "--dry-run", place)
            assert ended.returncode == 0, ended.stderr


def test_a_target_that_is_not_there_is_found() -> None:
    assert run("make", "--dry-run", "no-such-target").returncode != 0


def _options(group: click.Group, words: list[str]) -> set[str]:
    context = click.Context(group)
    command = group.get_command(context, words[0])
    assert command is not None, f"there is no command {words[0]}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {word for word in words[1:] if word.startswith("--")} - known


def test_commands_of_training_and_cluster_are_there() -> None:
    from k8s.__main__ import cli as cluster
    from training.__main__ import cli

    groups = {"training": cli, "k8s": cluster}
    seen = []
    for name in NAMES:
        for command in commands(name, ".venv/bin/python"):
            words = shlex.split(command)
            if words[1:3] == ["-m", "pytest"]:
                assert (ROOT / words[3]).is_dir()
                continue
            assert words[1] == "-m", command
            assert _options(groups[words[2]], words[3:]) == set(), command
            seen.append(words[3])
    assert set(seen) == {"ingest", "snapshot", "train", "doctor", "promote", "export", "release"}
    assert _options(cli, ["train", "--no-such-option"]) == {"--no-such-option"}


@pytest.mark.parametrize(("name", "job", "called"), CALLS, ids=[f"{name} {job}" for name, job, _ in CALLS])
def test_a_called_workflow_takes_what_it_gets(name: str, job: str, called: str) -> None:
    body, other = jobs(name)[job], Path(called).name
    declared: dict[str, Any] = triggers(other)["workflow_call"] or {}
    inputs = declared.get("inputs", {})
    given = body.get("with", {})
    assert set(given) <= set(inputs)
    assert {key for key, value in inputs.items() if value.get("required")} <= set(given)
    if body.get("secrets") != "inherit":
        assert set(body.get("secrets", {})) <= set(declared.get("secrets", {}))
    # It gets no more rights than who calls it gives.
    for inner in jobs(other).values():
        for right, level in inner.get("permissions", {}).items():
            conditional = "pull_request" in str(inner.get("if", ""))
            assert conditional or _grants(body["permissions"].get(right)) >= _grants(level), f"{other} needs {right}"


def _grants(level: str | None) -> int:
    return [None, "read", "write"].index(level)


@pytest.mark.parametrize("name", NAMES)
def test_jobs_need_jobs_that_are_there_and_grant_by_name(name: str) -> None:
    assert read(name)["permissions"] == {}
    for job, body in jobs(name).items():
        needs = body.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(jobs(name)), job


def test_nothing_reaches_production_but_by_staging_and_an_environment() -> None:
    environments = {
        (name, job): body["environment"] for name in NAMES for job, body in jobs(name).items() if "environment" in body
    }
    deploy = jobs("deploy.yaml")
    assert environments["deploy.yaml", "staging"] == "staging"
    assert environments["deploy.yaml", "production"] == "production"
    assert deploy["production"]["needs"] == "staging"
    assert deploy["production"]["steps"] == deploy["staging"]["steps"]
    # Promotion of a model waits for somebody as well.
    assert environments["training.yaml", "promote"] == "model-promotion"
    reaching = [name for name in NAMES for _, script in scripts(name) if "deploy.sh" in script]
    assert reaching == ["deploy.yaml", "deploy.yaml"]
    # What goes by gates instead of people does so from an environment of its own, and one run at a time.
    assert environments["rollout.yaml", "release"] == "rollout"
    assert read("rollout.yaml")["concurrency"] == {"group": "rollout", "cancel-in-progress": False}


def test_a_rollout_is_begun_without_waiting_and_finished_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    note = f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\ncat "$KUBECONFIG" > {tmp_path}/seen\n'
    for program, text in ((python, note), (tmp_path / "programs" / "buildah", "#!/bin/sh\n")):
        program.write_text(text)
        program.chmod(0o755)
    script = find_step("rollout.yaml", "release", "Release")
    for dry_run, more in (("", []), ("true", ["--dry-run"])):
        environ = {
            "PATH": f"{tmp_path / 'programs'}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(tmp_path),
            "KUBECONFIG_CONTENT": "the cluster's",
            "FRAUD_SIGNING_PUBLIC_KEY": "",
            "NAMESPACE": "bank",
            "VERDICTS_URL": "https://dashboard.example/",
            "DRY_RUN": dry_run,
            "TOKEN": "t",
            "GITHUB_ACTOR": "a",
            "GITHUB_REPOSITORY": "Bank/Fraud",
        }
        ended = subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, env=environ, capture_output=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert (tmp_path / "arguments").read_text().split() == [
            *("-m", "k8s", "release", "--release", "fraud", "--namespace", "bank", "--push", "--no-wait"),
            *("--allow-none", "--prefix", "ghcr.io/bank/fraud", "--verdicts-url", "https://dashboard.example/", *more),
        ]
        assert (tmp_path / "seen").read_text() == "the cluster's"
        assert not (tmp_path / "kubeconfig").exists()


def test_paths_that_start_a_workflow_are_there() -> None:
    for name in NAMES:
        for event in triggers(name).values():
            for path in (event or {}).get("paths", []) if isinstance(event, dict) else []:
                assert (ROOT / path.removesuffix("/**")).exists(), f"{name}: {path}"


def test_helm_and_python_are_one_version_each() -> None:
    found: dict[str, set[str]] = {}
    for name in NAMES:
        for body in jobs(name).values():
            for step in body.get("steps", []):
                for key in ("version", "python-version"):
                    if key in step.get("with", {}):
                        found.setdefault(key, set()).add(step["with"][key])
    assert {key: len(values) for key, values in found.items()} == {"version": 1, "python-version": 1}
    project = (ROOT / "pyproject.toml").read_text()
    assert f'requires-python = ">={found["python-version"].pop()},' in project


def test_dependabot_looks_at_the_actions() -> None:
    updates = yaml.safe_load(DEPENDABOT.read_text())["updates"]
    assert [update["package-ecosystem"] for update in updates] == ["github-actions"]
