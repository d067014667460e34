"""``scripts/images.sh`` hands a builder what an image needs and nothing else, or says in one line what is missing.

Real images are built and run in tests/e2e/cluster; here a program that notes what it is asked for takes the builder's
place.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fraud.server import ROOT

BENTO = """service: bentos.fraud.service:FraudDetector
name: fraud_detector
version: 7-5f0c2a91
creation_time: '2026-11-25T15:03:42.357361+00:00'
labels:
  model_name: fraud_detector
  model_version: '7'
  mlflow_run_id: 5f0c2a915f0c2a91
  mlflow_model_version: '7'
  data_hash: 9d3e77b0
  artifact_digest: 9c190ba3
models: []
"""
RECORDER = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
arguments = sys.argv[1:]
notes = pathlib.Path(os.environ["NOTES"])
if arguments[:2] in (["image", "inspect"], ["manifest", "add"]):
    place = notes if arguments[0] == "image" else notes / "registry"
    sys.exit(not (place / arguments[-1].removeprefix("docker://").replace("/", "_")).exists())
if arguments[0] == "push":
    if "unreachable" in arguments[1]:
        sys.exit("no route to host")
    (notes / "registry").mkdir(exist_ok=True)
    (notes / "registry" / arguments[1].replace("/", "_")).write_text("")
if arguments[0] == "run":
    sys.exit(subprocess.run([sys.executable, "-c", arguments[-1]]).returncode)
if arguments[0] == "build":
    context = pathlib.Path(arguments[-1])
    files = {{str(path.relative_to(context)): oct(path.stat().st_mode & 0o777)
             for path in context.rglob("*") if path.is_file()}}
    bento = context / "bento" / "bento.yaml"
    note = {{"arguments": arguments, "files": files, "bento": bento.read_text() if bento.is_file() else None}}
    (pathlib.Path(os.environ["NOTES"]) / (arguments[arguments.index("--tag") + 1].replace("/", "_"))).write_text(
        json.dumps(note))
"""


@pytest.fixture
def bento(tmp_path: Path) -> Path:
    """A folder such as BentoML writes, readable by its owner alone."""
    folder = tmp_path / "bento"
    (folder / "src" / "artifact").mkdir(parents=True)
    (folder / "bento.yaml").write_text(BENTO)
    (folder / "src" / "artifact" / "manifest.json").write_text("{}")
    (folder / "src" / "artifact" / "manifest.json").chmod(stat.S_IRUSR | stat.S_IWUSR)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables with a builder, named podman, that takes notes."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "podman").write_text(RECORDER)
    (programs / "podman").chmod(0o755)
    (tmp_path / "notes").mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FRAUD_", "BENTOML_"))}
    return {
        **inherited,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "IMAGE_BUILDER": "podman",
        "NOTES": str(tmp_path / "notes"),
        "FRAUD_HOME": str(tmp_path / "home"),
        "PYTHON": sys.executable,
        "PIP_FIND_LINKS": "",
    }


def _images(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "images.sh"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)


def _note(environ: dict[str, str], image: str) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((Path(environ["NOTES"]) / image).read_text())
    return note


def test_the_scoring_image_is_labelled_with_its_model_and_commit(bento: Path, environ: dict[str, str]) -> None:
    ended = _images(environ, "--prefix", "registry.example/fraud", "--tag", "1.2", "--bento", str(bento), "scoring")
    assert ended.returncode == 0, ended.stderr
    arguments = _note(environ, "registry.example_fraud_fraud-scoring:1.2")["arguments"]
    given = [value for flag, value in itertools.pairwise(arguments) if flag == "--label"]
    labels = dict(value.split("=", 1) for value in given)
    assert labels["org.opencontainers.image.title"] == "fraud-scoring"
    assert labels["org.opencontainers.image.version"] == "1.2"
    assert labels["org.opencontainers.image.created"].endswith("Z")
    assert labels["org.opencontainers.image.revision"]
    assert labels["fraud.mlflow_run_id"] == "5f0c2a915f0c2a91"
    assert labels["fraud.model_version"] == labels["fraud.mlflow_model_version"] == "7"
    assert labels["fraud.artifact_digest"] == "9c190ba3"


def test_what_is_built_from_is_the_sources_and_the_bento(bento: Path, environ: dict[str, str]) -> None:
    litter = bento / "src" / "__pycache__"
    litter.mkdir()
    (litter / "x.pyc").write_bytes(b"")
    assert _images(environ, "--bento", str(bento), "--tag", "1", "scoring").returncode == 0
    note = _note(environ, "localhost_fraud-scoring:1")
    files = note["files"]
    assert {"src/pyproject.toml", "src/constraints.txt", "src/bentos/fraud/service.py"} <= set(files)
    assert {"src/bentos/core/features/_states.h", "images/scoring.Dockerfile", "bento/bento.yaml"} <= set(files)
    assert {name.split("/")[0] for name in files} == {"src", "images", "chart", "bento"}  # No wheels were set.
    assert not [name for name in files if name.startswith("src/") and name.endswith((".so", ".pyc"))]
    assert not [name for name in files if name.startswith(("src/tests", "src/var", "src/.git"))]
    # Whoever runs the image may read them, and the same files have the same rights wherever they are checked out.
    assert {mode for name, mode in files.items() if name.startswith("bento/")} == {"0o644"}


def test_when_a_bento_was_built_makes_no_difference(bento: Path, environ: dict[str, str]) -> None:
    notes = []
    for day in ("25", "26"):
        (bento / "bento.yaml").write_text(BENTO.replace("2026-11-25", f"2026-11-{day}"))
        assert _images(environ, "--bento", str(bento), "--tag", day, "scoring").returncode == 0
        notes.append(_note(environ, f"localhost_fraud-scoring:{day}")["bento"])
    assert notes[0] == notes[1]
    assert "model_version: '7'" in notes[0]


def test_a_bill_of_materials_is_written_beside_it(environ: dict[str, str]) -> None:
    ended = _images(environ, "--tag", "1", "dashboard")
    assert ended.returncode == 0, ended.stderr
    document = json.loads((Path(environ["FRAUD_HOME"]) / "images" / "fraud-dashboard-1.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "fraud-dashboard"


def test_what_was_built_is_found_and_pushed(bento: Path, environ: dict[str, str]) -> None:
    image = ["--prefix", "registry.example", "--tag", "1"]

    def where(*options: str) -> str:
        return _images(environ, *image, "--find", *options, "scoring").stdout

    assert where() == where("--push") == "nowhere\n"
    assert _images(environ, *image, "--bento", str(bento), "scoring").returncode == 0
    assert where() == where("--push") == "here\n"
    assert _images(environ, *image, "--push", "--no-build", "scoring").returncode == 0
    assert (where(), where("--push")) == ("here\n", "registry\n")
    built = [*image[:3], "2", "--push", "--bento", str(bento), "scoring"]
    assert _images(environ, *built).returncode == 0
    assert (Path(environ["NOTES"]) / "registry" / "registry.example_fraud-scoring:2").exists()


def test_a_push_that_fails_says_what_to_do(bento: Path, environ: dict[str, str]) -> None:
    ended = _images(environ, "--prefix", "unreachable.example", "--push", "--bento", str(bento), "scoring")
    assert ended.returncode == 1
    assert "could not be pushed; log in to its registry first" in ended.stderr


def test_package_indexes_are_handed_on_when_they_are_set(environ: dict[str, str]) -> None:
    environ["PIP_EXTRA_INDEX_URL"] = "https://packages.example/simple"
    environ.pop("PIP_INDEX_URL", None)
    assert _images(environ, "--tag", "1", "workers").returncode == 0
    arguments = _note(environ, "localhost_fraud-workers:1")["arguments"]
    assert "PIP_EXTRA_INDEX_URL=https://packages.example/simple" in arguments
    assert not [argument for argument in arguments if argument.startswith("PIP_INDEX_URL")]


def test_a_wheel_of_torch_at_hand_is_handed_on(environ: dict[str, str], tmp_path: Path) -> None:
    for name in ("torch-2.13.0+cpu-cp311-none-any.whl", "other-1-py3-none-any.whl"):
        (tmp_path / name).write_bytes(b"")
    environ["PIP_FIND_LINKS"] = str(tmp_path)
    assert _images(environ, "--tag", "1", "workers").returncode == 0
    files = _note(environ, "localhost_fraud-workers:1")["files"]
    assert [name for name in files if name.startswith("wheels/")] == ["wheels/torch-2.13.0+cpu-cp311-none-any.whl"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--pull"], 2, "unknown argument '--pull'; allowed: --prefix"),
        (["--no-build", "scoring"], 1, "--no-build without --push leaves nothing to do"),
        (["everything"], 2, "unknown argument 'everything'"),
        (["scoring"], 1, "run `make bento` first"),
        (["--bento", "/nowhere", "scoring"], 1, "/nowhere holds no bento.yaml"),
    ],
    ids=["option", "nothing", "name", "no-bento", "wrong-bento"],
)
def test_what_is_wrong_is_said(arguments: list[str], status: int, told: str, environ: dict[str, str]) -> None:
    ended = _images(environ, *arguments)
    assert ended.returncode == status
    assert told in ended.stderr
    assert not list(Path(environ["NOTES"]).iterdir())


def test_without_a_builder_it_says_which_there_are(environ: dict[str, str]) -> None:
    ended = _images({**environ, "IMAGE_BUILDER": "no-such-builder"}, "dashboard")
    assert ended.returncode == 1
    assert "no-such-builder is needed and does not answer" in ended.stderr
