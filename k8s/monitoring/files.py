"""The files that the chart packs, by their paths in the monitoring chart's ``files``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from k8s.helm import CHART
from k8s.monitoring.dashboards import dashboards
from k8s.monitoring.data_rules import data_group
from k8s.monitoring.model_rules import model_group
from k8s.monitoring.objectives import Objectives
from k8s.monitoring.panels import dashboard_text
from k8s.monitoring.rules import file_text, rules_document
from k8s.monitoring.service_rules import objective_group, service_group

__all__ = ["FOLDER", "RULES", "made_files", "rules"]

FOLDER: Final = CHART / "charts" / "monitoring" / "files"
RULES: Final = Path("rules.yaml")
_HEADER: Final = "# Made by `python -m k8s monitoring`; change k8s/monitoring/*_rules.py instead.\n"


def rules(objectives: Objectives) -> dict[str, Any]:
    """All rules."""
    groups = (
        objective_group(objectives),
        service_group(objectives),
        data_group(objectives),
        model_group(objectives),
    )
    return rules_document(groups, objectives)


def made_files(objectives: Objectives) -> dict[Path, str]:
    """Rules and dashboards."""
    files = {RULES: _HEADER + file_text(rules(objectives))}
    for dashboard in dashboards(objectives):
        files[Path("dashboards") / f"{dashboard.uid.removeprefix('fraud-')}.json"] = dashboard_text(dashboard)
    return files
