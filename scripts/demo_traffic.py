"""Live synthetic traffic for a running service: what the customers of the synthetic data do next, and its labels.

Days pass in seconds: the pace is set by --rate, the order by the transactions' own time. It starts where the training
data ended, remembers how far it came, and waits for a server that is away. Frauds are reported when the synthetic data
say so; of the false alarms the customer clears every other one. The rest of what is flagged waits for an analyst.
"""

from __future__ import annotations

import heapq
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import pandas as pd

from bentos.client import FraudClient
from bentos.client.frames import frame_rows
from bentos.core.answers import Prediction
from bentos.core.errors import FraudError, Overloaded, Unavailable
from bentos.core.records import Label
from training.data.synthetic import GeneratorConfig, generate_after

__all__ = ["Payment", "Traffic", "main", "payments"]

#: How long a payment waits for its answer; more than a checkout would, as a laptop may be busy.
_PATIENCE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
_LABELS_AT_ONCE: Final = 500
#: A customer is asked about a false alarm, and answers.
_CLEARED_AFTER: Final = timedelta(days=1)
_BURST_ROWS: Final = 500


@dataclass(frozen=True)
class Payment:
    """A transaction and what becomes of it.

    Parameters
    ----------
    fields
        As /predict takes them.
    time
        Of the transaction.
    reported
        When it is reported as fraud; None when it is legitimate.
    """

    fields: dict[str, Any]
    time: datetime
    reported: datetime | None


def payments(tables: Iterable[pd.DataFrame]) -> Iterator[Payment]:
    """Payments of canonical tables, in their order."""
    for table in tables:
        reported = [None if pd.isna(moment) else moment.to_pydatetime() for moment in table["label_timestamp"]]
        moments = [moment.to_pydatetime() for moment in table["timestamp"]]
        yield from (
            Payment(fields, moment, label)
            for fields, moment, label in zip(frame_rows(table), moments, reported, strict=True)
        )


@dataclass
class Traffic:
    """Payments on their way to a service, labels on their way back.

    Parameters
    ----------
    client
        Of the service.
    place
        File that remembers how many payments were sent.
    sent
        How many that is.
    """

    client: FraudClient
    place: Path
    sent: int = 0
    _labels: list[tuple[datetime, str, str, str]] = field(default_factory=list)
    _away: bool = False

    def begin(self, upcoming: Iterator[Payment]) -> None:
        """Pass over what was sent before; frauds among it are reported once more, which changes nothing."""
        try:
            before = int(self.place.read_text())
        except FileNotFoundError:
            before = 0
        for payment in islice(upcoming, before):
            self._report(payment)
        self.sent = before

    def burst(self, upcoming: Iterator[Payment], rows: int) -> None:
        """Send the first payments at once, so that there is something to see; nothing when some were sent before."""
        missing = max(0, rows - self.sent)
        while taken := list(islice(upcoming, min(missing, _BURST_ROWS))):
            results = self._until_answered(lambda taken=taken: self.client.predict_many([one.fields for one in taken]))
            for payment, result in zip(taken, results, strict=True):
                self._answered(payment, result)
            self._send_labels(taken[-1].time)
            missing -= len(taken)

    def run(self, upcoming: Iterator[Payment], rate: float) -> None:
        """Send payments at a steady rate (a second) until there are none; after an outage it does not catch up."""
        due = time.monotonic()
        for payment in upcoming:
            time.sleep(max(0.0, due - time.monotonic()))
            result = self._until_answered(
                lambda payment=payment: self.client.predict(payment.fields, timeout_seconds=_PATIENCE_SECONDS)
            )
            self._answered(payment, result)
            self._send_labels(payment.time)
            due = max(due + 1 / rate, time.monotonic() - 1)

    def _until_answered(self, call: Any) -> Any:
        while True:
            try:
                answer = call()
            except (Unavailable, Overloaded) as error:
                if not self._away:
                    click.echo(f"traffic waits: {error}", err=True)
                self._away = True
                time.sleep(_RETRY_SECONDS)
                continue
            if self._away:
                click.echo("traffic goes on", err=True)
            self._away = False
            return answer

    def _answered(self, payment: Payment, result: Prediction | FraudError) -> None:
        if isinstance(result, FraudError):
            raise result
        self._report(payment)
        number = zlib.crc32(result.transaction_id.encode())
        if result.decision != "approve" and payment.reported is None and number % 2:
            heapq.heappush(
                self._labels, (payment.time + _CLEARED_AFTER, result.transaction_id, "legitimate", "customer")
            )
        self.sent += 1

    def _report(self, payment: Payment) -> None:
        if payment.reported is not None:
            heapq.heappush(
                self._labels, (payment.reported, str(payment.fields["transaction_id"]), "fraud", "chargeback")
            )

    def _send_labels(self, now: datetime) -> None:
        """Send labels that are due, and remember how far the payments came."""
        due: list[Label] = []
        while self._labels and self._labels[0][0] <= now and len(due) < _LABELS_AT_ONCE:
            moment, transaction_id, value, source = heapq.heappop(self._labels)
            due.append(
                Label.model_validate(
                    {
                        "transaction_id": transaction_id,
                        "label": value,
                        "source": source,
                        # Days pass in seconds, and may pass this machine's; a label of tomorrow is refused.
                        "label_time": min(moment, datetime.now(UTC)).astimezone(UTC).isoformat(),
                    }
                )
            )
        if due:
            for outcome in self._until_answered(lambda: self.client.feedback(due)):
                if isinstance(outcome, FraudError):
                    raise outcome
        fresh = self.place.with_suffix(".new")
        fresh.write_text(str(self.sent))
        fresh.replace(self.place)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", default="http://127.0.0.1:3000", show_default=True, help="The service.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=10, show_default=True, help="A second.")
@click.option("--rows", type=int, default=10_000, show_default=True, help="Of the training data, as for `generate`.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the training data.")
@click.option("--burst", type=click.IntRange(min=0), default=3000, show_default=True, help="Sent at once at first.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many payments; without it goes on.")
@click.option(
    "--place", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Remembers how far it is."
)
def main(url: str, rate: float, rows: int, seed: int, burst: int, limit: int | None, place: Path) -> None:
    """Send what the customers of the synthetic data do next."""
    place.parent.mkdir(parents=True, exist_ok=True)
    upcoming = payments(generate_after(GeneratorConfig(rows=rows, seed=seed)))
    with FraudClient(url) as client:
        traffic = Traffic(client, place)
        traffic.begin(upcoming)
        if limit is not None:
            upcoming = islice(upcoming, limit)
        traffic.burst(upcoming, burst)
        traffic.run(upcoming, rate)
    click.echo(f"{traffic.sent:,} payments sent")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except FraudError as error:
        sys.exit(f"traffic ends: {error}")
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
