"""FastAPI with onnxruntime: the fastest plain way."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from tests.benchmarks.load.peers.model import decide, load_session

_SESSION = load_session()

app = FastAPI()


class Row(BaseModel):
    """21 features."""

    features: list[float]


class Answer(BaseModel):
    """A score and what follows from it."""

    score: float
    decision: str


@app.get("/readyz")
async def ready() -> None:
    """Loaded."""


@app.post("/predict")
async def predict(row: Row) -> Answer:
    """Score one row."""
    (scores,) = _SESSION.run(["score"], {"features": np.array([row.features], np.float32)})
    score = float(scores[0])
    return Answer(score=score, decision=decide(score))
