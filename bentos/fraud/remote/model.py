"""A model that another server runs, asked over gRPC, and whether it can be relied upon."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.artifact import Artifact
from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.remote.link import Late, Link, Unknown
from bentos.fraud.remote.probe import Probe
from bentos.fraud.remote.settings import RemoteModelSettings
from bentos.fraud.remote.wire import check_metadata, infer_request, read_scores, usable
from bentos.fraud.scorer import FloatArray, Scorer
from bentos.fraud.store.breaker import Breaker

__all__ = ["RemoteModel"]

#: Failures in a row within ten seconds after which nobody asks any more.
_FAILURES: Final = 3
#: Seconds between two looks whether the server can score again.
_RETRY_SECONDS: Final = 0.5
#: What looking may take, seconds: nobody waits for it.
_LOOK_SECONDS: Final = 5.0
_LOGGER = logging.getLogger(__name__)


class RemoteModel:
    """The model step, elsewhere. Belongs to one event loop.

    It is asked only when it has shown that it is the artifact's model: by name, version, tensors, and its scores of
    known rows (:class:`.Probe`). After three failures in a row, or when it fails with those rows, nobody asks; a task
    of its own looks until the server can score again, so that no customer's transaction is spent on trying.

    Parameters
    ----------
    settings
        With a URL.
    artifact
        Whose model is expected there.
    scorer
        Of the same artifact; is asked once for the scores of the known rows.
    """

    def __init__(self, settings: RemoteModelSettings, artifact: Artifact, scorer: Scorer) -> None:
        self.url = settings.model_url
        #: How long a batch waits at most, seconds.
        self.timeout_seconds = settings.model_timeout_milliseconds / 1000
        self._settings = settings
        self._name = settings.model_name or scorer.model.name
        self._version = scorer.model.version if settings.model_version is None else settings.model_version
        self._probe = Probe(artifact, scorer)
        self._breaker = Breaker(_FAILURES)
        #: What batches go over; None while the server has not shown that it is to be relied upon.
        self._link: Link | None = None
        self._reason = "it has not been asked yet"
        self._looking: asyncio.Task[None] | None = None
        #: Not before, ``time.monotonic()`` seconds.
        self._look_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def trouble(self) -> str | None:
        """What is wrong, if anything."""
        if self._link is None:
            return f"the model at {self.url} cannot score: {self._reason}; the rules decide review or approve"
        failing = self._breaker.trouble
        return None if failing is None else f"the model at {self.url}: {failing}"

    async def start(self) -> None:
        """Look at the server for the first time; whatever is wrong with it, the service starts, and rules answer."""
        await self._look()
        if self._link is None:
            _LOGGER.warning("%s", self.trouble)
            self._keep_looking()

    async def check(self) -> None:
        """Look once at what the server says of itself and at its scores.

        Raises
        ------
        ConfigError
            When it serves another model.
        Unavailable
            When it does not answer.
        """
        await (await self._opened()).close()

    async def score(self, rows: FloatArray, timeout_seconds: float) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Raw scores and scores, float64 [n] each, and which rows have any, bool [n].

        Parameters
        ----------
        rows
            float64 [n, 21].
        timeout_seconds
            How long to wait. When that is less than the settings allow, that it was too short is not held against the
            server.

        Raises
        ------
        Unavailable
            When there is no answer, or a wrong one.
        """
        link = self._link
        if link is None:
            raise Unavailable(self._reason)
        if timeout_seconds <= 0:
            raise Unavailable("the deadline leaves no time to ask")
        try:
            response = await link.infer(infer_request(rows, self._name, self._version), timeout_seconds)
            raw, score = read_scores(response, len(rows), self._name, self._version)
        except Late as error:
            if timeout_seconds < self.timeout_seconds:
                # The caller was in a hurry; whether the server is slow, known rows will tell.
                self._keep_looking()
            else:
                self._failed(error)
            raise
        except Unavailable as error:
            self._failed(error)
            raise
        good = usable(raw, score)
        if good.all():
            self._breaker.worked()
        else:
            # A customer's row may be at fault; whether the model is, known rows will tell.
            self._keep_looking()
        return raw, score, good

    async def close(self) -> None:
        """Give the channel back."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self._give_up("the server is shutting down")
        await asyncio.gather(*self._closing)

    def _failed(self, error: Unavailable) -> None:
        opened = self._breaker.failed(str(error))
        if opened and self._link is not None:
            _LOGGER.error("the model at %s cannot score, the rules answer: %s", self.url, error)
            self._give_up(str(error))
            self._keep_looking()

    def _give_up(self, reason: str) -> None:
        link, self._link, self._reason = self._link, None, reason
        if link is not None:
            task = asyncio.get_running_loop().create_task(link.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _keep_looking(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look_until_it_works())

    async def _look_until_it_works(self) -> None:
        try:
            # However often callers in a hurry give reason to look.
            await asyncio.sleep(max(0.0, self._look_at - monotonic()))
            while not await self._look():
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._looking = None

    async def _look(self) -> bool:
        """Look whether the server can score, over a new channel: the old one may wait for who no longer is there."""
        self._look_at = monotonic() + _RETRY_SECONDS
        try:
            link = await self._opened()
        except (ConfigError, Unavailable) as error:
            self._breaker.failed(str(error))
            self._give_up(str(error))
            return False
        if self._link is None:
            _LOGGER.info("the model at %s can score", self.url)
        self._give_up("")
        self._link = link
        self._breaker.worked()
        return True

    async def _opened(self) -> Link:
        link = Link(self._settings)
        try:
            await self._check(link)
        except BaseException:
            await link.close()
            raise
        return link

    async def _check(self, link: Link) -> None:
        try:
            check_metadata(await link.metadata(self._name, self._version, _LOOK_SECONDS), self._name, self._version)
            rows = self._probe.rows
            # What is slow for known rows is slow for customers'.
            response = await link.infer(infer_request(rows, self._name, self._version), self.timeout_seconds)
            self._probe.check(*read_scores(response, len(rows), self._name, self._version))
        except Unknown as error:
            raise ConfigError(f"the server at {self.url} does not serve {self._asked()}: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"the server at {self.url} is not to be used: {error}") from error

    def _asked(self) -> str:
        return f"{self._name!r}" + (f" version {self._version!r}" if self._version else "")
