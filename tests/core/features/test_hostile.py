"""No content of its file makes the compiled store crash, read or write where it must not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SANITIZERS = "-fsanitize=address,undefined"


def run(*arguments: str, **environment: str) -> str:
    """Output of a module of this folder."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_wrong_bytes_do_no_harm() -> None:
    opened = int(run("tests.core.features.hostile", "300"))
    # The test is one only if many were taken for stores.
    assert 100 < opened < 300


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The extension with sanitizers, and what must be preloaded."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    libraries = []
    for name in ("libasan.so", "libubsan.so"):
        found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        if not Path(found.stdout.strip()).is_absolute():
            pytest.skip(f"gcc has no {name}")
        libraries.append(found.stdout.strip())
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (module,) = (part for part in modules if part["name"] == "bentos.core.features._states")
    extension = tmp_path_factory.mktemp("sanitized") / "_states.abi3.so"
    flags = [*module["extra-compile-args"], "-O1", "-g", SANITIZERS, "-fno-sanitize-recover=undefined"]
    include = f"-I{sysconfig.get_path('include')}"
    command = [compiler, *flags, "-shared", "-fPIC", include, "-o", str(extension), *module["sources"]]
    subprocess.run(command, cwd=ROOT, check=True)
    return extension, " ".join(libraries)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["hostile", "tests"])
def test_sanitizers_find_nothing(sanitized: tuple[Path, str], what: str) -> None:
    extension, libraries = sanitized
    # Python leaks at exit, by design.
    options = {"LD_PRELOAD": libraries, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    run("tests.core.features.sanitized", str(extension), what, **options)
