"""What the process that records does for a challenger in the shadow: copies out, pairs in.

Copies are made from what has just been recorded, with the feature row that the champion's score was made from. So the
hot path has no part in it, both models see the same features whatever has happened since, and a transaction whose
prediction is not kept has no pair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry

from bentos.core.errors import Unavailable
from bentos.core.lots import Lots
from bentos.fraud.records.database import Database
from bentos.fraud.records.pairs import Pair, PairWriter
from bentos.fraud.records.values import COLUMNS, Values
from bentos.fraud.shadow.metrics import ShadowMetrics, declare_shadow_metrics
from bentos.fraud.shadow.sender import Copy, Dropped, Reason, Sender
from bentos.fraud.shadow.settings import ShadowSettings

__all__ = ["ShadowDesk", "open_shadow"]

_PURPOSE: Final = "shadow copies"
_ROLE: Final = "champion"
#: How long a process that ends waits for what the challenger has yet to score.
_DRAIN_SECONDS: Final = 2.0
_NAMES: Final = (
    *("transaction_id", "model_name", "model_version", "created_at", "score", "decision", "features"),
    *("role", "raw_score", "block_review_share"),
)
_PLACES: Final = tuple(COLUMNS.index(name) for name in _NAMES)


class ShadowDesk:
    """See :class:`.recorder.Copies`. Belongs to one thread.

    Parameters
    ----------
    settings
        Share and sizes.
    sender
        Has copies scored; closed with this.
    writer
        Records pairs.
    metrics
        What is counted.
    """

    def __init__(self, settings: ShadowSettings, sender: Sender, writer: PairWriter, metrics: ShadowMetrics) -> None:
        self._share = settings.shadow_share
        self._limit = settings.shadow_queue_rows
        self._lots = Lots(settings.pseudonym_key.get_secret_value(), _PURPOSE)
        self._sender = sender
        self._writer = writer
        self._metrics = metrics
        #: Scored, and not recorded yet: the database is down.
        self._unrecorded: list[Pair] = []
        self._drain_until: float | None = None

    @property
    def waiting(self) -> int:
        """Copies that have neither been dropped nor become recorded pairs."""
        return self._sender.waiting + len(self._unrecorded)

    def offer(self, records: Sequence[Values]) -> None:
        """Send copies of what was recorded; what finds no room is dropped and counted."""
        copies: list[Copy] = []
        unscored: list[Copy] = []
        for record in records:
            *found, role, raw, reviewed = [record[place] for place in _PLACES]
            copy = Copy(*found)
            if role != _ROLE or (self._share < 1 and not self._lots.drawn(copy.transaction_id, self._share)):
                continue
            if reviewed is not None:
                # By chance; the model would have blocked it.
                copy = copy._replace(decision="block")
            (copies if raw is not None else unscored).append(copy)
        self._drop(unscored, "unscored")
        room = max(self._limit - self.waiting, 0)
        self._drop(copies[room:], "queue")
        if room and copies:
            self._sender.offer(copies[:room])

    def settle(self) -> None:
        """Record pairs, and count them and what was dropped."""
        for outcome in self._sender.outcomes():
            if isinstance(outcome, Dropped):
                self._drop(outcome.copies, outcome.reason)
            else:
                self._unrecorded += outcome
        if not self._unrecorded:
            return
        try:
            written = self._writer.write(self._unrecorded)
        except Unavailable:
            # The predictions wait for it too, and their writer tells.
            return
        self._unrecorded = []
        self._drop(written.lost, "unrecorded")
        by_models: dict[tuple[str, str, str], list[Pair]] = defaultdict(list)
        for pair in written.new:
            by_models[pair.model_name, pair.model_version, pair.challenger_version].append(pair)
        for (name, version, challenger), pairs in by_models.items():
            self._metrics.paired((name, version, _ROLE), challenger, pairs)

    def drains(self) -> bool:
        """Whether something waits still, for two seconds from the first time this is asked."""
        now = monotonic()
        if self._drain_until is None:
            self._drain_until = now + _DRAIN_SECONDS
        return now < self._drain_until and self.waiting > 0

    def close(self) -> None:
        """End the sender, record what it got, and count what it did not."""
        self._sender.close()
        self.settle()
        self._drop(self._unrecorded, "unrecorded")
        self._unrecorded = []

    def _drop(self, copies: Sequence[Copy | Pair], reason: Reason) -> None:
        for (name, version), count in Counter((copy.model_name, copy.model_version) for copy in copies).items():
            self._metrics.dropped(reason, (name, version, _ROLE), count)


def open_shadow(settings: ShadowSettings, database: Database, registry: CollectorRegistry) -> ShadowDesk | None:
    """As the settings say; None when there is no challenger in the shadow.

    Parameters
    ----------
    settings
        Of the service.
    database
        Of the records; closed by its owner.
    registry
        Where its metrics belong to.
    """
    if not settings.shadow_url:
        return None
    return ShadowDesk(settings, Sender(settings), PairWriter(database), declare_shadow_metrics(registry))
