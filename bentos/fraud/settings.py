"""Settings of a scoring worker that only the service knows."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, model_validator

from bentos.core.settings import ServingSettings
from bentos.fraud.access.settings import AccessSettings
from bentos.fraud.bulk.settings import BulkSettings
from bentos.fraud.drift.settings import DriftSettings
from bentos.fraud.jobs.settings import JobsSettings
from bentos.fraud.remote.settings import RemoteModelSettings
from bentos.fraud.shadow.settings import ShadowSettings
from bentos.fraud.store.settings import StoreSettings

__all__ = ["LOCAL_HOST", "METRICS_FOLDER_VARIABLE", "ScoringSettings"]

#: How the process that starts the workers tells them where their shared metrics lie.
METRICS_FOLDER_VARIABLE: Final = "FRAUD_METRICS_FOLDER"
LOCAL_HOST: Final = "127.0.0.1"


class ScoringSettings(
    StoreSettings,
    ShadowSettings,
    JobsSettings,
    BulkSettings,
    DriftSettings,
    AccessSettings,
    RemoteModelSettings,
    ServingSettings,
):
    """Settings of a scoring worker."""

    role: Literal["champion", "challenger"] = Field(
        default="champion", description="Side of a rollout that this server is on; a label of its metrics."
    )
    block_review_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of what would be blocked that goes to review instead, drawn by transaction_id, so that the"
        " outcome of some is seen and can stand for the others. 0 blocks all.",
    )
    metrics_folder: Path | None = Field(
        default=None,
        description="Folder of the files through which the workers of one server share their metrics and rate limits."
        " None means a temporary one, which the server makes and removes.",
    )
    body_limit_bytes: int = Field(
        default=64 * 1024, ge=1024, description="Longest body of /predict and /explain, bytes; a longer one is refused."
    )
    many_body_limit_bytes: int = Field(
        default=16 * 1024 * 1024, ge=1024, description="Longest body of /predict_many and of an inference call, bytes."
    )
    batch_size: int = Field(
        default=64, ge=1, le=10_000, description="Rows that are scored together at most; 1 turns micro-batching off."
    )
    queue_size: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Rows that wait at most; a call that finds the queue full is refused.",
    )
    deadline_milliseconds: int = Field(
        default=250,
        ge=1,
        le=600_000,
        description="How long a caller of one prediction waits when the call does not say: what cannot be done by then"
        " is refused at once, and reasons that would be later are left out.",
    )
    many_deadline_milliseconds: int = Field(
        default=30_000, ge=1, le=600_000, description="The same for calls with many rows."
    )
    grpc_host: str | None = Field(
        default=None, description="Address that gRPC is served on. None means the one of HTTP (`bentoml serve --host`)."
    )
    grpc_port: int = Field(
        default=3001, ge=0, le=65_535, description="Port of gRPC, shared by the workers of a server; 0 serves none."
    )
    grpc_grace_seconds: float = Field(
        default=20.0, ge=0, le=3600, description="How long calls that run may take when the server stops, seconds."
    )
    huge_pages: bool = Field(
        default=True,
        description="Whether a worker asks Linux for pages of 2 MiB for what it holds in memory: a twentieth of a lone"
        " request's time in a virtual machine, for some megabytes.",
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="Form of log lines: JSON for machines, text for people."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level of what is logged; the access log does not depend on it."
    )
    log_buffer_lines: int = Field(
        default=16_384,
        ge=1,
        le=1_000_000,
        description="Log lines that wait at most while standard error takes none; more are dropped and counted.",
    )
    access_log: bool = Field(default=True, description="Whether every answered request gets a log line.")
    otlp_endpoint: str = Field(
        default="",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^(https?://.+)?$",
        description="Where traces are sent, over OTLP/HTTP: the URL without /v1/traces. Empty means nowhere."
        " OpenTelemetry's other variables, such as OTEL_EXPORTER_OTLP_HEADERS, are read by its library.",
    )
    trace_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of requests without a traceparent that are traced, if traces are sent at all. Of those with"
        " one, the ones that their caller samples are.",
    )

    @model_validator(mode="after")
    def _shadow_of_a_champion(self) -> ScoringSettings:
        if self.shadow_url and self.role != "champion":
            raise ValueError(
                f"FRAUD_SHADOW_URL is set and FRAUD_ROLE is {self.role}: only a champion has a challenger in its shadow"
            )
        return self
