"""What a transport is given to send, and what comes of it; the seam between the calls and the transports."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeAlias, TypeVar

from bentos.core.answers import Explanation, Health, Prediction
from bentos.core.errors import FraudError
from bentos.core.jobs import Job, ResultForm, SourceForm
from bentos.core.records import Label, LabelOutcome
from bentos.core.transaction import Transaction

if TYPE_CHECKING:
    from bentos.core.artifact import ModelCard  # brings NumPy, which nothing else here needs

__all__ = [
    "AsyncTransport",
    "Attempt",
    "Exchange",
    "Explain",
    "Failure",
    "LabelResult",
    "Pause",
    "Reply",
    "RowResult",
    "Steps",
    "Transport",
    "Wire",
]

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)

Explain: TypeAlias = Literal["none", "flagged", "all"]
RowResult: TypeAlias = Prediction | FraudError
LabelResult: TypeAlias = LabelOutcome | FraudError


@dataclass(frozen=True, slots=True)
class Exchange(Generic[AnswerT_co]):
    """A call in the form of one transport.

    Parameters
    ----------
    target
        Path with query, or full name of the method of gRPC.
    payload
        What is sent: octets, or a file's; None sends nothing (GET).
    read
        Makes an answer of what came back. Raises ValueError when it is none.
    content_type
        Of what is sent.
    save_to
        File that gets what came back, instead of ``read``, which then gets nothing.
    """

    target: str
    payload: bytes | Path | None
    read: Callable[[bytes], AnswerT_co]
    content_type: str = "application/json"
    save_to: Path | None = None


class Wire(Protocol):
    """Puts calls into the form of one transport. Holds no state."""

    def predict(self, transaction: Transaction, explain: Explain, record: bool) -> Exchange[Prediction]:
        """Score one transaction."""
        ...

    def explain(self, transaction: Transaction) -> Exchange[Explanation]:
        """Take one score apart."""
        ...

    def predict_many(
        self, transactions: Sequence[Transaction], explain: Explain, record: bool
    ) -> Exchange[list[RowResult]]:
        """Score several transactions, 1 to 10,000; a result for each, in order."""
        ...

    def feedback(self, labels: Sequence[Label]) -> Exchange[list[LabelResult]]:
        """Bring labels; a result for each, in order."""
        ...

    def health(self) -> Exchange[Health]:
        """State of the service. Raises ConfigError where there is no such call."""
        ...

    def model(self) -> Exchange[ModelCard]:
        """The model card. Raises ConfigError where there is no such call."""
        ...

    def predict_batch(
        self, payload: bytes | Path, form: SourceForm, explain: Explain, result_form: ResultForm
    ) -> Exchange[Job]:
        """Hand a file in. Raises ConfigError where there is no such call, as the following do."""
        ...

    def predict_uri(
        self, uri: str, form: SourceForm | None, explain: Explain, result_form: ResultForm
    ) -> Exchange[Job]:
        """Hand in what a URI leads to."""
        ...

    def job_status(self, job_id: str) -> Exchange[Job]:
        """State of a job."""
        ...

    def job_cancel(self, job_id: str) -> Exchange[Job]:
        """Cancel a job."""
        ...

    def job_result(self, job_id: str, form: ResultForm, save_to: Path | None) -> Exchange[bytes]:
        """Result of a job; nothing when it goes to a file."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """Asks the driver to send an exchange once, and for its :data:`Reply`."""

    target: str
    payload: bytes | Path | None
    headers: Mapping[str, str]
    timeout_seconds: float
    content_type: str = "application/json"
    save_to: Path | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Asks the driver to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that brought no answer.

    Parameters
    ----------
    error
        What to raise.
    retryable
        Whether another attempt may help and does no harm.
    cause
        The library's error behind it.
    retry_after_seconds
        How long another attempt has to wait at least, by the server's own words.
    """

    error: FraudError
    retryable: bool = False
    cause: Exception | None = None
    retry_after_seconds: int = 0


Reply: TypeAlias = bytes | Failure

#: A call as steps: what it asks its driver for, what it is sent back (nothing after a pause), what it answers.
Steps: TypeAlias = Generator[Attempt | Pause, Reply | None, AnswerT]


class Transport(Protocol):
    """Sends attempts and waits. Shared by threads."""

    def send(self, attempt: Attempt) -> Reply:
        """Send once, for at most the attempt's time."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


class AsyncTransport(Protocol):
    """Sends attempts, in one event loop. Shared by tasks."""

    async def send(self, attempt: Attempt) -> Reply:
        """Send once, for at most the attempt's time."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
