"""What a bento needs installed: the ``serve`` extra and all that it needs in turn, each at one version."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from bentos.core.errors import ConfigError

__all__ = ["serving_requirements"]

_EXTRA: Final = "serve"
_FEAST_EXTRA: Final = "feast"
#: Feast holds some packages back.
_CONSTRAINTS: Final = {False: "constraints.txt", True: "constraints-feast.txt"}
#: BentoML adds itself, at the version that built the bento.
_ADDED_BY_BENTOML: Final = "bentoml"


def serving_requirements(root: Path, *, feast: bool = False) -> list[str]:
    """Pinned requirements of the service, sorted.

    Parameters
    ----------
    root
        Folder with pyproject.toml, and constraints.txt with the versions. What it does not name is pinned as installed.
    feast
        Whether the service keeps its features in Feast: then constraints-feast.txt has the versions.

    Raises
    ------
    ConfigError
        When a needed package is neither constrained nor installed.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [_EXTRA, _FEAST_EXTRA] if feast else [_EXTRA]
    wanted = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    constrained = _constraints(root / _CONSTRAINTS[feast])
    names = _closure(wanted)
    return [
        f"{name}=={constrained.get(name) or _installed(name).version}" for name in sorted(names - {_ADDED_BY_BENTOML})
    ]


def _closure(wanted: Iterable[str]) -> set[str]:
    pending = [Requirement(text) for text in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        requirement = pending.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        for text in _installed(key[0]).requires or ():
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in (key[1] or {""})]
            if needed.marker is None or any(needed.marker.evaluate(environment) for environment in environments):
                pending.append(needed)
    return {name for name, _ in seen}


def _installed(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"the service needs {name}, which is not installed here; run `make install` before building"
        ) from error


def _constraints(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    result: dict[str, str] = {}
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise ConfigError(f"{path.name} holds {text!r}, which is no requirement: {error}") from error
        pins = [item.version for item in requirement.specifier if item.operator == "=="]
        if pins:
            result[canonicalize_name(requirement.name)] = pins[0]
    return result
