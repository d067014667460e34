"""Rules of Prometheus: what an alert is, and the file that they all make.

An alert is added to one of the modules whose groups are listed here. The tests then ask for its runbook,
``docs/runbooks/<alert>.md``, and for its cases, ``tests/k8s/monitoring/cases/<alert>.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import yaml

from k8s.monitoring.objectives import Objectives

__all__ = ["BY", "RUNBOOKS", "Alert", "Group", "Record", "file_text", "ratio", "rules_document"]

#: Every rule tells them apart; the scrape adds both labels.
BY: Final = "by (namespace, release)"
#: Where runbooks are when nobody says: in the repository.
RUNBOOKS: Final = "docs/runbooks"
Severity: TypeAlias = Literal["critical", "warning"]
#: Who knows what to do: the platform's operators, or those who know the model.
Team: TypeAlias = Literal["platform", "model"]


@dataclass(frozen=True)
class Record:
    """A number that several rules need, and dashboards.

    Parameters
    ----------
    name
        level:metric:operations, as Prometheus' guide has it.
    expression
        In PromQL.
    """

    name: str
    expression: str

    def document(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"record": self.name, "expr": self.expression}


@dataclass(frozen=True)
class Alert:
    """Something that somebody has to do something about.

    Parameters
    ----------
    name
        Of the alert, its runbook and its cases.
    expression
        In PromQL; it fires for each series.
    lasting
        How long it has to hold, such as "5m"; empty fires at once.
    severity
        critical wakes somebody up, warning waits for the morning.
    team
        Who is told.
    summary
        One sentence.
    description
        What was measured, and what to look at first; a template of Prometheus.
    """

    name: str
    expression: str
    lasting: str
    severity: Severity
    team: Team
    summary: str
    description: str

    def document(self, objectives: Objectives) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "alert": self.name,
            "expr": self.expression,
            **({"for": objectives.span(self.lasting)} if self.lasting else {}),
            "labels": {"severity": self.severity, "team": self.team},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}/{self.name}.md",
            },
        }


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    records: tuple[Record, ...]
    alerts: tuple[Alert, ...]

    def document(self, objectives: Objectives) -> dict[str, Any]:
        """As it stands in the file."""
        rules = [
            *(record.document() for record in self.records),
            *(alert.document(objectives) for alert in self.alerts),
        ]
        return {"name": self.name, "rules": rules}


def ratio(part: str, whole: str, by: str = BY) -> str:
    """PromQL of a share; 0 when no series of the part was ever made, NaN when there is nothing of the whole."""
    return f"(sum {by} ({part}) or 0 * sum {by} ({whole}))\n/ sum {by} ({whole})"


def rules_document(groups: tuple[Group, ...], objectives: Objectives) -> dict[str, Any]:
    """The file's content, which is also the spec of a PrometheusRule."""
    return {"groups": [group.document(objectives) for group in groups]}


class _Dumper(yaml.SafeDumper):
    """Writes what has several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def file_text(document: dict[str, Any]) -> str:
    """A document in YAML."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=160, allow_unicode=True)
