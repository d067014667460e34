"""Transactions for benchmarks."""

from __future__ import annotations

import pandas as pd

from bentos.core.settings import TrainingSettings, load_settings

HANDBOOK_ROWS = 1_754_155


def benchmark_transactions() -> pd.DataFrame:
    """The handbook's transactions as a canonical table, or as many synthetic ones."""
    folder = load_settings(TrainingSettings).shared_data / "fdh"
    if (folder / "fdh_transactions_raw.parquet").is_file():
        from bentos.core.ingest.sources import ingest_table

        return ingest_table([folder / "fdh_transactions_raw.parquet"], "fdh")
    from training.data.synthetic import generate_table

    return generate_table(rows=HANDBOOK_ROWS, seed=0)
