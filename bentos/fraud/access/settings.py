"""Settings of who may call, and how much."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field

from bentos.core.settings import Settings
from bentos.fraud.access.roles import Role

__all__ = ["FILE_SETTINGS", "AccessSettings"]

#: Settings that are paths, relative to where a server is started.
FILE_SETTINGS: Final = (
    "api_keys_file",
    "jwt_ca_file",
    "grpc_tls_certificate",
    "grpc_tls_key",
    "grpc_tls_client_ca",
)


class AccessSettings(Settings):
    """Settings of who may call, and how much. Without a key file and a JWKS everybody may, on this machine alone."""

    api_keys_file: Path | None = Field(
        default=None,
        description="File of the API keys' digests, names and roles; `python -m bentos.fraud keys` writes it. Read"
        " again when it changes. None means that there are no keys.",
    )
    api_keys_check_seconds: float = Field(
        default=2.0, gt=0, le=3600, description="How often a change of that file is looked for, seconds."
    )
    allow_unauthenticated: bool = Field(
        default=False,
        description="Whether a server without keys and JWKS may be reached from other machines. Whoever reaches it may"
        " then do everything: for networks that something else guards.",
    )
    metrics_role: Role = Field(
        default="none",
        description="Role that /metrics needs: none, score, feedback or admin; none is open to everybody.",
    )
    docs_role: Role = Field(default="none", description="Role that /docs and the OpenAPI document need.")
    rate_limit_rows_per_second: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Transactions a second, over all workers of a server, that each caller may have scored; calls"
        " without rows count as one. A key's own limit goes before. None means no limit.",
    )
    rate_limit_burst_rows: float | None = Field(
        default=None,
        ge=1,
        le=1e7,
        description="Rows that a caller who was quiet may ask at once. None means those of one second, at least 1.",
    )
    jwt_jwks_url: str | None = Field(
        default=None,
        description="Where the public keys of those are who sign JSON web tokens: https:// or a file's absolute path."
        " None means that no tokens are taken.",
    )
    jwt_issuer: str | None = Field(default=None, description="What a token's iss must be; needed for tokens.")
    jwt_audience: str | None = Field(default=None, description="What a token's aud must hold; needed for tokens.")
    jwt_roles_claim: str = Field(
        default="roles",
        min_length=1,
        description="Claim that holds a token's roles, a list or words; dots lead into objects (realm_access.roles)."
        " Roles that this service does not know are ignored.",
    )
    jwt_leeway_seconds: float = Field(
        default=30.0, ge=0, le=600, description="How far the clocks of issuer and server may be apart, seconds."
    )
    jwt_refresh_seconds: float = Field(
        default=300.0, gt=0, le=86_400, description="How often the JWKS is read again, seconds."
    )
    jwt_minimum_refresh_seconds: float = Field(
        default=15.0,
        gt=0,
        le=3600,
        description="Least time between two readings, seconds, however many tokens name keys that are not known.",
    )
    jwt_stale_seconds: float = Field(
        default=86_400.0,
        gt=0,
        description="How long the keys that were read last are trusted while the JWKS cannot be read, seconds.",
    )
    jwt_ca_file: Path | None = Field(
        default=None,
        description="Certificates, PEM, that the JWKS server's is checked against. None means the system's.",
    )
    grpc_tls_certificate: Path | None = Field(
        default=None,
        description="Certificate chain of gRPC, PEM; with grpc_tls_key or not at all. Read again when it changes. None"
        " serves gRPC without TLS. HTTP's is `bentoml serve --ssl-certfile`.",
    )
    grpc_tls_key: Path | None = Field(default=None, description="Its private key, PEM, without a password.")
    grpc_tls_client_ca: Path | None = Field(
        default=None,
        description="Certificates, PEM, one of which must have signed the client's. None asks clients for none.",
    )

    @property
    def authenticates(self) -> bool:
        """Whether callers must say who they are."""
        return self.api_keys_file is not None or self.jwt_jwks_url is not None
