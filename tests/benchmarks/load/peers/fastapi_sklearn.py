"""FastAPI with the fitted forest, and with shap.TreeExplainer for reasons."""

from __future__ import annotations

import numpy as np
import shap
from fastapi import FastAPI
from pydantic import BaseModel

from bentos.core.features import FEATURE_NAMES
from tests.benchmarks.load.peers.model import decide, load_forest

_FOREST = load_forest()
_EXPLAINER = shap.TreeExplainer(_FOREST)

app = FastAPI()


class Row(BaseModel):
    """21 features."""

    features: list[float]


class Answer(BaseModel):
    """A score and what follows from it."""

    score: float
    decision: str


class ExplainedAnswer(Answer):
    """And the three features that moved it most."""

    reasons: dict[str, float]


@app.get("/readyz")
async def ready() -> None:
    """Loaded."""


@app.post("/predict")
async def predict(row: Row) -> Answer:
    """Score one row."""
    score = float(_FOREST.predict_proba(np.array([row.features], np.float32))[0, 1])
    return Answer(score=score, decision=decide(score))


@app.post("/explain")
async def explain(row: Row) -> ExplainedAnswer:
    """Score one row and say why."""
    rows = np.array([row.features], np.float32)
    score = float(_FOREST.predict_proba(rows)[0, 1])
    values = _EXPLAINER.shap_values(rows, check_additivity=False)[0, :, 1]
    largest = np.argsort(-np.abs(values))[:3].tolist()
    reasons = {FEATURE_NAMES[column]: float(values[column]) for column in largest}
    return ExplainedAnswer(score=score, decision=decide(score), reasons=reasons)
