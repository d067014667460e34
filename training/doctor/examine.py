"""Run the checks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from training.doctor.artifact_checks import ARTIFACT_CHECKS
from training.doctor.check import Answer, Check, Patient
from training.doctor.data_checks import DATA_CHECKS
from training.doctor.leak_checks import LEAK_CHECKS
from training.doctor.model_checks import MODEL_CHECKS

__all__ = ["CHECKS", "examine", "failed", "to_json", "to_table"]

#: Every check, in the order of the report. To add one, add it to its module's tuple.
CHECKS: Final[tuple[Check, ...]] = (*DATA_CHECKS, *LEAK_CHECKS, *MODEL_CHECKS, *ARTIFACT_CHECKS)

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}


def examine(patient: Patient, checks: Sequence[Check] = CHECKS) -> list[Answer]:
    """Ask every check. One that cannot cope with broken data has found something: it counts as failed."""
    answers = []
    for check in checks:
        try:
            outcome = check.run(patient)
        except Exception as error:  # noqa: BLE001 - data that breaks a check is what a doctor is called for
            answers.append(Answer(check, "fail", f"the check stopped with {type(error).__name__}: {error}"))
            continue
        if outcome is None:
            answers.append(Answer(check, "skipped", "not asked: something it needs was not given or is broken"))
        else:
            answers.append(Answer(check, outcome.status, outcome.found))
    return answers


def failed(answers: Sequence[Answer]) -> bool:
    """Whether any check failed."""
    return any(answer.status == "fail" for answer in answers)


def to_json(answers: Sequence[Answer]) -> str:
    """One object per check, in order."""
    rows: list[dict[str, Any]] = [
        {
            "check": answer.check.name,
            "status": answer.status,
            "found": answer.found,
            **({"meaning": answer.check.meaning, "advice": answer.check.advice} if _bad(answer) else {}),
        }
        for answer in answers
    ]
    return json.dumps({"failed": failed(answers), "checks": rows}, indent=2, ensure_ascii=False)


def _bad(answer: Answer) -> bool:
    return answer.status in ("warn", "fail")


def to_table(answers: Sequence[Answer], *, everything: bool = True) -> Table:
    """For the terminal: meaning and advice stand under what did not pass."""
    table = Table(show_lines=False, pad_edge=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("check", style="bold", no_wrap=True)
    table.add_column("found")
    for answer in answers:
        if answer.status == "skipped" and not everything:
            continue
        found = Text(answer.found)
        if _bad(answer):
            found.append(f"\n{answer.check.meaning}", style="italic")
            found.append(f"\n→ {answer.check.advice}", style="cyan")
        table.add_row(Text(answer.status, style=_COLOURS[answer.status]), answer.check.name, found)
    return table
