"""Settings of the feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from bentos.core.settings import Settings

__all__ = ["StoreSettings"]


class StoreSettings(Settings):
    """Settings of the feature store."""

    feature_store: Literal["embedded", "redis", "feast"] = Field(
        default="embedded",
        description="Where features are kept: embedded is a file that the workers of one machine share, redis is a"
        " server that all machines share, feast is the online store of a Feast repository.",
    )
    feature_store_capacity_bytes: int = Field(
        default=8 * 1024**3,
        ge=16 * 1024**2,
        le=64 * 1024**4,
        description="Largest size of the embedded feature store's file, bytes; it grows as needed. A key of n events"
        " takes some 100 + 45 n, at most 200,000. At the limit transactions are scored but not recorded, once keys"
        " without an event in 37 days have made room.",
    )
    feature_memory_folder: Annotated[Path | None, BeforeValidator(lambda given: given or None)] = Field(
        default=Path("/dev/shm"),  # noqa: S108 (files there are checked, see memory.py)
        description="Folder in memory (tmpfs) where the embedded feature store lies; its file under home is a copy that"
        " follows within seconds. Where it is missing or has no room for twice the store, at least 256 MB, the file"
        " itself is mapped, and answers wait at times while the disk is written. Empty always maps the file.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Of the Redis of feature_store=redis: redis://, rediss:// (TLS) or unix://, with user and password"
        " if it asks for them. None means redis://127.0.0.1:6379/0.",
    )
    redis_prefix: str = Field(
        default="{fraud}:",
        min_length=1,
        max_length=64,
        description="Begins every key in Redis. What stands in braces decides the slot of a Redis Cluster: all keys"
        " must be in one.",
    )
    redis_timeout_milliseconds: int = Field(
        default=50,
        ge=1,
        le=60_000,
        description="How long a lookup may take; a later one gets defaults. To be well below deadline_milliseconds.",
    )
    redis_failures: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Failures within ten seconds after which Redis is left alone, but for one trial a second.",
    )
    feast_repository: Path | None = Field(
        default=None,
        description="Of feature_store=feast: folder with the feature_store.yaml of a repository that was made by"
        " `python -m bentos.fraud feast repository` and applied. None means FRAUD_HOME/feast.",
    )
    feast_timeout_milliseconds: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="How long a lookup through Feast may take; a later one gets defaults. To be well below"
        " deadline_milliseconds.",
    )
    feature_age_limit_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Age of the newest recorded event from which on every answer names features_stale as degraded."
        " None means never: at night nothing may come.",
    )
