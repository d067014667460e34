"""Write the API reference from what the service itself says of its interfaces.

``python scripts/api_reference.py`` writes ``docs/api/openapi.json`` (the document of ``/docs``), ``http.md`` from it,
and ``grpc.md`` from the comments of the .proto files; ``--check`` only says what is out of date.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

__all__ = ["documents", "main"]

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "api"
_PROTOS: Final = ROOT / "bentos" / "protos"
_FILES: Final = ("fraud/v1/fraud.proto", "fraud/v1/shadow.proto", "inference/inference.proto")
_MADE: Final = "<!-- made by scripts/api_reference.py -->"
#: Numbers of the fields that hold messages, services and so on, in paths of comments (descriptor.proto).
_MESSAGES, _ENUMS, _SERVICES, _MEMBERS = 4, 5, 6, 2
_NESTED: Final = 3
_SCALARS: Final = {
    value.number: value.name.removeprefix("TYPE_").lower()
    for value in FieldDescriptorProto.Type.DESCRIPTOR.values  # type: ignore[attr-defined]
}


def documents() -> dict[str, str]:
    """Name to content of each file."""
    openapi = _openapi()
    return {
        "openapi.json": json.dumps(openapi, indent=1, ensure_ascii=False) + "\n",
        "http.md": "\n".join(_http(openapi)) + "\n",
        "grpc.md": "\n".join(_grpc()) + "\n",
    }


def _openapi() -> dict[str, Any]:
    from bentos.fraud.service import FraudDetector

    document: dict[str, Any] = json.loads(json.dumps(FraudDetector.openapi_spec.asdict()))
    # Of the bento that is served.
    document["info"]["version"] = "1"
    return document


def _http(document: Mapping[str, Any]) -> Iterator[str]:
    schemas = _named(document)
    yield f"# HTTP\n\n{_MADE}\n"
    yield f"{document['info']['description']} As a document for tools: [openapi.json](openapi.json); a running service"
    yield "shows it at `/docs`. Deadlines, errors and the Open Inference Protocol: [serving.md](../serving.md).\n"
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            yield from _operation(method.upper(), path, operation)
    yield "## Schemas\n"
    for name, schema in sorted(schemas.items()):
        yield from _schema(name, schema)


def _named(document: Mapping[str, Any]) -> dict[str, Any]:
    """Schemas by name: those of the document, and objects that stand within others.

    What a call takes or answers itself is not among them; its fields are listed with the call.
    """
    found = dict(document["components"]["schemas"])
    operations = [one for operations in document["paths"].values() for one in operations.values()]
    bodies = [body for one in operations for body in (one.get("requestBody", {}), *one["responses"].values())]
    wholes = [content.get("schema", {}) for body in bodies for content in body.get("content", {}).values()]
    for whole in (*document["components"]["schemas"].values(), *wholes):
        for part in _parts(whole):
            known = found.setdefault(part["title"], part)
            if list(known["properties"]) != list(part["properties"]):
                raise ValueError(f"two objects are called {part['title']}, and have other fields")
    return found


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Objects with a name and fields within a schema, at any depth."""
    members = list(schema.get("properties", {}).values())
    members += [one for join in ("anyOf", "oneOf", "allOf") for one in schema.get(join, ())]
    members += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), Mapping)]
    for member in members:
        if "properties" in member and "title" in member:
            yield member
        yield from _parts(member)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {method} {path}\n"
    yield f"{_line(operation.get('summary') or operation.get('description', ''))}\n"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "| parameter | in | type | meaning |\n|---|---|---|---|"
        for one in parameters:
            required = ", required" if one.get("required") else ""
            text = _line(one.get("description"))
            yield f"| `{one['name']}` | {one['in']}{required} | {_type(one['schema'])} | {text} |"
        yield ""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{kind}`: {_whole(content.get('schema', {}))}\n"
        yield from _fields(content.get("schema", {}))
    yield "| status | answer |\n|---|---|"
    for status, response in operation["responses"].items():
        kinds = ", ".join(_whole(content.get("schema", {})) for content in response.get("content", {}).values())
        yield f"| {status} | {_line(response.get('description'))}{f': {kinds}' if kinds else ''} |"
    yield ""
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            if status.startswith("2") and "properties" in content.get("schema", {}):
                yield from _fields(content["schema"])


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if schema.get("description"):
        yield f"{_line(schema['description'])}\n"
    if "enum" in schema:
        yield f"One of {_type(schema)}\n"
    yield from _fields(schema)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    if not schema.get("properties"):
        return
    required = schema.get("required", ())
    yield "| field | type | meaning |\n|---|---|---|"
    for name, member in schema["properties"].items():
        mark = "" if name in required else " (optional)"
        yield f"| `{name}`{mark} | {_type(member)} | {_line(member.get('description'))} |"
    yield ""


def _whole(schema: Mapping[str, Any]) -> str:
    """Type of what a call takes or answers; its fields stand below."""
    return str(schema.get("title", "object")) if "properties" in schema else _type(schema)


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for join in ("anyOf", "oneOf", "allOf"):
        if join in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[join]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return _object(schema) or _scalar(schema)


def _object(schema: Mapping[str, Any]) -> str:
    """Type of an object of which more is known; empty for all others."""
    if "properties" in schema and "title" in schema:
        return f"[{schema['title']}](#{schema['title'].lower()})"
    if isinstance(schema.get("additionalProperties"), Mapping):
        keys = schema.get("propertyNames", {})
        return f"object of {_type(schema['additionalProperties'])}{f' by {_type(keys)}' if 'enum' in keys else ''}"
    return ""


def _scalar(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "any")
    limits = [f"{word} {schema[key]:,}" for key, word in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return f"{kind} {', '.join(limits)}".strip() + (f", {schema['format']}" if "format" in schema else "")


def _line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _grpc() -> Iterator[str]:
    yield f"# gRPC\n\n{_MADE}\n"
    yield "Port 3001, with `grpc.health.v1` and reflection. Statuses and their details:"
    yield "[serving.md](../serving.md#errors).\n"
    for file in _described().file:
        if file.name in _FILES:
            yield from _file(file)


def _described() -> FileDescriptorSet:
    with tempfile.TemporaryDirectory(prefix="fraud-protos-") as folder:
        target = Path(folder) / "set"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={_PROTOS}", "--include_source_info"]
        subprocess.run(  # noqa: S603 - our own files
            [*command, f"--descriptor_set_out={target}", *_FILES], check=True, cwd=_PROTOS
        )
        return FileDescriptorSet.FromString(target.read_bytes())


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = {
        tuple(place.path): _line(place.leading_comments or place.trailing_comments)
        for place in file.source_code_info.location
    }
    yield f"## {file.package}\n\n[{file.name}](../../bentos/protos/{file.name})\n"
    for number, service in enumerate(file.service):
        yield from _service(service, (_SERVICES, number), comments)
    for number, message in enumerate(file.message_type):
        yield from _message(message, message.name, (_MESSAGES, number), comments)
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_ENUMS, number), comments)


def _service(
    service: ServiceDescriptorProto, path: tuple[int, ...], comments: Mapping[tuple[int, ...], str]
) -> Iterator[str]:
    yield f"### {service.name}\n"
    if comments.get(path):
        yield f"{comments[path]}\n"
    yield "| call | takes | answers | |\n|---|---|---|---|"
    for number, method in enumerate(service.method):
        text = comments.get((*path, _MEMBERS, number), "")
        yield f"| {method.name} | {_short(method.input_type)} | {_short(method.output_type)} | {text} |"
    yield ""


def _message(
    message: DescriptorProto, name: str, path: tuple[int, ...], comments: Mapping[tuple[int, ...], str]
) -> Iterator[str]:
    yield f"### {name}\n"
    if comments.get(path):
        yield f"{comments[path]}\n"
    if message.field:
        yield "| field | type | meaning |\n|---|---|---|"
        for number, member in enumerate(message.field):
            kind = _short(member.type_name) if member.type_name else _SCALARS[member.type]
            repeated = "repeated " if member.label == FieldDescriptorProto.LABEL_REPEATED else ""
            optional = " (optional)" if member.proto3_optional else ""
            text = comments.get((*path, _MEMBERS, number), "")
            yield f"| `{member.name}`{optional} | {repeated}{kind} | {text} |"
        yield ""
    for number, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(nested, f"{name}.{nested.name}", (*path, _NESTED, number), comments)


def _enum(enum: EnumDescriptorProto, path: tuple[int, ...], comments: Mapping[tuple[int, ...], str]) -> Iterator[str]:
    yield f"### {enum.name}\n"
    if comments.get(path):
        yield f"{comments[path]}\n"
    yield "| value | number | meaning |\n|---|---|---|"
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {comments.get((*path, _MEMBERS, number), '')} |"
    yield ""


def _short(name: str) -> str:
    """A type's name within its package."""
    for package in (".fraud.v1.", ".inference."):
        name = name.removeprefix(package)
    return name.removeprefix(".")


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` only compare; returns the exit code."""
    made = documents()
    old = [name for name, text in made.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text]
    if "--check" in arguments:
        if old:
            print(f"out of date: {', '.join(old)}; run python scripts/api_reference.py")
        return 1 if old else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in old:
        (FOLDER / name).write_text(made[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
