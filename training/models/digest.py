"""A digest of what a model has learned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, Final

import numpy as np

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from training.models.trained import TrainedModel

__all__ = ["model_digest"]

#: Where sklearn keeps trees of gradient boosting and rows of neighbours.
_PRIVATE: Final = ("_predictors", "_baseline_prediction", "_fit_X", "_y")


def model_digest(trained: TrainedModel) -> str:
    """SHA-256 over every learned number of a model, 64 hexadecimal digits.

    Equal digests are equal models. Numbers are hashed, not a pickle, whose bytes depend on versions, on memory layout
    and on padding that nobody set.

    Raises
    ------
    DataError
        When the model holds learned state that is not made of numbers, so that nothing can be said.
    """
    digest = hashlib.sha256()
    calibration = trained.calibration
    known: dict[str, Any] = {
        "kind": trained.kind,
        "calibration": [calibration.input, calibration.slope, calibration.intercept, calibration.shrink],
        "steps": [_learned(step) for _, step in trained.pipeline.steps if not hasattr(step, "fit_resample")],
    }
    if trained.kind == "other":
        # Some estimators keep what they learned under private names; what they say of any rows tells it too.
        known["scores"] = trained.raw_score(np.random.default_rng(0).lognormal(1, 2, (512, len(FEATURE_NAMES))))
    for piece in _walk(known, "model"):
        digest.update(piece)
    return digest.hexdigest()


def _learned(step: Any) -> Any:
    """A step's learned state: a network's tensors, or what an estimator has besides its parameters."""
    module = getattr(step, "module_", None)
    if module is not None:
        return {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    if hasattr(step, "steps"):
        return {name: _learned(inner) for name, inner in step.steps if not hasattr(inner, "fit_resample")}
    return {
        name: value
        for name, value in vars(step).items()
        if (name.endswith("_") and not name.startswith("_")) or name in _PRIVATE
    }


def _walk(value: Any, path: str) -> Iterator[bytes]:
    """Names and contents, in an order that depends on nothing but the content."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        # Field by field: the padding between the fields of a tree's node is whatever lay in memory.
        for name in value.dtype.names:
            yield from _walk(np.ascontiguousarray(value[name]), f"{path}.{name}")
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{path} {value.dtype.str} {value.shape}\n".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif value is None or isinstance(value, str | bytes | Number | np.generic):
        yield f"{path} {value!r}\n".encode()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield from _walk(value[key], f"{path}[{key!r}]")
    elif isinstance(value, list | tuple | np.ndarray):
        yield f"{path} {len(value)} items\n".encode()
        for place, item in enumerate(value):
            yield from _walk(item, f"{path}[{place}]")
    elif type(value).__module__.partition(".")[0] in ("sklearn", "imblearn"):
        yield from _walk(_state(value, path), f"{path}<{type(value).__name__}>")
    else:
        raise DataError(f"{path} is a {type(value).__name__}, of which no digest can be made; use another classifier")


def _state(value: Any, path: str) -> Mapping[str, Any]:
    """State of an object of sklearn: of an estimator what it learned, of anything else all of it."""
    if hasattr(value, "get_params"):
        return dict(_learned(value))
    state = value.__getstate__() if hasattr(value, "__getstate__") else vars(value)
    if isinstance(state, tuple):
        state = dict(enumerate(state))
    if not isinstance(state, Mapping):
        raise DataError(f"{path} is a {type(value).__name__}, which does not tell its state; use another classifier")
    return state
