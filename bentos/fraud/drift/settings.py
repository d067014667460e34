"""Settings of drift."""

from __future__ import annotations

from pydantic import Field

from bentos.core.settings import Settings

__all__ = ["DriftSettings"]


class DriftSettings(Settings):
    """Settings of drift."""

    drift: bool = Field(
        default=True,
        description="Whether a server counts feature values and scores of the last week to compare them with training;"
        " some 1 MB on disk a worker.",
    )
    drift_minimum_rows: int = Field(
        default=2000,
        ge=50,
        description="Predictions in a window below which nothing is told of it: few differ from training by chance.",
    )
