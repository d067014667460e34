"""A real cluster for tests: one that is there already, or the shared one-node cluster, started when it is needed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bentos.core.settings import TrainingSettings, load_settings

__all__ = ["Cluster", "find_cluster"]

_START_SECONDS = 600
_LOAD_SECONDS = 1200
_CALL_SECONDS = 120


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers.

    Parameters
    ----------
    kubeconfig
        Its administrator's file.
    loading
        Command that brings images onto its nodes; their names are added. None when nobody says how.
    inside
        Command that runs another in the cluster's network; empty when the tests' own network reaches it.
    environ
        Variables that its commands and those of the builder of images need.
    """

    kubeconfig: Path
    loading: tuple[str, ...] | None
    inside: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)

    def kubectl(
        self, *arguments: str, namespace: str | None = None, manifest: object = None, seconds: float = _CALL_SECONDS
    ) -> str:
        """What ``kubectl`` prints.

        Parameters
        ----------
        arguments
            Of the command.
        namespace
            To work in.
        manifest
            An object, or a list of objects, that the command gets as ``-f -``.
        seconds
            How long it may take.

        Raises
        ------
        AssertionError
            When it fails, with what it said.
        """
        command = ["kubectl", *(("--namespace", namespace) if namespace else ()), *arguments]
        text = None
        if manifest is not None:
            command += ["-f", "-"]
            items = manifest if isinstance(manifest, list) else [manifest]
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        return self._run(command, text, seconds)

    def get(self, *arguments: str, namespace: str | None = None) -> Any:
        """What ``kubectl get`` finds, parsed."""
        return json.loads(self.kubectl("get", *arguments, "--output", "json", namespace=namespace))

    def execute(self, *command: str, seconds: float = _CALL_SECONDS, text: str | None = None) -> str:
        """What a command prints that runs in the cluster's network."""
        return self._run([*self.inside, *command], text, seconds)

    def helm(self, *arguments: str, seconds: float = _START_SECONDS) -> str:
        """What ``helm`` prints."""
        return self._run(["helm", *arguments], None, seconds)

    def build(self, image: str, *arguments: str) -> None:
        """Build an image with the builder whose images :meth:`load` finds; of what was built before nothing is anew."""
        builder = self.environ.get("IMAGE_BUILDER", "docker")
        layers = ("--layers",) if builder == "buildah" else ()
        self._run([builder, "build", *layers, "--tag", image, *arguments], None, _LOAD_SECONDS)

    def load(self, images: Sequence[str]) -> None:
        """Bring images onto the nodes."""
        if self.loading is None:
            pytest.skip("FRAUD_E2E_LOAD_COMMAND does not say how images come onto the nodes of this KUBECONFIG")
        self._run([*self.loading, *images], None, _LOAD_SECONDS)

    def _run(self, command: Sequence[str], text: str | None, seconds: float) -> str:
        ended = subprocess.run(
            command, env=dict(self.environ), input=text, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert ended.returncode == 0, f"{shlex.join(command)} ended with {ended.returncode}: {ended.stderr}"
        return ended.stdout


def find_cluster() -> Cluster:
    """The cluster that KUBECONFIG names, else the shared one, started; skips the test where there is neither."""
    shared = _shared_command()
    kubeconfig = os.environ.get("KUBECONFIG")
    if shared is None:
        if not kubeconfig:
            pytest.skip(
                "no cluster: set KUBECONFIG to a cluster's file, or FRAUD_SHARED_CLUSTER to the `cluster` command"
            )
        return _foreign(Path(kubeconfig))
    environ = _printed_environment(shared)
    if kubeconfig and Path(kubeconfig) != Path(environ["KUBECONFIG"]):
        return _foreign(Path(kubeconfig))
    if os.geteuid() != 0:
        pytest.skip(f"{shared} needs root; set KUBECONFIG to another cluster's file")
    for step in ("base-images", "up"):
        subprocess.run([shared, step], env=environ, check=True, timeout=_START_SECONDS, stdout=subprocess.DEVNULL)
    # Its nodes take images from buildah's store.
    environ["IMAGE_BUILDER"] = "buildah"
    return Cluster(Path(environ["KUBECONFIG"]), (str(shared), "load"), (str(shared), "exec"), environ)


def _foreign(kubeconfig: Path) -> Cluster:
    loading = os.environ.get("FRAUD_E2E_LOAD_COMMAND")
    inside = os.environ.get("FRAUD_E2E_INSIDE_COMMAND", "")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not there to talk to the cluster of KUBECONFIG")
    return Cluster(kubeconfig, tuple(shlex.split(loading)) if loading else None, tuple(shlex.split(inside)), os.environ)


def _shared_command() -> Path | None:
    named = os.environ.get("FRAUD_SHARED_CLUSTER")
    command = Path(named) if named else load_settings(TrainingSettings).shared_data.parent / "cluster" / "cluster"
    return command.resolve() if command.is_file() else None


def _printed_environment(shared: Path) -> dict[str, str]:
    """The caller's variables, and those that ``cluster env`` exports."""
    script = f'eval "$({shlex.quote(str(shared))} env)" && env --null'
    printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=_CALL_SECONDS)
    pairs = (line.partition("=") for line in printed.stdout.split("\0") if line)
    return {name: value for name, _, value in pairs}
