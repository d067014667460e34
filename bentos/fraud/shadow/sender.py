"""Has copies scored by the challenger, in a thread of its own: whoever hands them over never waits for it.

What cannot be scored is dropped and told, with the reason. After three failures in a row the challenger is left alone
but for one call a second; what comes meanwhile is dropped as well.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from bentos.core.answers import Decision, ThresholdPair
from bentos.core.errors import ConfigError, FraudError
from bentos.fraud.records.pairs import Pair
from bentos.fraud.remote.channel import Busy, Late, Refused, Unknown, Unsuited
from bentos.fraud.scorer import decide
from bentos.fraud.shadow.link import ShadowLink
from bentos.fraud.shadow.settings import ShadowSettings
from bentos.fraud.store.breaker import Breaker
from bentos.protos._generated.fraud.v1.shadow_pb2 import ScoreResponse

__all__ = ["Copy", "Dropped", "Reason", "Sender"]

#: Why a copy gave no pair:
#:
#: queue        too many waited
#: unscored     the champion's model had no score; the rules answered
#: late         the challenger took longer than FRAUD_SHADOW_TIMEOUT_MILLISECONDS
#: overloaded   it shed load
#: unavailable  it could not be reached, or could not score
#: refused      it knows no such key or call
#: schema       its model was made for other features
#: invalid      it gave what is no score
#: unrecorded   the pair could not be recorded, or its prediction is not
#: stopped      this server stopped
Reason: TypeAlias = Literal[
    "queue",
    "unscored",
    "late",
    "overloaded",
    "unavailable",
    "refused",
    "schema",
    "invalid",
    "unrecorded",
    "stopped",
]


class _Invalid(FraudError):
    """An answer that is none."""


_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (Late, "late"),
    (Busy, "overloaded"),
    (Refused, "refused"),
    (Unknown, "refused"),
    (ConfigError, "refused"),
    (Unsuited, "schema"),
    (_Invalid, "invalid"),
)
_FAILURES: Final = 3
_LOOK_SECONDS: Final = 1.0
#: How long the thread may take to end once its call has been ended.
_STOP_SECONDS: Final = 2.0
_LOGGER = logging.getLogger(__name__)


class Copy(NamedTuple):
    """What the champion answered, as far as a pair needs it; see :class:`.Pair`."""

    transaction_id: str
    model_name: str
    model_version: str
    created_at: int
    score: float
    decision: Decision
    #: float64, little-endian, in the order of the features: those that the champion's score was made from.
    features: bytes


class Dropped(NamedTuple):
    """Copies that give no pairs, and why."""

    copies: Sequence[Copy | Pair]
    reason: Reason


class Sender:
    """The thread. Its methods are called by one other.

    Parameters
    ----------
    settings
        With a URL.
    """

    def __init__(self, settings: ShadowSettings) -> None:
        self._settings = settings
        self._breaker = Breaker(_FAILURES)
        self._reason: Reason = "unavailable"
        #: Whether it was told that the challenger is left alone.
        self._left = False
        self._link: ShadowLink | None = None
        self._copies: deque[Copy] = deque()
        self._outcomes: deque[Sequence[Pair] | Dropped] = deque()
        # Each is written by one thread only.
        self._taken = 0
        self._told = 0
        self._filled = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="shadow-sender", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Copies whose outcomes have not been taken."""
        return self._taken - self._told

    def offer(self, copies: Sequence[Copy]) -> None:
        """Take copies to be sent."""
        self._taken += len(copies)
        self._copies.extend(copies)
        self._filled.set()

    def outcomes(self) -> Iterator[Sequence[Pair] | Dropped]:
        """What has become of copies since the last time."""
        while self._outcomes:
            outcome = self._outcomes.popleft()
            self._told += len(outcome.copies if isinstance(outcome, Dropped) else outcome)
            yield outcome

    def close(self) -> None:
        """End the thread; what waited is among the outcomes afterwards."""
        self._stopping = True
        self._filled.set()
        link = self._link
        if link is not None:
            link.close()
        self._thread.join(_STOP_SECONDS)
        rest = list(self._copies)
        self._copies.clear()
        if rest:
            self._outcomes.append(Dropped(rest, "stopped"))

    def _run(self) -> None:
        while not self._stopping:
            if not self._copies:
                self._filled.wait(_LOOK_SECONDS)
                self._filled.clear()
                continue
            size = min(len(self._copies), self._settings.shadow_batch_rows)
            self._outcomes.append(self._outcome([self._copies.popleft() for _ in range(size)]))

    def _outcome(self, batch: Sequence[Copy]) -> Sequence[Pair] | Dropped:
        if not self._breaker.allows():
            return Dropped(batch, self._reason)
        try:
            pairs = _pairs(batch, self._opened().score(b"".join(copy.features for copy in batch), len(batch)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next batch has its turn
            if self._stopping:
                # The call was ended.
                return Dropped(batch, "stopped")
            self._failed(error)
            return Dropped(batch, self._reason)
        self._breaker.worked()
        if self._left:
            self._left = False
            _LOGGER.info("the challenger at %s scores copies again", self._settings.shadow_url)
        return pairs

    def _opened(self) -> ShadowLink:
        if self._link is None:
            self._link = ShadowLink(self._settings)
        return self._link

    def _failed(self, error: Exception) -> None:
        self._reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "unavailable")
        if self._breaker.failed(str(error)) and not self._left:
            self._left = True
            detail = str(error) if isinstance(error, FraudError) else type(error).__name__
            _LOGGER.warning(
                "the challenger at %s scores no copies, they are dropped: %s", self._settings.shadow_url, detail
            )


def _pairs(batch: Sequence[Copy], response: ScoreResponse) -> list[Pair]:
    if len(response.scores) != len(batch):
        raise _Invalid(f"{len(response.scores)} scores came for {len(batch)} rows")
    if not all(0.0 <= score <= 1.0 for score in response.scores):
        # NaN fails the comparison too, and would be approved.
        raise _Invalid("it gave scores that are not numbers from 0 to 1")
    thresholds = ThresholdPair(review=response.review, block=response.block)
    return [
        Pair(
            transaction_id=copy.transaction_id,
            model_name=copy.model_name,
            model_version=copy.model_version,
            created_at=copy.created_at,
            champion_score=copy.score,
            champion_decision=copy.decision,
            challenger_name=response.model_name,
            challenger_version=response.model_version,
            challenger_score=score,
            challenger_decision=decide(score, thresholds),
        )
        for copy, score in zip(batch, response.scores, strict=True)
    ]
