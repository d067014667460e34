"""Options that commands share: which cluster, namespace and release."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from k8s.cluster import Cluster, connect

__all__ = ["Target", "release_option", "target_options"]

#: The command gets ``release: str | None``.
release_option = click.option("--release", help="Name of the release.  [default: the only one of the namespace]")

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Target:
    """Where a command works.

    Parameters
    ----------
    context
        Of the kubeconfig; None is its current one.
    namespace
        None is the context's.
    """

    context: str | None
    namespace: str | None

    def connect(self) -> Cluster:
        """The cluster; nothing is asked of it yet."""
        return connect(self.context, self.namespace)


def target_options(command: Command) -> Command:
    """Add the options; the command gets them as one ``target: Target``."""

    @functools.wraps(command)
    def with_target(*args: Any, context: str | None, namespace: str | None, **kwargs: Any) -> Any:
        return command(*args, target=Target(context, namespace), **kwargs)

    decorated: Any = with_target
    for option in (
        click.option("--namespace", "-n", help="Namespace of the release.  [default: the context's]"),
        click.option("--context", help="Context of the kubeconfig.  [default: the current one]"),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
