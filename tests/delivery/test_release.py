"""What releases run: the chart's package, the images' push, an environment's upgrade, with programs that take notes.

A registry and a cluster are stood in for; the chart is packaged and rendered by the real helm.
"""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.delivery.programs import recorder, run, shell_problems
from tests.delivery.workflows import find_step
from tests.fraud.server import ROOT
from tests.helm.charts import CHART, find, render, run_helm

PACKAGE = ROOT / "scripts" / "package_chart.sh"
DEPLOY = ROOT / "scripts" / "deploy.sh"
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Folder that comes first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def _environ(programs: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **more}


@pytest.mark.parametrize("script", ["package_chart.sh", "deploy.sh"])
def test_scripts_are_sound(script: str) -> None:
    assert shell_problems((ROOT / "scripts" / script).read_text()) == ""


@pytest.fixture
def real_helm(programs: Path) -> Path:
    """``helm`` on the PATH of a script, wherever the tests have it from."""
    helm = run_helm("version", "--short").args[0]
    (programs / "helm").symlink_to(helm)
    return programs


def test_a_packaged_chart_asks_for_images_of_its_version(real_helm: Path, tmp_path: Path) -> None:
    ended = run(str(PACKAGE), "7.8.9-rc.1", str(tmp_path / "out"), environ=_environ(real_helm))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    package = tmp_path / "out" / "fraud-platform-7.8.9-rc.1.tgz"
    rendered = run_helm("template", "fraud", str(package)).stdout
    objects = [item for item in yaml.safe_load_all(rendered) if item]
    images = {
        container["image"].rpartition(":")[::2]
        for item in objects
        for container in item.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
        + (item["spec"]["containers"] if item["kind"] == "Pod" else [])
    }
    own = {name: tag for name, tag in images if name.startswith("fraud-")}
    assert own == dict.fromkeys(["fraud-scoring", "fraud-workers", "fraud-dashboard"], "7.8.9-rc.1")
    with tarfile.open(package) as archive:
        names = archive.getnames()
    assert "fraud-platform/values-production.yaml" in names
    # The files of the repository are as they were.
    assert "7.8.9" not in (CHART / "Chart.yaml").read_text()


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3/../x", ""])
def test_what_is_no_version_is_refused(version: str, tmp_path: Path) -> None:
    ended = run(str(PACKAGE), version, str(tmp_path / "out"))
    assert ended.returncode != 0
    assert "is no version" in ended.stderr or "usage" in ended.stderr
    assert not (tmp_path / "out").exists()


def _fake_helm(programs: Path, *, test: int, metadata: str) -> Path:
    return recorder(
        programs,
        "helm",
        f"""case $1 in
  get) {metadata or "exit 1"} ;;
  upgrade) cat > {programs}/values ;;
  test) exit {test} ;;
esac""",
    )


DEPLOYED = "printf 'name: fraud\\nrevision: 4\\nstatus: deployed\\n'"
FAILED = "printf 'name: fraud\\nrevision: 1\\nstatus: failed\\n'"


def test_an_upgrade_is_waited_for_and_tested(programs: Path) -> None:
    calls = _fake_helm(programs, test=0, metadata=DEPLOYED)
    environ = _environ(programs, NAMESPACE="payments")
    ended = run(str(DEPLOY), "oci://charts/fraud-platform", "1.2.3", text="scoring: {replicas: 3}", environ=environ)
    assert ended.returncode == 0, ended.stderr
    done = calls.read_text().splitlines()
    assert [line.split()[0] for line in done] == ["get", "upgrade", "test"]
    assert "--install fraud oci://charts/fraud-platform --version 1.2.3 --namespace payments" in done[1]
    assert "--rollback-on-failure --wait" in done[1]
    # The environment's own values come after the profile's.
    assert done[1].index("values-production.yaml") < done[1].index("--values -")
    assert (programs / "values").read_text() == "scoring: {replicas: 3}"


def test_the_options_are_helms() -> None:
    text = DEPLOY.read_text()
    for command in ("upgrade", "test", "rollback", "get metadata"):
        told = run_helm(*command.split(), "--help").stdout
        lines = [line for line in text.replace("\\\n", " ").splitlines() if f"helm {command}" in line]
        assert lines, command
        for word in {word for line in lines for word in line.split() if word.startswith("--")}:
            assert word in told, f"helm {command} has no {word}"


@pytest.mark.parametrize(
    ("metadata", "told", "last"),
    [
        (DEPLOYED, "back to revision 4", "rollback fraud 4"),
        ("", "nothing worked before", "test fraud"),
        (FAILED, "nothing worked before", "test fraud"),
    ],
    ids=["an earlier one", "a first install", "a broken one"],
)
def test_a_failed_test_goes_back(programs: Path, metadata: str, told: str, last: str) -> None:
    calls = _fake_helm(programs, test=1, metadata=metadata)
    ended = run(str(DEPLOY), "chart", "1.2.3", environ=_environ(programs))
    assert ended.returncode == 1
    assert told in ended.stderr
    assert calls.read_text().splitlines()[-1].startswith(last)


def test_the_values_that_the_docs_show_are_taken() -> None:
    page = (ROOT / "docs" / "delivery.md").read_text()
    shown = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(shown) == 1
    objects = render(yaml.safe_load(shown[0]), profile="production")
    scoring = find(objects, "Deployment", "fraud-scoring")["spec"]["template"]["spec"]["containers"][0]
    assert scoring["image"].startswith("ghcr.io/owner/repository/fraud-scoring:")


def test_images_are_pushed_by_commit_and_version(programs: Path, tmp_path: Path) -> None:
    calls = recorder(
        programs,
        "buildah",
        f'case $1 in login) cat >> {programs}/said ;; push) printf %s {DIGEST} > "$3" ;; esac',
    )
    home = tmp_path / "home"
    (home / "images").mkdir(parents=True)
    for name in ("scoring", "workers", "dashboard"):
        (home / "images" / f"fraud-{name}-sha-1.cdx.json").write_text("{}")
    environ = _environ(
        programs,
        PREFIX="ghcr.io/us/fraud",
        COMMIT="sha-1",
        TAG="1.2.3",
        TOKEN="opensesame",  # noqa: S106 - of nobody
        GITHUB_ACTOR="ann",
        RUNNER_TEMP=str(tmp_path),
        GITHUB_OUTPUT=str(tmp_path / "output"),
        FRAUD_HOME=str(home),
    )
    script = find_step("images.yaml", "build", "Push")
    ended = run("bash", "-e", "-o", "pipefail", "-c", script, environ=environ)
    assert ended.returncode == 0, ended.stderr
    pushed = [line.split()[-1] for line in calls.read_text().splitlines() if line.startswith("push")]
    assert pushed == [
        f"docker://ghcr.io/us/fraud/fraud-{name}:{tag}"
        for name in ("scoring", "workers", "dashboard")
        for tag in ("sha-1", "1.2.3")
    ]
    assert (tmp_path / "output").read_text().splitlines() == [
        f"{name}={DIGEST}" for name in ("scoring", "workers", "dashboard")
    ]
    # What the statements about the images are made of.
    assert {path.name for path in (home / "images").iterdir()} == {
        f"fraud-{name}.cdx.json" for name in ("scoring", "workers", "dashboard")
    }
    # The token is not among the arguments, which other processes can read.
    assert "opensesame" not in calls.read_text()
    assert (programs / "said").read_text() == "opensesame\n"
