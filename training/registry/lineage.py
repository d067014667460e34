"""Where a model comes from: code, packages, features, data, process."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bentos.core.features import FEATURE_SCHEMA, FEATURES
from bentos.core.settings import TrainingSettings

__all__ = [
    "Code",
    "cluster_tags",
    "code_version",
    "feature_definition",
    "is_alive",
    "package_versions",
    "pip_freeze",
    "process_tags",
    "who",
]

#: Packages whose version may change what a model says.
_DECISIVE: Final = (
    "bentoml",
    "imbalanced-learn",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "shap",
    "skorch",
    "torch",
)


@dataclass(frozen=True)
class Code:
    """The commit that ran; ``dirty`` when files differed from it, None when there is no repository."""

    commit: str
    dirty: bool | None


def code_version(folder: Path | None = None) -> Code:
    """Commit of the repository that this code lies in; "unknown" where there is none, as in an installed package."""
    git = shutil.which("git")
    place = folder or Path(__file__).resolve().parents[2]
    if git is None:
        return Code("unknown", None)

    def ask(*arguments: str) -> str:
        command = [git, "-C", str(place), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()  # noqa: S603

    try:
        return Code(ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain", "--untracked-files=normal")))
    except (subprocess.SubprocessError, OSError):
        return Code("unknown", None)


def package_versions() -> dict[str, str]:
    """Python and the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for name in _DECISIVE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def pip_freeze() -> str:
    """All installed distributions, ``name==version`` a line, sorted."""
    lines = {f"{item.name}=={item.version}" for item in metadata.distributions() if item.name}
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


def feature_definition() -> dict[str, Any]:
    """The feature table's definition with the digest that artifacts carry."""
    return {
        "schema": FEATURE_SCHEMA,
        "features": [
            {"name": item.name, "unit": item.unit, "default": item.default, "description": item.description}
            for item in FEATURES
        ],
    }


def who() -> str:
    """The user and machine, for the record of promotions."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _started(pid: int) -> str:
    """Start of a process in clock ticks since boot; tells it from a later one with the same number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]  # field 22 of proc(5), counted after the name, which may hold spaces


def process_tags() -> dict[str, str]:
    """Which process trains, so that a later one can tell that it has died."""
    return {
        "fraud.host": socket.gethostname(),
        "fraud.pid": str(os.getpid()),
        "fraud.process_started": _started(os.getpid()),
    }


def cluster_tags(settings: TrainingSettings) -> dict[str, str]:
    """Job, namespace, pod and image of a training on Kubernetes, as the chart's pods know them; else nothing."""
    if not settings.kubernetes_job:
        return {}
    return {
        "fraud.kubernetes_job": settings.kubernetes_job,
        "fraud.kubernetes_namespace": settings.kubernetes_namespace,
        "fraud.kubernetes_pod": settings.kubernetes_pod,
        "fraud.kubernetes_image": settings.kubernetes_image,
    }


def is_alive(tags: dict[str, str], own: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether the process of these tags runs; True when it is another machine's, which nobody here can know.

    Parameters
    ----------
    tags
        Of a run.
    own
        This process's :func:`cluster_tags`. One pod of a Job trains at a time, so an earlier one has ended.
    """
    job = ("fraud.kubernetes_job", "fraud.kubernetes_namespace")
    if own and all(tags.get(name) == own[name] for name in job):
        return tags.get("fraud.kubernetes_pod") == own["fraud.kubernetes_pod"]
    if tags.get("fraud.host") != socket.gethostname():
        return True
    pid = int(tags.get("fraud.pid", "0"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _started(pid) == tags.get("fraud.process_started", "")
