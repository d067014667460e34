"""Random messages of any protobuf type, from its descriptor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

__all__ = ["messages"]

#: A message within messages, from here on, is left out.
_DEPTH: Final = 4

_SIGNED_32 = st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
_SIGNED_64 = st.sampled_from([0, 1, -1, 21, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
#: What the service knows by name, so that some calls get further than the first check.
_WORDS = st.sampled_from(
    [
        "",
        "fraud_detector",
        "7",
        "features",
        "score",
        "FP64",
        "FP32",
        "INT64",
        "BYTES",
        "2026-01-31T12:00:00+01:00",
        "2026-01-31T12:00:00",
        "9999-12-31T23:59:59Z",
        "customer-1",
        "x" * 129,
        "a\0b",
        "fraud.v1.FraudService",
    ]
)
_TEXTS = _WORDS | st.text(max_size=20)
_VALUES: Final[dict[int, st.SearchStrategy[Any]]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=200) | st.just(bytes(168)),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_INT32: _SIGNED_32,
    FieldDescriptor.TYPE_INT64: _SIGNED_64,
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
}


def messages(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of a type: any fields, present or not, with any values."""
    kind: Callable[..., Message] = GetMessageClass(descriptor)
    fields = {
        field.name: _values(field, depth) for field in descriptor.fields if field.message_type is None or depth < _DEPTH
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**_one_of_each(descriptor, given)))


def _one_of_each(descriptor: Descriptor, given: dict[str, Any]) -> dict[str, Any]:
    """Keep one field of a oneof: the others would be overwritten anyway."""
    kept = dict(given)
    for choice in descriptor.oneofs:
        chosen = [field.name for field in choice.fields if field.name in kept]
        for name in chosen[1:]:
            del kept[name]
    return kept


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        parts = kind.fields_by_name
        return st.dictionaries(_values(parts["key"], depth), _values(parts["value"], depth + 1), max_size=3)
    if kind is not None:
        one: st.SearchStrategy[Any] = messages(kind, depth + 1)
    elif field.type == FieldDescriptor.TYPE_ENUM:
        # Open enums: any number may come, known or not.
        one = st.integers(-2, 5) | _SIGNED_32
    else:
        one = _VALUES[field.type]
    # A few elements, or as many as a feature row has.
    return st.lists(one, max_size=4) | one.map(lambda value: [value] * 21) if field.is_repeated else one
