"""Configuration of a model: what is trained, read from YAML, checked before any data is touched."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bentos.core.errors import ConfigError
from bentos.core.features import FEATURE_NAMES
from bentos.core.files import atomic_file
from training.models.space import Value

__all__ = [
    "ImbalanceConfig",
    "Kind",
    "ModelConfig",
    "NetworkParameters",
    "StrategyName",
    "load_config",
    "preset_names",
    "save_config",
    "with_values",
]

Kind = Literal["forest", "network", "other"]
StrategyName = Literal["none", "class_weight", "oversample", "smote", "undersample", "balanced_forest"]

NETWORK: Final = "network"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ImbalanceConfig(_Strict):
    """How the rarity of fraud is dealt with, on training folds only."""

    strategy: StrategyName = Field(default="none", description="See training.models.imbalance.STRATEGIES.")
    ratio: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Frauds per legitimate row after oversample, smote, undersample, or in a tree of balanced_forest.",
    )
    weight: float | None = Field(
        default=None,
        gt=0,
        description="Weight of a fraud for class_weight, a legitimate row weighs 1. None: both classes weigh the same.",
    )
    neighbours: int = Field(default=5, ge=1, le=100, description="Frauds that smote interpolates towards.")


class NetworkParameters(_Strict):
    """Architecture and training of the network."""

    hidden: tuple[int, ...] = Field(default=(64, 64), min_length=1, max_length=8, description="Units of hidden layers.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of hidden units left out in a training step.")
    batch_norm: bool = Field(default=False, description="Normalise hidden layers over the batch.")
    bins: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Pieces that each feature is cut into, so that the network sees steps; 0 leaves features whole.",
    )
    knots: dict[str, tuple[float, ...]] = Field(
        default_factory=dict,
        description="Borders of the pieces of some features, in the feature's unit, ascending; in place of ``bins``.",
    )
    gain: dict[str, float] = Field(
        default_factory=dict,
        description="Factor on some features' encoding: below 1 makes the network slower to rely on them.",
    )
    heads: int = Field(
        default=1, ge=1, le=32, description="Networks with weights of their own, whose logits are averaged."
    )
    edges: Literal["quantile", "tree"] = Field(
        default="tree",
        description="Where to cut: equally many rows a piece, or where a tree on that feature alone does.",
    )
    clip: float = Field(
        default=30.0,
        gt=0,
        le=1000,
        description="Bound of scaled features, in standard deviations; fraud rates reach 20 of theirs.",
    )
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0, le=10, description="AdamW's, on weights, not on biases.")
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="Learning rate over the epochs; cosine falls to 0 at the last."
    )
    warmup_steps: int = Field(default=100, ge=0, description="Batches over which the learning rate rises.")
    batch_size: int = Field(default=256, ge=8, le=65_536)
    epochs: int = Field(default=40, ge=1, le=1000, description="At most.")
    patience: int | None = Field(
        default=8, ge=1, description="Epochs without improvement before stopping; None trains all epochs on all rows."
    )
    held_out: float = Field(default=0.15, gt=0, lt=0.5, description="Share of training rows that decide when to stop.")
    held_out_by: Literal["latest", "stratified"] = Field(
        default="latest", description="Which rows these are: the latest, or a draw of equal shares of both classes."
    )
    monitor: Literal["loss", "average_precision"] = Field(
        default="average_precision", description="What must improve on the held-out rows."
    )
    refit: bool = Field(
        default=False, description="Train again on all rows, for as many epochs as were best with the rows held out."
    )

    @field_validator("knots", "gain")
    @classmethod
    def _features(cls, values: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(values) - set(FEATURE_NAMES))
        if unknown:
            raise ValueError(f"there is no feature {', '.join(unknown)}; there are {', '.join(FEATURE_NAMES)}")
        return values

    @field_validator("knots")
    @classmethod
    def _ascending(cls, knots: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for name, borders in knots.items():
            if len(borders) < 2 or any(low >= high for low, high in pairwise(borders)):
                raise ValueError(f"the knots of {name} must be two or more, ascending; got {list(borders)}")
        return knots

    @field_validator("gain")
    @classmethod
    def _factors(cls, gain: dict[str, float]) -> dict[str, float]:
        if not all(0 < factor <= 10 for factor in gain.values()):
            raise ValueError(f"a gain lies above 0 and at most 10; got {gain}")
        return gain

    @field_validator("hidden", mode="before")
    @classmethod
    def _from_text(cls, hidden: Any) -> Any:
        # A search space holds plain values only: "64,32".
        return tuple(hidden.split(",")) if isinstance(hidden, str) else hidden

    @field_validator("hidden")
    @classmethod
    def _positive(cls, hidden: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= units <= 4096 for units in hidden):
            raise ValueError(f"each hidden layer has from 1 to 4096 units, got {list(hidden)}")
        return hidden


class ModelConfig(_Strict):
    """A model to train."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="For people: runs and studies are named by it."
    )
    estimator: str = Field(description="`network`, or a classifier of sklearn or imblearn by its full name.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Of the estimator or the network.")
    imbalance: ImbalanceConfig = ImbalanceConfig()
    scale: bool = Field(
        default=False, description="Scale features first, for linear models; a network always does, a forest never."
    )
    calibration_folds: int = Field(
        default=3, ge=0, le=20, description="Models trained on parts, to calibrate on the rest; 0 leaves raw scores."
    )
    threads: int = Field(default=1, ge=1, le=256, description="Of training.")

    @property
    def kind(self) -> Kind:
        """Which artifact it becomes; "other" cannot be exported."""
        from training.models.estimators import FORESTS

        if self.estimator == NETWORK:
            return "network"
        return "forest" if self.estimator in FORESTS else "other"

    @property
    def network(self) -> NetworkParameters:
        """The parameters of a network, with defaults filled in."""
        return NetworkParameters.model_validate(self.parameters)

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        from training.models.estimators import make_classifier
        from training.models.imbalance import check_strategy

        if self.estimator == NETWORK:
            try:
                NetworkParameters.model_validate(self.parameters)
            except ValidationError as error:
                raise ConfigError(_problems(error, "parameters.")) from error
        else:
            make_classifier(self.estimator, self.parameters, seed=0, threads=1)
        if self.scale and self.kind == "forest":
            raise ValueError("scale: a forest takes features as they are; leave it out")
        check_strategy(self)
        return self


def preset_names() -> tuple[str, ...]:
    """Names of the configurations that ship."""
    folder = resources.files("training.models") / "presets"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_config(name_or_path: str | Path) -> ModelConfig:
    """Read a preset by its name, or a YAML file by its path.

    Raises
    ------
    ConfigError
        No such preset or file, not YAML, or wrong values: each with its path and what is allowed.
    """
    text = str(name_or_path)
    if re.fullmatch(r"[a-z0-9_-]+", text):
        if text not in preset_names():
            raise ConfigError(
                f"there is no model {text!r}; there are {', '.join(preset_names())}, or give the path of a .yaml file"
            )
        content = (resources.files("training.models") / "presets" / f"{text}.yaml").read_text(encoding="utf-8")
    else:
        try:
            content = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the model configuration {text} cannot be read: {error}") from error
    try:
        values = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ConfigError(f"{text} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{text} holds {type(values).__name__}, needed are fields such as name and estimator")
    return _validated(values, text)


def save_config(config: ModelConfig, path: Path, comment: str = "") -> None:
    """Write a configuration that :func:`load_config` reads, in one step.

    Raises
    ------
    ConfigError
        When the file cannot be written.
    """
    values = config.model_dump(mode="json", exclude_unset=False)
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    try:
        with atomic_file(path) as stream:
            stream.write((head + yaml.safe_dump(values, sort_keys=False)).encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; check space and permissions") from error


def with_values(config: ModelConfig, values: dict[str, Value]) -> ModelConfig:
    """A copy with some values replaced, each named by its dotted path, such as ``parameters.max_depth``.

    Raises
    ------
    ConfigError
        When the result is not a valid configuration.
    """
    dumped = config.model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")
        place = dumped
        for parent in parents:
            place = place[parent]
        place[last] = value
    return _validated(dumped, config.name)


def _validated(values: dict[str, Any], source: str) -> ModelConfig:
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"the model configuration {source} is wrong: {_problems(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"the model configuration {source} is wrong: {error}") from error


def _problems(error: ValidationError, prefix: str = "") -> str:
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        place = prefix + ".".join(str(part) for part in item["loc"])
        extra = item["type"] == "extra_forbidden"
        known = NetworkParameters.model_fields if prefix else ModelConfig.model_fields
        allowed = f" (there are {', '.join(known)})" if extra and len(item["loc"]) == 1 else ""
        found.append(f"{place}: {item['msg'].removeprefix('Value error, ')}{allowed}".removeprefix(": "))
    return "; ".join(found)
