"""The model card: where a model comes from. And the thresholds that turn its scores into decisions."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from bentos.core.artifact.manifest import canonical_json
from bentos.core.errors import ArtifactCorrupt

__all__ = ["ModelCard", "Thresholds", "TrainingPeriod", "parse_document"]

Text = Annotated[str, Field(max_length=1024)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Document(BaseModel):
    """A JSON file of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_bytes(self) -> bytes:
        """The document as it stands in the folder."""
        return canonical_json(self.model_dump(mode="json"))


class TrainingPeriod(Document):
    """Days of the training transactions, UTC."""

    start: date
    end: date = Field(description="The last day, included.")


class ModelCard(Document):
    """Where a model comes from and how good it was."""

    name: Text = Field(min_length=1, description="Registered name, such as fraud_detector.")
    version: Text = Field(min_length=1, description="Version that answers carry.")
    kind: Literal["forest", "network"]
    created_at: AwareDatetime = Field(description="When it was exported.")
    data_hash: Text = Field(description="Digest of the training table.")
    code_version: Text = Field(description="Commit of the code that trained it.")
    mlflow_run_id: Text | None = None
    mlflow_model_version: Text | None = None
    seeds: dict[str, int] = Field(default_factory=dict)
    metrics: dict[str, Finite] = Field(default_factory=dict, description="On held-out transactions.")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="The model's configuration.")
    feature_schema: Text = Field(min_length=1, description="Digest of the features' definitions.")
    training_period: TrainingPeriod | None = None
    rows: int = Field(ge=0, description="Training transactions.")
    frauds: int = Field(ge=0, description="Frauds among them.")
    environment: dict[str, Text] = Field(default_factory=dict, description="Package to version.")


class Thresholds(Document):
    """Scores from ``block`` on are blocked, others from ``review`` on reviewed, the rest approved."""

    review: Finite = Field(ge=0, le=1)
    block: Finite = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Thresholds:
        if self.review > self.block:
            raise ValueError(f"review {self.review} lies above block {self.block}")
        return self


DocumentT = TypeVar("DocumentT", bound=BaseModel)


def parse_document(kind: type[DocumentT], name: str, content: bytes) -> DocumentT:
    """Read a JSON file of an artifact.

    Raises
    ------
    ArtifactCorrupt
        Names the file and each wrong field.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
        )
        raise ArtifactCorrupt(f"{name} cannot be read: {wrong}") from error
