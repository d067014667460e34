"""Settings of a scoring worker that only the service knows."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from bentos.core.settings import ServingSettings

__all__ = ["METRICS_FOLDER_VARIABLE", "ScoringSettings"]

#: How the process that starts the workers tells them where their shared metrics lie.
METRICS_FOLDER_VARIABLE: Final = "FRAUD_METRICS_FOLDER"


class ScoringSettings(ServingSettings):
    """Settings of a scoring worker."""

    role: Literal["champion", "challenger"] = Field(
        default="champion", description="Side of a rollout that this server is on; a label of its metrics."
    )
    metrics_folder: Path | None = Field(
        default=None,
        description="Folder of the files through which the workers of one server share their metrics. None means a"
        " temporary one, which the server makes and removes.",
    )
    body_limit_bytes: int = Field(
        default=64 * 1024, ge=1024, description="Longest body of /predict and /explain, bytes; a longer one is refused."
    )
