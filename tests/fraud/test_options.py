from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.errors import InvalidInput
from bentos.fraud.options import PredictOptions, no_options, predict_options


def test_defaults_explain_what_is_flagged_and_record() -> None:
    assert predict_options(()) == PredictOptions(explain="flagged", record=True)


@pytest.mark.parametrize("explain", ["none", "flagged", "all"])
def test_explain_takes_its_three_values(explain: str) -> None:
    assert predict_options((("explain", explain),)).explain == explain


@pytest.mark.parametrize(("text", "record"), [("true", True), ("false", False)])
def test_record_takes_true_and_false(text: str, record: bool) -> None:
    assert predict_options((("record", text),)).record is record


@pytest.mark.parametrize(
    ("parameters", "paths"),
    [
        ([("explain", "some")], ["explain"]),
        ([("explain", "")], ["explain"]),
        ([("explain", "ALL")], ["explain"]),
        ([("record", "1")], ["record"]),
        ([("explian", "all")], ["explian"]),
        ([("record", "true"), ("record", "false")], ["record"]),
        ([("explain", "x"), ("record", "y"), ("z", "")], ["explain", "record", "z"]),
    ],
)
def test_everything_else_is_refused_by_name(parameters: list[tuple[str, str]], paths: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        predict_options(tuple(parameters))
    assert [error.path for error in refused.value.errors] == paths


def test_a_call_without_options_refuses_any() -> None:
    no_options(())
    with pytest.raises(InvalidInput) as refused:
        no_options([("explain", "all")])
    assert [error.path for error in refused.value.errors] == ["explain"]


@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=200)), min_size=1, max_size=4))
def test_a_refusal_is_short_and_printable_whatever_came(parameters: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInput) as refused:
        no_options(parameters)
    for error in refused.value.errors:
        assert len(error.path) <= 41
        assert all(letter.isprintable() for letter in error.path + error.message)
