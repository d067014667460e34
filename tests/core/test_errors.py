"""Every error is mapped to both transports."""

from __future__ import annotations

import inspect

import pytest

from bentos.core import errors
from bentos.core.errors import WIRE_STATUS, FieldError, FraudError, InvalidInput, wire_status

GRPC_CODES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "INTERNAL",
}
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FraudError)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not FraudError])
def test_every_kind_or_its_parent_has_a_line_of_its_own(kind: type[FraudError]) -> None:
    assert any(parent in WIRE_STATUS for parent in kind.__mro__[: kind.__mro__.index(FraudError)])


@pytest.mark.parametrize("status", WIRE_STATUS.values())
def test_lines_are_errors_on_both_transports(status: errors.WireStatus) -> None:
    assert status.http >= 400
    assert status.grpc in GRPC_CODES
    assert (status.http >= 500) == (status.grpc in {"INTERNAL", "UNAVAILABLE"})


def test_what_is_not_ours_is_internal() -> None:
    assert wire_status(ZeroDivisionError()).grpc == "INTERNAL"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for kind in KINDS:
        assert kind.__name__ in (errors.__doc__ or "")
    assert {kind.__name__ for kind in KINDS} < set(errors.__all__)


def test_invalid_input_says_each_path() -> None:
    error = InvalidInput([FieldError("amount", "too large"), FieldError("timestamp", "naive")])
    assert str(error) == "amount: too large; timestamp: naive"
