"""Settings of the challenger in the shadow."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from bentos.fraud.records.settings import RecordsSettings

__all__ = ["ShadowSettings"]


class ShadowSettings(RecordsSettings):
    """Settings of the challenger in the shadow. Pairs are records: they need every prediction to be one."""

    shadow_url: str = Field(
        default="",
        pattern=r"^(grpcs?://[^/\s@]+:\d{1,5})?$",
        description="Challenger that scores copies of what this server answered, and answers nobody: grpc://host:port,"
        " or grpcs:// with TLS. A host with several addresses gets a batch each in turn. Empty sends none.",
    )
    shadow_share: float = Field(
        default=1.0, gt=0, le=1, description="Share of the transactions that is copied, drawn by transaction_id."
    )
    shadow_queue_rows: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Copies that wait at most to be sent; more are dropped and counted. One takes some 0.8 kB.",
    )
    shadow_batch_rows: int = Field(
        default=256, ge=1, le=10_000, description="Copies that are sent in one call at most."
    )
    shadow_timeout_milliseconds: int = Field(
        default=1000, ge=1, le=60_000, description="How long the challenger may take over a call; then it is given up."
    )
    shadow_ca_file: Path | None = Field(
        default=None,
        description="Certificates, PEM, that the challenger's has to be signed by. None means those that gRPC brings.",
    )
    shadow_api_key: SecretStr | None = Field(
        default=None,
        description="Sent to the challenger as `authorization: Bearer`; needs the role score there. None sends no key.",
    )

    @model_validator(mode="after")
    def _pairs_of_all(self) -> ShadowSettings:
        if self.shadow_url and self.prediction_log != "all":
            raise ValueError(
                f"FRAUD_SHADOW_URL is set and FRAUD_PREDICTION_LOG is {self.prediction_log}: pairs are made from the"
                " prediction log; set it to all"
            )
        if self.shadow_ca_file is not None and not (self.shadow_url or "grpcs://").startswith("grpcs://"):
            raise ValueError("FRAUD_SHADOW_CA_FILE is set and FRAUD_SHADOW_URL is not grpcs://; use TLS, or unset it")
        return self
