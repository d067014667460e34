"""Where the state of rollouts is kept: one ConfigMap of each release, ``<fullname>-rollout``.

=============== ==========================================================================================
entry           what it is
=============== ==========================================================================================
rollout         the one under way, or the last one: :class:`~k8s.rollout.record.Rollout`
evidence        of the one under way
past            earlier ones, the latest first, at most :data:`PAST`
command-<id>    a request to the controller, which takes it away when it has obeyed
=============== ==========================================================================================

The controller writes with the resourceVersion that it read, so that two of them cannot both believe to have written.
A command is an entry of its own and collides with nobody.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bentos.core.errors import ConfigError, Conflict, DataError, NotFound
from k8s.rollout.record import Rollout

__all__ = [
    "PAST",
    "ApiServer",
    "Command",
    "CommandKind",
    "Stored",
    "create",
    "find",
    "load",
    "replace",
    "request",
    "who",
]

#: Rollouts that are kept after their end.
PAST: Final = 12
_PRODUCT: Final = "app.kubernetes.io/name=fraud-platform,app.kubernetes.io/component=rollout"
_COMMAND: Final = "command-"
CommandKind: TypeAlias = Literal["pause", "resume", "promote", "abort"]


class ApiServer(Protocol):
    """What is needed of :class:`k8s.cluster.Cluster`."""

    namespace: str
    address: str

    def ask(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        body: Any = None,
        content: str = "application/json",
        **query: str,
    ) -> dict[str, Any]:
        """One call of the API."""
        ...


class Command(BaseModel):
    """A request to the controller."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: CommandKind
    rollout: str = Field(description="Name of the rollout that is meant; one for another is not obeyed.")
    by: str = Field(description="Who asks.")
    at: datetime
    why: str = ""


@dataclass(frozen=True)
class Stored:
    """What a ConfigMap holds.

    Parameters
    ----------
    config_map
        Its name.
    version
        Its resourceVersion.
    current
        The rollout under way, or the last one; None before the first.
    past
        Earlier ones, the latest first.
    commands
        Requests that were not obeyed yet, by the name of their entry, in the order of time.
    evidence
        As JSON; empty when there is none.
    """

    config_map: str
    version: str
    current: Rollout | None = None
    past: tuple[Rollout, ...] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)
    evidence: str = ""

    @property
    def all(self) -> tuple[Rollout, ...]:
        """All rollouts, the latest first."""
        return (*((self.current,) if self.current else ()), *self.past)


def find(cluster: ApiServer, release: str | None = None) -> Stored | None:
    """What is stored of a release; None when it never had a rollout.

    Parameters
    ----------
    release
        None means the only one of the namespace that had one.

    Raises
    ------
    ConfigError
        There are several to choose from.
    DataError
        What is stored cannot be read.
    """
    selector = _PRODUCT + (f",app.kubernetes.io/instance={release}" if release else "")
    found = cluster.ask("GET", _path(cluster), labelSelector=selector)["items"]
    if len(found) > 1:
        names = ", ".join(sorted(item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in found))
        raise ConfigError(
            f"several releases in namespace {cluster.namespace!r} have rollouts: choose one with --release ({names})"
        )
    return _read(found[0]) if found else None


def load(cluster: ApiServer, release: str | None = None) -> Stored:
    """What is stored of a release.

    Raises
    ------
    NotFound
        It never had a rollout.
    ConfigError, DataError
        As :func:`find`.
    """
    found = find(cluster, release)
    if found is None:
        raise NotFound(
            f"no rollout of {f'release {release!r}' if release else 'any release'} in namespace"
            f" {cluster.namespace!r} of {cluster.address}: begin one with `python -m k8s rollout start`"
        )
    return found


def create(cluster: ApiServer, config_map: str, rollout: Rollout, before: Stored | None) -> Stored:
    """Store a rollout that begins.

    Parameters
    ----------
    config_map
        Name of the ConfigMap, which is made when there is none.
    before
        What was stored.

    Raises
    ------
    Conflict
        Another one is under way, or begins at the same moment.
    """
    if before is not None and before.current is not None and not before.current.over:
        running = before.current
        raise Conflict(
            f"the rollout {running.name!r} of release {running.release!r} is {running.phase}, and a release has one"
            " rollout at a time: wait for its end, or `python -m k8s rollout abort`"
        )
    past = before.all if before else ()
    data = {"rollout": rollout.model_dump_json(exclude_defaults=True), "past": _past(past)}
    if before is None:
        labels = {
            "app.kubernetes.io/name": "fraud-platform",
            "app.kubernetes.io/instance": rollout.release,
            "app.kubernetes.io/component": "rollout",
        }
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": config_map, "labels": labels},
            "data": data,
        }
        return _read(cluster.ask("POST", _path(cluster), body))
    # What somebody asked of the last one is no request to this one.
    gone: dict[str, str | None] = dict.fromkeys((*before.commands, "evidence"))
    return _patch(cluster, before.config_map, {**gone, **data}, before.version)


def replace(
    cluster: ApiServer, stored: Stored, rollout: Rollout, evidence: str | None = None, obeyed: tuple[str, ...] = ()
) -> Stored:
    """Store what became of a rollout; what is stored then, with commands that arrived meanwhile.

    Parameters
    ----------
    evidence
        As JSON; None leaves what is there.
    obeyed
        Entries of commands that are taken away.

    Raises
    ------
    Conflict
        Another controller wrote.
    """
    known = stored.current
    rollout = rollout.model_copy(update={"writes": rollout.writes + 1})
    data: dict[str, str | None] = dict.fromkeys(obeyed)
    if rollout.over:
        rollout, data["evidence"] = rollout.archived(), None
    elif evidence is not None:
        data["evidence"] = evidence
    data["rollout"] = rollout.model_dump_json(exclude_defaults=True)
    while True:
        try:
            return _patch(cluster, stored.config_map, data, stored.version)
        except Conflict:
            # A command that arrived changes the version as well; another controller's writing changes the rollout.
            stored = _read(cluster.ask("GET", f"{_path(cluster)}/{stored.config_map}"))
            now = stored.current
            if now is None or known is None or (now.name, now.writes) != (known.name, known.writes):
                raise


def request(cluster: ApiServer, stored: Stored, kind: CommandKind, by: str, why: str = "") -> Command:
    """Ask the controller for something; it obeys within a second or two, or when it runs again.

    Raises
    ------
    Conflict
        There is no rollout under way.
    """
    current = stored.current
    if current is None or current.over:
        ended = f": {current.name!r} is {current.phase}" if current else ""
        raise Conflict(f"there is no rollout under way{ended}; `python -m k8s rollout start` begins one")
    command = Command(kind=kind, rollout=current.name, by=by, at=datetime.now(UTC), why=why)
    entry = f"{_COMMAND}{uuid.uuid4().hex[:12]}"
    _patch(cluster, stored.config_map, {entry: command.model_dump_json()}, None)
    return command


def who() -> str:
    """Name of the person at this machine, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _path(cluster: ApiServer) -> str:
    return f"/api/v1/namespaces/{cluster.namespace}/configmaps"


def _patch(cluster: ApiServer, name: str, data: Mapping[str, str | None], version: str | None) -> Stored:
    body: dict[str, Any] = {"data": data}
    if version is not None:
        body["metadata"] = {"resourceVersion": version}
    return _read(cluster.ask("PATCH", f"{_path(cluster)}/{name}", body, content="application/merge-patch+json"))


_ROLLOUTS: Final = TypeAdapter(tuple[Rollout, ...])


def _past(rollouts: tuple[Rollout, ...]) -> str:
    kept = tuple(item.archived() for item in rollouts[:PAST])
    return _ROLLOUTS.dump_json(kept, exclude_defaults=True).decode()


def _read(item: Mapping[str, Any]) -> Stored:
    name, data = item["metadata"]["name"], item.get("data") or {}
    try:
        commands = {
            entry: Command.model_validate_json(text) for entry, text in data.items() if entry.startswith(_COMMAND)
        }
        return Stored(
            config_map=name,
            version=item["metadata"]["resourceVersion"],
            current=Rollout.model_validate_json(data["rollout"]) if "rollout" in data else None,
            past=_ROLLOUTS.validate_json(data.get("past", "[]")),
            commands=dict(sorted(commands.items(), key=lambda entry: entry[1].at)),
            evidence=data.get("evidence", ""),
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        raise DataError(
            f"the ConfigMap {name!r} holds rollouts that cannot be read ({place}: {wrong['msg']}): it was written by"
            " hand or by another version; use that version, or delete it and set scoring.rollout.stage=none"
        ) from error
