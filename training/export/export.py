"""From a trained model to the artifact that is served: built, compared with the trained model, written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.core.artifact import (
    ArtifactContents,
    Distributions,
    ModelCard,
    Thresholds,
    reference_categories,
    reference_histogram,
    write_artifact,
)
from bentos.core.errors import ConfigError, DataError
from bentos.core.explain import load_explainer, scale_rows
from bentos.core.features import FEATURE_NAMES
from training.export.explainer_arrays import forest_arrays, fraud_column, network_arrays
from training.export.graph import model_bytes
from training.export.onnx_calibration import calibration_nodes
from training.export.onnx_forest import forest_nodes
from training.export.onnx_network import network_nodes
from training.export.parity import Parity, check_contributions, check_scores, run_onnx
from training.export.parity_rows import parity_rows, training_sample
from training.export.reference import shap_of_forest, shap_of_network

if TYPE_CHECKING:
    from training.models.trained import TrainedModel

__all__ = ["Export", "ExportOptions", "build_export", "export_model"]

Rows = NDArray[np.float32]

#: The first rows of a comparison: defaults, extremes, amounts.
_MADE_UP_ROWS = 8


@dataclass(frozen=True)
class ExportOptions:
    """What is left to choose.

    Attributes
    ----------
    reference_scores
        Calibrated scores [n] that become the reference for drift of the score, best of held-out transactions; None
        takes those of the training rows, which a forest knows by heart.
    categories
        Of the training rows' merchants, [n], which become the reference for drift of categories; None leaves the
        artifact without one.
    background_rows
        Training rows that a network's contributions are averaged over.
    parity_rows
        Training rows among those on which export and model are compared; as many splits are tried.
    shap_rows
        How many of all of these shap explains too, at some milliseconds each.
    seed
        Of the choice of rows.
    """

    reference_scores: NDArray[np.float64] | None = None
    categories: Sequence[str] | None = None
    background_rows: int = 100
    parity_rows: int = 200
    shap_rows: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Export:
    """A model in the form that is served, proven equal to the trained one."""

    kind: Literal["forest", "network"]
    onnx: bytes
    explainer: dict[str, NDArray[Any]]
    parity: Parity


def export_model(
    model: TrainedModel,
    rows: pd.DataFrame | NDArray[Any],
    labels: NDArray[Any] | pd.Series[bool],
    folder: Path,
    card: ModelCard,
    thresholds: Thresholds,
    *,
    private_key: bytes | None = None,
    options: ExportOptions | None = None,
) -> Path:
    """Export a trained model as an artifact.

    Parameters
    ----------
    rows
        The training rows: [n, 21], or a table with the 21 features among its columns. Their distributions become the
        reference for drift.
    labels
        [n], whether each is a fraud.
    folder
        Of the artifact; an artifact that is there is replaced.
    private_key
        32 bytes of an Ed25519 key to sign with.
    options
        None means the defaults.

    Returns
    -------
    The folder.

    Raises
    ------
    ConfigError
        A model of a kind that cannot be served.
    DataError
        Rows and labels that do not fit.
    ParityError
        The export differs from the trained model; nothing is written.
    ArtifactError
        The folder cannot be written; what stood there is untouched.
    """
    chosen = options or ExportOptions()
    given, known = _checked(rows, labels)
    export = build_export(model, given, known, chosen)
    scores = model.score(given) if chosen.reference_scores is None else chosen.reference_scores
    hours = given[:, FEATURE_NAMES.index("hour")]
    distributions = Distributions(
        features={name: reference_histogram(given[:, i]) for i, name in enumerate(FEATURE_NAMES)},
        score=reference_histogram(scores),
        merchant_category=None if chosen.categories is None else reference_categories(chosen.categories, hours),
    )
    contents = ArtifactContents(
        kind=export.kind,
        onnx=export.onnx,
        explainer=export.explainer,
        distributions=distributions,
        thresholds=thresholds,
        card=card,
    )
    write_artifact(folder, contents, private_key=private_key)
    return folder


def build_export(model: TrainedModel, rows: Rows, labels: NDArray[np.bool_], options: ExportOptions) -> Export:
    """ONNX model and explainer arrays of a trained model, compared with it on rows where exports go wrong.

    Raises
    ------
    ConfigError, ParityError
        As :func:`export_model`.
    """
    rng = np.random.default_rng(options.seed)
    build = _BUILDERS.get(model.kind)
    if build is None:
        name = type(model.pipeline[-1]).__name__
        raise ConfigError(
            f"a {name} can be trained and compared but not served; served are forests (RandomForestClassifier,"
            " ExtraTreesClassifier, BalancedRandomForestClassifier) and networks (FraudNetwork)"
        )
    background = rows[np.sort(rng.permutation(len(rows))[: options.background_rows])]
    built = build(model, background)
    calibration, constants = calibration_nodes(model.calibration)
    content = model_bytes([*built.nodes, *calibration], [*built.initializers, *constants], len(FEATURE_NAMES))

    sample = training_sample(rows, labels, options.parity_rows, rng)
    trial = parity_rows(sample, built.forest, options.parity_rows, rng)
    # shap takes milliseconds a row; a few of every kind are enough for it.
    some = np.concatenate([np.arange(len(trial))[:_MADE_UP_ROWS], rng.permutation(len(trial))[: options.shap_rows]])
    referenced = np.unique(some).astype(np.int64)
    raw, score = run_onnx(content, trial)
    raw_difference, score_difference = check_scores(model, raw, score, trial)
    explainer = load_explainer(built.kind, built.arrays)
    contribution, additivity = check_contributions(
        explainer, built.reference(trial[referenced]), raw, trial, referenced
    )
    parity = Parity(len(trial), raw_difference, score_difference, contribution, additivity)
    return Export(built.kind, content, built.arrays, parity)


@dataclass(frozen=True)
class _Built:
    kind: Literal["forest", "network"]
    arrays: dict[str, NDArray[Any]]
    nodes: list[Any]
    initializers: list[Any]
    reference: Callable[[Rows], NDArray[np.float64]]
    forest: Any | None


def _build_forest(model: TrainedModel, background: Rows) -> _Built:  # noqa: ARG001 - a forest needs none
    forest = _only_steps(model, ())
    if not hasattr(forest, "estimators_"):
        raise ConfigError(f"a {type(forest).__name__} is not a fitted forest; fit the model before it is exported")
    arrays = forest_arrays(forest)
    column = fraud_column(forest.classes_)
    return _Built("forest", arrays, *forest_nodes(arrays), lambda rows: shap_of_forest(forest, rows, column), forest)


def _build_network(model: TrainedModel, background: Rows) -> _Built:
    network = _only_steps(model, ("log_", "mean_", "scale_", "clip"))
    scaler = next(step for _, step in model.pipeline.steps if hasattr(step, "log_"))
    layers, column = network.module_.layers, fraud_column(network.classes_)
    arrays = network_arrays(scaler, layers, column, background)

    def reference(rows: Rows) -> NDArray[np.float64]:
        scaled = scale_rows(rows, arrays["log"], arrays["mean"], arrays["scale"], float(arrays["clip"]))
        return shap_of_network(layers, arrays["background"], scaled, column)

    return _Built("network", arrays, *network_nodes(arrays), reference, None)


def _only_steps(model: TrainedModel, scaler: tuple[str, ...]) -> Any:
    """The pipeline's last step, when nothing before it changes rows but a scaler with these attributes, if any."""
    steps = [(name, step) for name, step in model.pipeline.steps[:-1] if step not in (None, "passthrough")]
    changing = [(name, step) for name, step in steps if not hasattr(step, "fit_resample")]
    if len(changing) != bool(scaler) or any(not hasattr(step, name) for _, step in changing for name in scaler):
        raise ConfigError(
            f"a {model.kind} behind the steps {[name for name, _ in changing]} can be trained and compared but not"
            " served; a forest is served on the features as they are, a network behind one ElementwiseScaler"
        )
    return model.pipeline.steps[-1][1]


_BUILDERS: dict[str, Callable[[Any, Rows], _Built]] = {"forest": _build_forest, "network": _build_network}


def _checked(rows: pd.DataFrame | NDArray[Any], labels: Any) -> tuple[Rows, NDArray[np.bool_]]:
    if isinstance(rows, pd.DataFrame):
        missing = [name for name in FEATURE_NAMES if name not in rows.columns]
        if missing:
            raise DataError(
                f"the training rows lack the features {missing}; compute them with `python -m training features`"
            )
        rows = rows[list(FEATURE_NAMES)].to_numpy(dtype=np.float64)
    known = np.asarray(labels).astype(bool)
    if rows.ndim != 2 or rows.shape[1] != len(FEATURE_NAMES) or known.shape != (len(rows),) or not len(rows):
        raise DataError(
            f"training rows of the shape {rows.shape} with labels of {known.shape}; needed are"
            f" [n, {len(FEATURE_NAMES)}] and [n], n at least 1"
        )
    with np.errstate(over="ignore"):
        given = np.ascontiguousarray(rows, dtype=np.float32)
    if not np.isfinite(given).all():
        raise DataError("a training row holds a value that is not finite, which no feature ever is")
    return given, known
