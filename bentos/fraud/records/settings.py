"""Settings of the records: predictions, labels, their database."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from bentos.core.settings import Settings

__all__ = ["RecordsSettings"]


class RecordsSettings(Settings):
    """Settings of the records: predictions, labels, their database."""

    records_url: SecretStr | None = Field(
        default=None,
        description="Database of the records, postgresql+psycopg://user:password@host/name. None means a SQLite file"
        " under FRAUD_HOME, which suits one machine.",
    )
    records_timeout_seconds: float = Field(
        default=5.0, gt=0, le=600, description="How long a statement waits for the database or for another's lock."
    )
    prediction_log: Literal["all", "flagged", "none"] = Field(
        default="all",
        description="Which predictions are kept: all, those to review or to block, or none. Labels can count, and reach"
        " the features, only for those that are.",
    )
    prediction_log_buffer_megabytes: int = Field(
        default=128,
        ge=1,
        le=1_000_000,
        description="Predictions of each worker that wait at most on disk, under FRAUD_HOME, to be recorded, MiB; more"
        " are dropped and counted. One takes some 0.3 kB.",
    )
    prediction_log_batch_rows: int = Field(
        default=1000, ge=1, le=100_000, description="Predictions that are written in one transaction, about."
    )
    prediction_log_interval_milliseconds: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="Time between two looks of a worker, and of the process that records, for predictions to write.",
    )
    prediction_log_nice: int = Field(
        default=15,
        ge=0,
        le=19,
        description="How much the process that records predictions stands back for others, such as the server; 19 is"
        " most.",
    )
    hash_identifiers: bool = Field(
        default=False,
        description="Whether the records keep customers and merchants as keyed hashes, as the feature store does."
        " Needs FRAUD_PSEUDONYM_KEY.",
    )
    feedback_rows: int = Field(default=1000, ge=1, le=10_000, description="Labels that one call may bring.")
    feedback_clock_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="How far in the future a label may seem to be, as clocks differ."
    )
    quality_window_days: float = Field(
        default=30.0, gt=0, le=3650, description="Age of the predictions that precision and recall are counted over."
    )
    quality_interval_seconds: float = Field(
        default=60.0, ge=0.1, le=86_400, description="Time between two counts of precision and recall, seconds."
    )
    prediction_retention_days: float = Field(
        default=400.0,
        gt=0,
        le=36_500,
        description="How long a prediction is kept, with its labels, and looks at rollouts that ended.",
    )
    pending_label_retention_days: float = Field(
        default=90.0, gt=0, le=36_500, description="How long a label is kept whose transaction does not come."
    )
    retention_interval_seconds: float = Field(
        default=3600.0, ge=0.1, le=86_400, description="Time between two removals of what is too old, seconds."
    )

    @model_validator(mode="after")
    def _hash_with_a_key(self) -> RecordsSettings:
        if self.hash_identifiers and not self.pseudonym_key.get_secret_value():
            # Whoever knows the identifiers could find their hashes.
            raise ValueError("FRAUD_HASH_IDENTIFIERS needs FRAUD_PSEUDONYM_KEY to be set")
        return self
