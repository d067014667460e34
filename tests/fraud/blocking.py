"""A worker's parts and calls, for tests that wait for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from bentos.core.answers import Explanation, Prediction
from bentos.core.transaction import Transaction
from bentos.fraud.application import Application, open_application
from bentos.fraud.predictor import Predictor
from bentos.fraud.settings import ScoringSettings


@contextlib.contextmanager
def running_application(settings: ScoringSettings, runner: asyncio.Runner) -> Iterator[Application]:
    """A worker's parts until the block ends."""
    opened = open_application(settings)
    try:
        yield opened
    finally:
        runner.run(opened.close())


class BlockingPredictor:
    """The calls of a predictor, each run to its end."""

    def __init__(self, predictor: Predictor, runner: asyncio.Runner) -> None:
        self._predictor = predictor
        self._runner = runner

    def predict(self, transaction: Transaction, *options: Any) -> Prediction:
        """See :meth:`Predictor.predict`."""
        return self._runner.run(self._predictor.predict(transaction, *options))

    def explain(self, transaction: Transaction) -> Explanation:
        """See :meth:`Predictor.explain`."""
        return self._runner.run(self._predictor.explain(transaction))
