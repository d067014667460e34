"""Replays a table through the store, as a service would see it: transactions and labels one by one in order of time."""

from __future__ import annotations

import heapq

import numpy as np
import pandas as pd

from bentos.core.features.history import KINDS, LABEL_DELAY_DAYS
from bentos.core.transaction import Transaction, microseconds
from tests.core.features.stored import Stored
from tests.core.features.tables import transactions


def replay(table: pd.DataFrame) -> tuple[np.ndarray, Stored]:
    """Feature rows float64 [n, 21] of a canonical table, each from the states before it; and the store at the end."""
    store = Stored()
    labels: list[tuple[int, int, Transaction]] = []
    rows = []
    for index, (item, row) in enumerate(zip(transactions(table), table.to_dict("records"), strict=True)):
        now = microseconds(item.timestamp)
        while labels and labels[0][0] <= now:
            arrival, other, labelled = heapq.heappop(labels)
            names = [getattr(labelled, kind.column) for kind in KINDS]
            store.label(names, other + 1, microseconds(labelled.timestamp), arrival)
        rows.append(store.ask([item], [index + 1])[0])
        if row["is_fraud"]:
            arrival = row["label_timestamp"]
            in_time = now + LABEL_DELAY_DAYS * 86_400_000_000
            heapq.heappush(labels, (in_time if pd.isna(arrival) else microseconds(arrival), index, item))
    return np.array(rows), store
