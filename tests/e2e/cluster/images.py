"""The images that tests run, built from this working tree around a small model of the tests' own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fraud.artifacts import make_champion
from tests.fraud.server import ROOT, bentoml_command, environment

__all__ = ["Images", "build_bento", "build_images"]

_BENTO_SECONDS = 300
#: The first time, packages are downloaded.
_BUILD_SECONDS = 3600


@dataclass(frozen=True)
class Images:
    """Names of the three images.

    Parameters
    ----------
    prefix
        Registry and folder.
    tag
        Of all three.
    """

    prefix: str
    tag: str

    @property
    def scoring(self) -> str:
        """The service, with its model."""
        return f"{self.prefix}/fraud-scoring:{self.tag}"

    @property
    def workers(self) -> str:
        """Training, tuning, MLflow."""
        return f"{self.prefix}/fraud-workers:{self.tag}"

    @property
    def dashboard(self) -> str:
        """The pages."""
        return f"{self.prefix}/fraud-dashboard:{self.tag}"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.scoring, self.workers, self.dashboard)


def build_bento(home: Path) -> Path:
    """Build the bento of a small champion, below a folder of its own; the bento's folder."""
    make_champion(home)
    ended = subprocess.run(
        bentoml_command("build", "--output", "tag"),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=_BENTO_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    tag = ended.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    return home / "bentoml" / "bentos" / tag.replace(":", "/")


def build_images(images: Images, environ: Mapping[str, str], folder: Path, *options: str) -> None:
    """Build them with ``scripts/images.sh``, quickly when little has changed."""
    bento = build_bento(folder / "home")
    ended = subprocess.run(
        [
            str(ROOT / "scripts" / "images.sh"),
            *("--prefix", images.prefix, "--tag", images.tag, "--bento", str(bento)),
            *options,
        ],
        env={**environ, "FRAUD_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
