"""Replays a table through states, as a service would see it: transactions and labels one by one in order of time."""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np
import pandas as pd

from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, LABEL_DELAY_DAYS, MERCHANT, KeyKind
from bentos.core.features.online import Past, feature_rows
from bentos.core.features.state import Event, KeyState
from bentos.core.transaction import Transaction, microseconds
from tests.core.features.tables import transactions


class States:
    """Features of every key, in memory."""

    def __init__(self) -> None:
        self.by_kind: dict[KeyKind, defaultdict[str, KeyState]] = {kind: defaultdict(KeyState.empty) for kind in KINDS}

    def past(self, item: Transaction) -> Past:
        found = {kind: self.by_kind[kind][getattr(item, kind.column)] for kind in KINDS}
        return Past(found[CUSTOMER], found[MERCHANT], found[CATEGORY])

    def record(self, item: Transaction, identity: int) -> None:
        event = Event(microseconds(item.timestamp), item.amount, identity)
        for kind in KINDS:
            states, key = self.by_kind[kind], getattr(item, kind.column)
            states[key] = states[key].add(event, kind)

    def label(self, item: Transaction, identity: int, label_time: int) -> None:
        for kind in KINDS:
            states, key = self.by_kind[kind], getattr(item, kind.column)
            states[key] = states[key].label(identity, microseconds(item.timestamp), label_time)


def replay(table: pd.DataFrame) -> tuple[np.ndarray, States]:
    """Feature rows float64 [n, 21] of a canonical table, each from the states before it; and the states at the end."""
    states = States()
    labels: list[tuple[int, int, Transaction]] = []
    rows = []
    for index, (item, row) in enumerate(zip(transactions(table), table.to_dict("records"), strict=True)):
        now = microseconds(item.timestamp)
        while labels and labels[0][0] <= now:
            arrival, other, labelled = heapq.heappop(labels)
            states.label(labelled, other + 1, arrival)
        rows.append(feature_rows([item], [states.past(item)])[0])
        states.record(item, index + 1)
        if row["is_fraud"]:
            arrival = row["label_timestamp"]
            in_time = now + LABEL_DELAY_DAYS * 86_400_000_000
            heapq.heappush(labels, (in_time if pd.isna(arrival) else microseconds(arrival), index, item))
    return np.array(rows), states
