"""Files of transactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bentos.core.transaction import TRANSACTION_COLUMNS
from bentos.fraud.bulk.pipeline import Pipeline
from training.data.synthetic import generate_table


def transactions(rows: int, seed: int = 0) -> pd.DataFrame:
    """A canonical table without labels, in order of time."""
    return generate_table(rows=rows, seed=seed)[list(TRANSACTION_COLUMNS)].reset_index(drop=True)


def as_sent(table: pd.DataFrame) -> pd.DataFrame:
    """The same transactions with the columns of a caller's file."""
    offset = table["utc_offset_seconds"].astype(int)
    local = table["timestamp"].dt.tz_convert(None) + pd.to_timedelta(offset, unit="s")
    size = offset.abs()
    zone = (size // 3600).astype(str).str.zfill(2) + ":" + (size % 3600 // 60).astype(str).str.zfill(2)
    text = local.dt.strftime("%Y-%m-%dT%H:%M:%S.%f") + np.where(offset < 0, "-", "+") + zone
    return table.drop(columns=["utc_offset_seconds"]).assign(timestamp=text)


def scored(pipeline: Pipeline, source: Path, form: str, folder: Path, explain: str = "flagged") -> pd.DataFrame:
    """The result of all steps."""
    plan = pipeline.plan(source, form, folder, explain)  # type: ignore[arg-type]
    for chunk in range(plan.chunks):
        pipeline.score(folder, chunk)
    return pq.read_table(pipeline.finish(folder, plan.chunks)).to_pandas()


def feature_values(folder: Path) -> np.ndarray:
    """All feature rows of a work folder, in order of the input."""
    return np.concatenate([np.load(path) for path in sorted(folder.glob("features-*.npy"))])
