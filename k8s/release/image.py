"""The image of a model version: what it is called, and how it is made, once."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bentos.core.errors import ConfigError
from k8s.release.programs import ROOT, call
from k8s.release.registry import ModelVersion

__all__ = ["ImageMaker", "prefix_of"]

_IMAGE: Final = "fraud-scoring"
#: As the chart tells a registry's host from a folder.
_HOST: Final = re.compile(r"(localhost|[^/]*[.:][^/]*)(/.*)?")
_TAG: Final = re.compile(r"__tag__:(\S+):(\S+)")


def prefix_of(values: Mapping[str, Any]) -> str:
    """Registry and folder that a release has its scoring image from.

    Parameters
    ----------
    values
        Of the chart, all of them.

    Raises
    ------
    ConfigError
        Its image names no registry, or has another name than ours.
    """
    images = values["global"]["images"]
    repository = str(values["scoring"]["champion"]["repository"] or images["scoring"]["repository"]).partition("@")[0]
    if not _HOST.fullmatch(repository.rpartition("/")[0]) and images["registry"]:
        repository = f"{images['registry'].rstrip('/')}/{repository}"
    prefix, _, name = repository.rpartition("/")
    if name != _IMAGE or not _HOST.fullmatch(prefix):
        raise ConfigError(
            f"the release's image {repository} says no registry to put {_IMAGE} into: name it with --prefix"
        )
    return prefix


@dataclass(frozen=True)
class ImageMaker:
    """Makes images of model versions, from this checkout.

    Parameters
    ----------
    prefix
        Registry and folder, such as ghcr.io/bank/fraud.
    push
        Whether they go to that registry.
    load_command
        Brings an image onto the cluster's nodes, whose name is put behind it; empty means none.
    home
        FRAUD_HOME, absolute.
    """

    prefix: str
    push: bool
    load_command: str
    home: Path

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.prefix):
            raise ConfigError(f"--prefix begins with a registry's host, such as ghcr.io/bank, got {self.prefix!r}")
        if not (ROOT / "scripts" / "images.sh").is_file():
            raise ConfigError("images are built from a checkout of the repository: run this in one")

    @property
    def repository(self) -> str:
        """Of all of them."""
        return f"{self.prefix}/{_IMAGE}"

    def tag(self, version: ModelVersion) -> str:
        """Of a version's image: the same model in the same version of the platform has the same."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return f"{project['version']}-model{version.number}-{version.digest[:12]}"

    def find(self, version: ModelVersion) -> str:
        """Where its image is: registry, here, nowhere."""
        return self._images(version, "--find").split()[-1]

    def make(self, version: ModelVersion) -> str:
        """Bring the cluster a version's image, as far as it is not done; what was done, in words.

        Raises
        ------
        ConfigError
            A step fails, in its own words.
        """
        where = self.find(version)
        done = f"is in the {where}" if where == "registry" else "was built before"
        if where == "nowhere":
            folder = self.home / "releases" / self.tag(version)
            bento = self._bento(version, folder)
            self._images(version, "--bento", str(bento), told=True)
            shutil.rmtree(folder, ignore_errors=True)
            done = "built"
        elif where == "here" and self.push:
            self._images(version, "--no-build", told=True)
        if self.load_command:
            call([*shlex.split(self.load_command), f"{self.repository}:{self.tag(version)}"])
            done += ", loaded"
        return done + (", pushed" if self.push and where != "registry" else "")

    def _images(self, version: ModelVersion, *options: str, told: bool = False) -> str:
        command = [str(ROOT / "scripts" / "images.sh"), "--prefix", self.prefix, "--tag", self.tag(version), *options]
        environ = {"FRAUD_HOME": str(self.home), "PYTHON": sys.executable}
        return call([*command, *(["--push"] if self.push else []), "scoring"], environ=environ, told=told)

    def _bento(self, version: ModelVersion, folder: Path) -> Path:
        """Its folder. Each step leaves all of its result or nothing, and is not done twice."""
        if not (folder / "champion").is_dir():
            export = [sys.executable, "-m", "training", "export", version.number, "--output", str(folder / "champion")]
            call(export, environ={"FRAUD_HOME": str(self.home)}, told=False)
        # An artifact that the caller has set for a server of his own is not this version's.
        own: dict[str, str | None] = {"FRAUD_ARTIFACT": None, "FRAUD_SNAPSHOT": None, "BENTOML_DO_NOT_TRACK": "true"}
        own |= {"FRAUD_HOME": str(folder), "BENTOML_HOME": str(folder / "bentoml")}
        command = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
        built = call(command, environ=own, folder=ROOT, told=False)
        found = _TAG.search(built)
        if found is None:
            raise ConfigError(f"`bentoml build` named no bento: {built.strip()[-200:]}")
        return folder / "bentoml" / "bentos" / found[1] / found[2]
