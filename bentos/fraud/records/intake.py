"""Labels as callers send them, over any transport: read, checked, applied."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.records import Label, LabelOutcome
from bentos.core.transaction import field_errors, microseconds
from bentos.fraud.records.labels import GivenLabel
from bentos.fraud.records.office import Records

__all__ = ["check_count", "read_label", "take_labels"]


def read_label(fields: object, prefix: str = "") -> Label:
    """A label from its fields.

    Parameters
    ----------
    fields
        A mapping, if all is well.
    prefix
        Of the paths of wrong fields.

    Raises
    ------
    InvalidInput
        With the path and the message of every wrong field.
    """
    try:
        return Label.model_validate(fields)
    except ValidationError as error:
        if isinstance(fields, Mapping):
            raise InvalidInput(field_errors(error, prefix)) from error
        raise InvalidInput([FieldError(prefix.rstrip(".") or "label", "must be an object")]) from error


def check_count(rows: int, most: int) -> None:
    """Refuse no labels, and too many.

    Raises
    ------
    InvalidInput
        When there are.
    """
    if not 1 <= rows <= most:
        raise InvalidInput([FieldError("labels", f"must be 1 to {most} labels, got {rows}")])


async def take_labels(
    records: Records, rows: Sequence[Label | InvalidInput], *, listed: bool = True
) -> list[LabelOutcome | FraudError]:
    """Apply labels in order; those that are taken are on disk when this returns.

    Parameters
    ----------
    records
        Of the worker.
    rows
        Labels, or why one could not be read.
    listed
        Whether they came as a list, so that paths of wrong fields have to tell which one it is.

    Returns
    -------
    list
        What became of each, or what is wrong with it.

    Raises
    ------
    Overloaded, Unavailable
        Nothing is said about any label then; they are to be sent again.
    """
    now = time.time_ns() // 1000
    latest = now + int(records.settings.feedback_clock_seconds * 1e6)
    checked = [_given(row, f"labels.{index}." if listed else "", now, latest) for index, row in enumerate(rows)]
    given = [row for row in checked if isinstance(row, GivenLabel)]
    applied = iter(await records.feedback(given) if given else ())
    return [next(applied).outcome if isinstance(row, GivenLabel) else row for row in checked]


def _given(row: Label | InvalidInput, prefix: str, now: int, latest: int) -> GivenLabel | InvalidInput:
    if isinstance(row, InvalidInput):
        return row
    label_time = now if row.label_time is None else microseconds(row.label_time)
    if label_time > latest:
        return InvalidInput(
            [FieldError(f"{prefix}label_time", "lies in the future; a label tells what is known already")]
        )
    # What is a little ahead is now, by this clock.
    return GivenLabel(row.transaction_id, row.label, min(label_time, now), row.source, row.analyst)
