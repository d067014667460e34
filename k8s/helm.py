"""The Helm CLI: what changes a release, so that `helm history` tells of it and `helm rollback` takes it back."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from bentos.core.errors import ConfigError, Conflict, NotFound, Unavailable

__all__ = ["CHART", "Helm", "Revision"]

#: The chart beside this code; an installed package has none.
CHART: Final = Path(__file__).resolve().parents[1] / "helm" / "fraud-platform"
_SECONDS: Final = 300


@dataclass(frozen=True)
class Revision:
    """One of a release's history.

    Parameters
    ----------
    number
        From 1 on.
    status
        deployed, failed, pending-upgrade and the like.
    description
        What whoever made it said of it.
    updated
        When, seconds since 1970.
    """

    number: int
    status: str
    description: str
    updated: float

    @property
    def pending(self) -> bool:
        """Whether Helm is at it, or was killed while it was."""
        return self.status.startswith("pending")


@dataclass(frozen=True)
class Helm:
    """Helm in a namespace.

    Parameters
    ----------
    namespace
        Of the releases.
    context
        Of the kubeconfig; None means its current one.
    """

    namespace: str
    context: str | None = None

    def release_chart(self, release: str) -> str:
        """The chart that a release was installed with, as NAME-VERSION.

        Raises
        ------
        ConfigError
            When there is no such release.
        """
        # `helm list` leaves out releases in some states, and Helm 4 knows another way to ask for all than Helm 3.
        found = json.loads(self._run("history", release, "--max", "1", "--output", "json"))
        return str(found[-1]["chart"])

    def set_values(self, release: str, chart: str, values: Mapping[str, Any]) -> None:
        """Change values of a release and leave all others as they are.

        Parameters
        ----------
        chart
            Folder, package or address of the chart of the version that the release has; with another one more would
            change than these values.

        Raises
        ------
        ConfigError
            When the chart is of another version, or the release cannot be changed.
        """
        installed = self.release_chart(release)
        shown = yaml.safe_load(self._run("show", "chart", chart))
        given = f"{shown['name']}-{shown['version']}"
        if given != installed:
            raise ConfigError(
                f"the release {release!r} is of {installed}, and {chart} is {given}: give that version with --chart,"
                " or upgrade the release first"
            )
        # What an upgrade left to its defaults stays so.
        arguments = ("upgrade", release, chart, "--reset-then-reuse-values", "--values", "-")
        self._run(*arguments, text=json.dumps(values))

    def last_revision(self, release: str) -> Revision:
        """The last revision of a release.

        Raises
        ------
        NotFound
            When there is no such release.
        ConfigError
            When Helm cannot tell.
        """
        try:
            found = json.loads(self._run("history", release, "--max", "1", "--output", "json"))[-1]
        except ConfigError as error:
            if "not found" in str(error):
                raise NotFound(
                    f"there is no release {release!r} in namespace {self.namespace!r} any more: `helm list` shows what"
                    " there is"
                ) from error
            raise
        # Nanoseconds, which Python's reader of 3.11 cuts.
        updated = datetime.fromisoformat(found["updated"]).timestamp()
        return Revision(int(found["revision"]), str(found["status"]), str(found["description"]), updated)

    def values(self, release: str) -> dict[str, Any]:
        """All values of the last revision, the chart's defaults among them."""
        found: dict[str, Any] = json.loads(self._run("get", "values", release, "--all", "--output", "json"))
        return found

    def upgrade(
        self,
        release: str,
        chart: str,
        values: Mapping[str, Any],
        description: str,
        after: int,
        *,
        overrule: bool = False,
    ) -> None:
        """Make a revision with a description, which changes these values and leaves all others.

        Parameters
        ----------
        after
            The last revision, by which this one was decided on.
        overrule
            Whether what somebody patched past Helm is set back as well. Helm 4 needs to be told.

        Raises
        ------
        Conflict
            There is a later revision meanwhile.
        ConfigError
            When it fails. There may be a failed revision then.
        """
        arguments = ["upgrade", release, chart, "--reset-then-reuse-values", "--values", "-"]
        arguments += ["--description", description]
        if overrule and not self._run("version", "--template", "{{.Version}}").startswith("v3"):
            arguments += ["--server-side=true", "--force-conflicts"]
        # Helm inherits the lock: who called it may be killed, and whoever comes next waits until this Helm has ended.
        place = Path(tempfile.gettempdir()) / f"fraud-helm-{self.namespace}-{release}.lock"
        with place.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            last = self.last_revision(release)
            if last.number != after:
                raise Conflict(f"release {release!r} is at revision {last.number} already, and {after} was expected")
            self._run(*arguments, text=json.dumps(values), inherited=(lock.fileno(),))

    def roll_back(self, release: str, revision: int) -> None:
        """Make a revision that is as an earlier one: what frees a release whose upgrade was killed."""
        self._run("rollback", release, str(revision))

    def _run(self, *arguments: str, text: str | None = None, inherited: tuple[int, ...] = ()) -> str:
        helm = shutil.which("helm")
        if helm is None:
            raise ConfigError("helm is not on PATH: install Helm 3.14 or 4, which changes the release")
        command = [helm, *arguments]
        if arguments[0] not in {"show", "version"}:
            command += ["--namespace", self.namespace, *(("--kube-context", self.context) if self.context else ())]
        try:
            ended = subprocess.run(  # noqa: S603
                command,
                input=text,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
                # Ctrl-C ends who waits; Helm, ended in the middle, would leave the release pending.
                start_new_session=True,
                pass_fds=inherited,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"helm {arguments[0]} did not end within {_SECONDS} s") from error
        if ended.returncode:
            raise ConfigError(f"helm {arguments[0]} failed: {ended.stderr.strip().removeprefix('Error: ')}")
        return ended.stdout
