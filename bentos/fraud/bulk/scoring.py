"""The second step: the scores of one chunk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.core.answers import ReasonText
from bentos.core.errors import NotFound
from bentos.core.features.windows import FloatArray
from bentos.fraud.bulk.chunks import PLAN_FILE, features_name, read_features, read_plan, scored_name, write_table
from bentos.fraud.options import Explain
from bentos.fraud.scorer import Scorer

__all__ = ["SCORED", "needed", "score_chunk"]

SCORED: Final = pa.schema(
    [("score", pa.float64()), *((name, pa.string()) for name in ("decision", "reasons", "model_version"))]
)
#: By :func:`_decisions`' numbers.
_DECISIONS: Final = ("approve", "review", "block")
#: Rows of one call of the model.
_BLOCK: Final = 4096


def needed(chunk: int) -> tuple[str, ...]:
    """Names of the files that scoring a chunk reads."""
    return PLAN_FILE, features_name(chunk)


def score_chunk(scorer: Scorer, folder: Path, chunk: int) -> tuple[int, int]:
    """Score a chunk; returns its rows, and how many of them have no score."""
    plan = read_plan(folder)
    if plan is None or not 0 <= chunk < plan.chunks:
        raise NotFound(f"there is no chunk {chunk} in the plan of this work")
    values = read_features(folder / features_name(chunk))
    good = ~np.isnan(values[:, 0])
    score = np.full(len(values), np.nan)
    rows = values[good]
    score[good] = _scores(scorer, rows)
    decision = _decisions(scorer, score)
    reasons = np.full(len(values), None, object)
    reasoned = good & _reasoned(plan.explain, decision)
    reasons[reasoned] = _reasons(scorer, values[reasoned])
    table = pa.table(
        [
            pa.array(score, pa.float64(), mask=~good),
            pa.DictionaryArray.from_arrays(pa.array(decision, mask=~good), _DECISIONS).dictionary_decode(),
            pa.array(reasons, pa.string()),
            pc.if_else(pa.array(good), scorer.model.version, pa.scalar(None, pa.string())),
        ],
        schema=SCORED,
    )
    write_table(folder / scored_name(chunk), table)
    return len(values), int((~good).sum())


def _scores(scorer: Scorer, rows: FloatArray) -> FloatArray:
    parts = [scorer.score(rows[start : start + _BLOCK])[1] for start in range(0, len(rows), _BLOCK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _decisions(scorer: Scorer, score: FloatArray) -> NDArray[np.int8]:
    """As :func:`.scorer.decide`, for a column; places in :data:`_DECISIONS`."""
    thresholds = scorer.thresholds
    return np.select([score >= thresholds.block, score >= thresholds.review], [np.int8(2), np.int8(1)], np.int8(0))


def _reasoned(explain: Explain, decision: NDArray[np.int8]) -> NDArray[np.bool_]:
    if explain == "flagged":
        return decision > 0
    return np.full(len(decision), explain == "all")


def _reasons(scorer: Scorer, rows: FloatArray) -> list[str]:
    texts = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        for row, contributions in zip(block, scorer.contributions(block), strict=True):
            texts.append(json.dumps([_reason(one) for one in scorer.reasons(row, contributions)], ensure_ascii=False))
    return texts


def _reason(reason: object) -> dict[str, object]:
    return {name: getattr(reason, name) for name in ReasonText.model_fields}
