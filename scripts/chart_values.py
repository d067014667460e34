"""Make the chart's schemas and the table of its values from the comments in values.yaml and the service's settings.

``python scripts/chart_values.py`` writes ``values.schema.json`` of the chart and of each subchart, and
``docs/chart_values.md``; ``--check`` only says what is out of date. A value has a comment above it::

    # -- Meaning, with unit, and what empty means.
    # @schema {minimum: 1}
    replicas: 1

The type follows from the default; ``@schema`` adds to it, or names one of the definitions below with ``$ref``. Objects
are closed: what is not in values.yaml is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from bentos.fraud.settings import ScoringSettings

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "helm" / "fraud-platform"
TABLE: Final = ROOT / "docs" / "chart_values.md"
SUBCHARTS: Final = ("scoring", "workers", "dashboard", "mlflow", "rollouts", "monitoring")

#: Settings that follow from the chart's other values, or from where a pod has its files.
OWNED_SETTINGS: Final = frozenset(
    {
        *("home", "artifact", "snapshot", "role", "metrics_folder", "grpc_host", "grpc_port"),
        *("feature_store", "feature_memory_folder", "redis_url", "records_url", "queue_url", "jobs_url"),
        *("feast_repository", "feast_timeout_milliseconds"),
        *("pseudonym_key", "api_keys_file", "allow_unauthenticated"),
        # Gateway or mesh end TLS.
        *("grpc_tls_certificate", "grpc_tls_key", "grpc_tls_client_ca", "jwt_ca_file"),
        "otlp_endpoint",
    }
)

_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
_AMOUNT: Final = {"type": ["string", "integer", "number"], "pattern": _QUANTITY}
_AMOUNTS: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": dict.fromkeys(("cpu", "memory", "ephemeral-storage"), _AMOUNT),
}
DEFINITIONS: Final[dict[str, Any]] = {
    "quantity": {"type": "string", "pattern": _QUANTITY},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
    },
    "tolerations": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "key": {"type": "string"},
                "operator": {"enum": ["Exists", "Equal"]},
                "value": {"type": "string"},
                "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
                "tolerationSeconds": {"type": "integer"},
            },
        },
    },
}
_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


@dataclass
class Value:
    """One value of values.yaml.

    Parameters
    ----------
    path
        Keys from the root.
    default
        As it stands there.
    text
        Its meaning.
    schema
        What ``@schema`` says.
    """

    path: tuple[str, ...]
    default: Any
    text: str
    schema: dict[str, Any] = field(default_factory=dict)


class UndocumentedError(Exception):
    """A value without a comment, or a comment that is none."""


def read_values(path: Path) -> list[Value]:
    """The documented values of a file, in order.

    Raises
    ------
    UndocumentedError
        When a value has no comment, or is not under a documented one.
    """
    source = path.read_text()
    comments, values = dict(_comments(source)), yaml.safe_load(source)
    found: list[Value] = []

    def walk(node: yaml.MappingNode, above: tuple[str, ...]) -> None:
        for key, child in node.value:
            place = (*above, key.value)
            comment = comments.get(key.start_mark.line)
            if comment is not None:
                found.append(Value(place, _at(values, place), *comment))
            elif isinstance(child, yaml.MappingNode) and not child.flow_style:
                walk(child, place)
            else:
                raise UndocumentedError(f"{path}: {'.'.join(place)} has no comment that begins with `# -- `")

    root = yaml.compose(source)
    if isinstance(root, yaml.MappingNode):
        walk(root, ())
    return found


def _at(values: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        values = values[key]
    return values


def _comments(source: str) -> Iterator[tuple[int, tuple[str, dict[str, Any]]]]:
    """Comments by the number of the line that they stand above."""
    text: str | None = None
    schema: dict[str, Any] = {}
    for number, line in enumerate(source.splitlines()):
        stripped = line.strip()
        if stripped.startswith("# -- "):
            text, schema = stripped.removeprefix("# -- "), {}
        elif stripped.startswith("# @schema "):
            schema = yaml.safe_load(stripped.removeprefix("# @schema "))
        elif not stripped.startswith("#"):
            if text is not None:
                yield number, (text, schema)
            text, schema = None, {}


def schema_of(value: Value) -> dict[str, Any]:
    """JSON schema of one value."""
    reference = value.schema.get("$ref")
    if reference == "settings":
        return {"description": value.text, **settings_schema()}
    if reference is not None:
        return {"description": value.text, **DEFINITIONS[reference]}
    kind = {} if "enum" in value.schema else {"type": _TYPES[type(value.default)]}
    return {"description": value.text, **kind, **value.schema}


def settings_schema() -> dict[str, Any]:
    """JSON schema of the service's settings that values may set."""
    full = ScoringSettings.model_json_schema(by_alias=False)
    properties = {}
    for name, given in full["properties"].items():
        if name in OWNED_SETTINGS:
            continue
        shown = {key: item for key, item in given.items() if key not in {"title", "default"}}
        if "$ref" in shown:
            shown = {**full["$defs"][shown.pop("$ref").rpartition("/")[2]], **shown}
        # Kubernetes' None is a value that is not given.
        choices = [choice for choice in shown.pop("anyOf", []) if choice != {"type": "null"}]
        for choice in choices[:1]:
            shown = {**choice, **shown}
        properties[name] = {key: item for key, item in shown.items() if key not in {"title", "format"}}
    return {"type": "object", "additionalProperties": False, "properties": dict(sorted(properties.items()))}


def closed(values: list[Value]) -> dict[str, Any]:
    """JSON schema of all values of a file."""
    root: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for value in values:
        node = root
        for key in value.path[:-1]:
            node = node["properties"].setdefault(
                key, {"type": "object", "additionalProperties": False, "properties": {}}
            )
        node["properties"][value.path[-1]] = schema_of(value)
    return root


def outputs() -> dict[Path, str]:
    """Every file that is made, and what is to be in it."""
    parts = {name: read_values(CHART / "charts" / name / "values.yaml") for name in SUBCHARTS}
    shared = read_values(CHART / "values.yaml")
    made = {}
    head = {"$schema": "http://json-schema.org/draft-07/schema#"}
    parent = closed(shared)
    for name, values in parts.items():
        schema = closed(values)
        # Helm hands global to subcharts; the parent's schema has looked at it.
        schema["properties"]["global"] = {"type": "object"}
        schema["properties"]["enabled"] = {"type": "boolean"}
        made[CHART / "charts" / name / "values.schema.json"] = _json({**head, **schema})
        # Subcharts look at their own values, with their defaults filled in.
        parent["properties"].setdefault(name, {"type": "object"}).pop("additionalProperties", None)
    made[CHART / "values.schema.json"] = _json({**head, **parent})
    made[TABLE] = _table(shared, parts)
    return made


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _table(shared: list[Value], parts: dict[str, list[Value]]) -> str:
    lines = ["# Values of the chart", "", "Made by `scripts/chart_values.py` from the comments in values.yaml.", ""]
    for title, prefix, values in (
        ("What several parts need", (), shared),
        *((f"`{name}`", (name,), values) for name, values in parts.items()),
    ):
        lines += [f"## {title}", "", "| value | default | |", "|---|---|---|"]
        for value in values:
            default = json.dumps(value.default).replace("|", "\\|")
            choices = value.schema.get("enum")
            allowed = f" One of {', '.join(map(str, choices))}." if choices else ""
            text = value.text.replace("|", "\\|")
            lines.append(f"| `{'.'.join((*prefix, *value.path))}` | `{default}` | {text}{allowed} |")
        lines.append("")
    lines += ["## `global.settings`", "", "| setting | default | |", "|---|---|---|"]
    for name in settings_schema()["properties"]:
        known = ScoringSettings.model_fields[name]
        default = json.dumps(known.default, default=str)
        lines.append(f"| `{name}` | `{default}` | {(known.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Write what is out of date, or with ``--check`` name it; returns the exit code."""
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python scripts/chart_values.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(outputs()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
