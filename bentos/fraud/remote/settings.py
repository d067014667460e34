"""Settings of a model that another server runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from bentos.core.settings import Settings

__all__ = ["RemoteModelSettings"]


class RemoteModelSettings(Settings):
    """Settings of a model that another server runs: Triton, KServe, MLServer, or this service once more."""

    model_url: str | None = Field(
        default=None,
        pattern=r"^grpcs?://[^/\s@]+:\d{1,5}$",
        description="Server of the Open Inference Protocol v2 that scores: grpc://host:port, or grpcs:// with TLS. A"
        " host with several addresses gets a batch each in turn. None means that the model runs in this process.",
    )
    model_name: str | None = Field(
        default=None, min_length=1, description="Name of the model on that server. None means the artifact's."
    )
    model_version: str | None = Field(
        default=None, description="Its version on that server. None means the artifact's, empty the server's choice."
    )
    model_timeout_milliseconds: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="How long a batch waits for that server; then the rules answer. A caller whose deadline comes"
        " earlier waits until that. Has to be less than FRAUD_DEADLINE_MILLISECONDS.",
    )
    model_ca_file: Path | None = Field(
        default=None,
        description="Certificates, PEM, that the server's has to be signed by. None means those that gRPC brings.",
    )
    model_api_key: SecretStr | None = Field(
        default=None, description="Sent to that server as `authorization: Bearer`. None sends nothing."
    )

    @model_validator(mode="after")
    def _key_over_tls(self) -> RemoteModelSettings:
        if self.model_ca_file is not None and not (self.model_url or "grpcs://").startswith("grpcs://"):
            raise ValueError("FRAUD_MODEL_CA_FILE is set and FRAUD_MODEL_URL is not grpcs://; use TLS, or unset it")
        return self
