"""Classifiers by name: which classes a configuration may ask for, and which parameters they take."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

from bentos.core.errors import ConfigError

__all__ = ["FORESTS", "allowed_parameters", "classifier_class", "make_classifier"]

#: Ensembles of sklearn's trees that the artifact can hold.
FORESTS: Final = (
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.ExtraTreesClassifier",
    "imblearn.ensemble.BalancedRandomForestClassifier",
)

_PACKAGES: Final = ("sklearn", "imblearn")
_PATH: Final = re.compile(r"(sklearn|imblearn)(\.[a-z][a-z_0-9]*)*\.[A-Z][A-Za-z0-9]*")
#: Set by the training itself.
_RESERVED: Final = ("random_state", "n_jobs", "verbose", "warm_start", "class_weight", "sampling_strategy")
_REPLACED: Final = {
    "random_state": "the command's --seed",
    "n_jobs": "`threads`",
    "verbose": "nothing, progress is shown anyway",
    "warm_start": "nothing, training starts anew",
    "class_weight": "`imbalance: {strategy: class_weight, weight: …}`",
    "sampling_strategy": "`imbalance: {strategy: balanced_forest, ratio: …}`",
}


def classifier_class(path: str) -> type[Any]:
    """The classifier that a dotted path names.

    Only public classes of sklearn and imblearn: a configuration is data and must not run other code.

    Raises
    ------
    ConfigError
        Not such a path, no such class, or a class that is no classifier with probabilities.
    """
    if not _PATH.fullmatch(path):
        raise ConfigError(
            f"estimator {path!r} is not allowed; it is `network` or a class of {' or '.join(_PACKAGES)} by its full"
            f" name, such as {FORESTS[0]}"
        )
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"estimator {path!r} does not exist in the installed version: {error}") from error
    from sklearn.base import BaseEstimator, is_classifier

    home = getattr(found, "__module__", "").partition(".")[0]
    if not (inspect.isclass(found) and issubclass(found, BaseEstimator) and home in _PACKAGES):
        raise ConfigError(f"estimator {path!r} is no estimator of {' or '.join(_PACKAGES)}; name a classifier's class")
    try:
        instance = found()
    except TypeError as error:
        raise ConfigError(
            f"estimator {path!r} wraps another estimator, which a configuration cannot express; name the inner one"
        ) from error
    if not is_classifier(instance):
        raise ConfigError(f"estimator {path!r} is not a classifier; name one, such as {FORESTS[0]}")
    return found


def allowed_parameters(kind: type[Any]) -> tuple[str, ...]:
    """Names that a configuration may set on a class of estimators, sorted."""
    return tuple(sorted(name for name in kind().get_params(deep=False) if name not in _RESERVED))


def make_classifier(path: str, parameters: Mapping[str, Any], *, seed: int, threads: int) -> Any:
    """A classifier that is not fitted yet.

    Raises
    ------
    ConfigError
        As :func:`classifier_class`; a parameter that it does not have, with those it has; a class whose instance
        gives no probabilities.
    """
    kind = classifier_class(path)
    allowed = allowed_parameters(kind)
    for name in parameters:
        if name in _RESERVED:
            raise ConfigError(f"parameters.{name} is set by the training; use {_REPLACED[name]} instead")
    unknown = sorted(set(parameters) - set(allowed))
    if unknown:
        raise ConfigError(f"{kind.__name__} has no parameter {', '.join(unknown)}; it has {', '.join(allowed)}")
    estimator = kind(**parameters)
    if not hasattr(estimator, "predict_proba"):
        raise ConfigError(
            f"{kind.__name__} gives no probabilities with these parameters; choose a classifier with predict_proba"
        )
    own = estimator.get_params(deep=False)
    if "random_state" in own:
        estimator.set_params(random_state=seed)
    if path in FORESTS:  # elsewhere n_jobs does little, or is on its way out
        estimator.set_params(n_jobs=threads)
    return estimator
