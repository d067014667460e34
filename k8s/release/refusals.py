"""Which version may be released: the one with the alias challenger, if nothing speaks against it."""

from __future__ import annotations

from typing import Any

from bentos.core.errors import RegistryError
from k8s.release.programs import training_answer
from k8s.release.registry import ModelVersion, Registry

__all__ = ["NoChallenger", "accepted", "fit_challenger"]


class NoChallenger(RegistryError):
    """Nobody has the alias."""


def fit_challenger(registry: Registry) -> tuple[ModelVersion, ModelVersion | None]:
    """The challenger, and the champion that it is to follow, None before the first.

    Raises
    ------
    NoChallenger
        No version has the alias.
    RegistryError
        It cannot be rolled out; the message says what to do.
    """
    challenger, champion = registry.challenger(), registry.champion()
    if challenger is None:
        raise NoChallenger(
            f"no version has the alias challenger in {registry.uri}: training gives it, or MLflow's"
            " set_registered_model_alias"
        )
    number = challenger.number
    if champion is not None and champion.number == number:
        raise RegistryError(f"version {number} is champion already: give another version the alias challenger")
    if not challenger.complete:
        raise RegistryError(f"version {number} is not complete: its training is under way, or was killed; train again")
    if not challenger.digest or not registry.has_artifact(challenger):
        raise RegistryError(
            f"version {number} has no artifact in {registry.uri}: train it again, or `python -m training register` one"
        )
    if champion is not None and champion.feature_schema != challenger.feature_schema:
        raise RegistryError(
            f"version {number} was made for the features {challenger.feature_schema}, and version {champion.number},"
            f" the champion, for {champion.feature_schema}: a rollout compares models of the same features. Train on"
            " this code's features, or deploy the new code with its model (docs/delivery.md)"
        )
    return challenger, champion


def accepted(version: ModelVersion, *, note: bool = True) -> str:
    """Ask training's acceptance rule; what it says, in words.

    Raises
    ------
    RegistryError
        The rule refuses; every condition that failed is named with its numbers.
    ConfigError
        Training cannot be asked.
    """
    answer = training_answer("accept", version.number, *(() if note else ("--no-note",)), allowed=(0, 1))
    findings: list[dict[str, Any]] = answer["findings"]
    failed = "; ".join(f"{item['name']}: {item['text']}" for item in findings if not item["passed"])
    if not answer["accepted"]:
        raise RegistryError(
            f"the acceptance rule refuses version {version.number}: {failed}. Train a better one; `python -m training"
            " promote --force` is past rule and rollout"
        )
    return f"{len(findings)} conditions met"
