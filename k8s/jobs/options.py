"""Options of every command that starts a Job."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from k8s.jobs.launch import Manner

__all__ = ["Limits", "job_options", "manner_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
_QUANTITY = r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?"


@dataclass(frozen=True)
class Limits:
    """What a Job may take; see :class:`k8s.jobs.manifests.Plan`."""

    timeout_seconds: int | None
    retries: int
    cpu: str | None
    memory: str | None


def _quantity(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    import re

    if value is not None and not re.fullmatch(_QUANTITY, value):
        raise click.BadParameter(f"{value!r} is no quantity of Kubernetes, such as 500m or 2Gi", ctx, param)
    return value


def manner_options(command: Command) -> Command:
    """Add the options of who stays with a Job; the command gets them as one ``manner: Manner``."""

    @functools.wraps(command)
    def with_manner(*args: Any, output: str, start_timeout: int, detach: bool = False, **kwargs: Any) -> Any:
        return command(*args, manner=Manner(detach, output == "json", start_timeout), **kwargs)

    decorated: Any = with_manner
    for option in (
        click.option(
            "--output",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="json: standard output gets one object in the end, logs go to standard error.",
        ),
        click.option(
            "--start-timeout",
            type=click.IntRange(1),
            default=300,
            show_default=True,
            help="How long a Job may wait until a pod of it runs, seconds.",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def job_options(command: Command) -> Command:
    """Add the options of a new Job; the command gets ``manner: Manner`` and ``limits: Limits``."""

    @functools.wraps(command)
    def with_limits(
        *args: Any, timeout: int | None, retries: int, cpu: str | None, memory: str | None, **kwargs: Any
    ) -> Any:
        return command(*args, limits=Limits(timeout, retries, cpu, memory), **kwargs)

    decorated: Any = manner_options(with_limits)
    for option in (
        click.option("--memory", callback=_quantity, help="Memory of each pod, such as 8Gi.  [default: the release's]"),
        click.option("--cpu", callback=_quantity, help="CPUs that each pod requests.  [default: the release's]"),
        click.option(
            "--retries",
            type=click.IntRange(0),
            default=2,
            show_default=True,
            help="How often a pod that failed is tried again; of each share.",
        ),
        click.option("--timeout", type=click.IntRange(1), help="Time after which the Job is ended, seconds."),
        click.option("--detach", is_flag=True, help="Start the Job, print its name and leave."),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
