"""The 21 features of transactions for other users of Feast: what the generated on-demand feature view calls.

Feast's feature server needs this package for it, and no pseudonym key: it reads the states by their hashed keys.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from bentos.core.errors import DataError
from bentos.core.features.definitions import FEATURES
from bentos.core.features.history import KINDS, KeyKind
from bentos.core.features.online import feature_columns
from bentos.core.features.pseudonyms import KEY_BYTES
from bentos.fraud.store.embedded import ROW
from bentos.fraud.store.feast_state import unpacked_state
from bentos.fraud.store.feast_views import REQUEST, VIEWS
from bentos.fraud.store.file import now_microseconds
from bentos.fraud.store.workbench import Workbench

__all__ = ["transaction_features"]

#: Of a lone row's keys on the bench; nothing stays there.
_KEYS: Final = tuple(bytes([number + 1]) * KEY_BYTES for number in range(len(KINDS)))
#: Identity of a transaction that no state holds.
_NEW: Final = 1
_LOCK: Final = threading.Lock()
_TIME, _OFFSET, _AMOUNT, *_COORDINATES = (field.name for field in REQUEST)


@cache
def _bench() -> Workbench:
    return Workbench()


def transaction_features(inputs: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    """Features of n transactions that are not recorded.

    Parameters
    ----------
    inputs
        Of each name in ``REQUEST``, and of the state of each view, n values. A coordinate may be NaN or None; a key
        that is not known has the state None.

    Returns
    -------
    Of each feature n values; NaN where the key's state cannot be read.
    """
    count = len(inputs[_TIME])
    rows = [[inputs[VIEWS[kind].state][number] for kind in KINDS] for number in range(count)]
    time = np.array(inputs[_TIME], np.int64)
    amount = np.array(inputs[_AMOUNT], np.float64)
    found = [_statistics(*one) for one in zip(rows, time.tolist(), amount.tolist(), strict=True)]
    places = np.array([inputs[name] for name in _COORDINATES], np.float64)
    offset = np.array(inputs[_OFFSET], np.int64)
    values = feature_columns(time, offset, amount, places, np.column_stack([one for one, _ in found]))
    for number, (_, lost) in enumerate(found):
        values[number, [feature.source in lost for feature in FEATURES]] = np.nan
    return {feature.name: values[:, column].tolist() for column, feature in enumerate(FEATURES)}


def _statistics(states: Sequence[bytes | None], time: int, amount: float) -> tuple[Any, set[str]]:
    lost = set()
    with _LOCK:
        bench = _bench()
        try:
            for kind, key, data in zip(KINDS, _KEYS, states, strict=True):
                if not _laid_out(bench, kind, key, data or b""):
                    lost.add(kind.name)
            statistics, _ = bench.look_up(ROW.pack(*_KEYS, _NEW, time, amount, False), 1, now_microseconds())
        finally:
            bench.clear(_KEYS)
    return statistics[:, 0], lost


def _laid_out(bench: Workbench, kind: KeyKind, key: bytes, data: bytes) -> bool:
    try:
        state = unpacked_state(data)
    except DataError:
        return False
    return not len(state.cells) or bench.put(kind, key, state.cells, state.buckets)
