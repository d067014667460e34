"""The BentoML service: ``bentoml serve`` and ``bentoml build`` find it through ``bentofile.yaml``."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import shutil
import sys
import tempfile
from typing import Final

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.responses import Response

from bentos.core.answers import Explanation, ManyPredictions, Prediction
from bentos.core.errors import FraudError
from bentos.core.settings import load_settings
from bentos.core.transaction import Transaction
from bentos.fraud.access.exposure import check_exposure
from bentos.fraud.access.guard import open_guard
from bentos.fraud.access.settings import FILE_SETTINGS
from bentos.fraud.access.tls import open_tls
from bentos.fraud.application import open_application, prepare
from bentos.fraud.bento.address import http_host, inherited_host
from bentos.fraud.bento.contents import BentoImage
from bentos.fraud.bento.service_class import ScoringService
from bentos.fraud.grpc.ports import reserve_port
from bentos.fraud.grpc.server import GrpcServer, start_grpc
from bentos.fraud.http.balancing import balance
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import request_id_of
from bentos.fraud.huge_pages import use_huge_pages
from bentos.fraud.observe.lines import LineWriter
from bentos.fraud.observe.logs import configure_logging
from bentos.fraud.settings import METRICS_FOLDER_VARIABLE, ScoringSettings

__all__ = ["FraudDetector"]

_COLLECTED_OBJECTS: Final = 50_000
#: How long a worker that stops waits for who reads its log.
_DRAIN_SECONDS: Final = 2.0


@bentoml.service(
    name="fraud_detector",
    service_class=ScoringService,
    image=BentoImage(),
    workers=1,
    # BentoML's span on every request takes a third of the CPU, and its garbage stalls requests by 100 ms and more; its
    # traffic metrics and access log cost more than a score. The service counts and logs by itself.
    tracing={"excluded_urls": [".*"]},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class FraudDetector:
    """Scores card transactions for fraud, and says why."""

    def __init__(self) -> None:
        self.grpc: GrpcServer | None = None
        self.supervision: asyncio.Task[None] | None = None
        settings = load_settings(ScoringSettings)
        self.lines = LineWriter(sys.stderr.fileno(), settings.log_buffer_lines)
        # A worker that cannot start says why in its last lines.
        atexit.register(self.lines.drain, _DRAIN_SECONDS)
        configure_logging(settings, self.lines)
        host = inherited_host()
        if host is not None and not settings.allow_unauthenticated:
            # However the server was started: this is what it really listens on.
            check_exposure(settings, HTTP=host)
        self.endpoints = Endpoints(open_application(settings, self.lines))

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare_server() -> None:
        """Run once, in the process that starts the workers: fail early and in one line, and prepare what they share."""
        try:
            settings = load_settings(ScoringSettings)
            configure_logging(settings)
            host = http_host()
            grpc_host = settings.grpc_host or host
            check_exposure(settings, HTTP=host, **({"gRPC": grpc_host} if settings.grpc_port else {}))
            open_guard(settings)
            open_tls(settings)
            prepare(settings)
            if settings.grpc_port:
                # Held by this process until it ends, so that nobody but its workers serves gRPC there.
                atexit.register(reserve_port(grpc_host, settings.grpc_port).close)
        except FraudError as error:
            raise BentoMLException(str(error)) from error
        # Workers run in the bento's folder: what is relative is relative to where the server was started.
        for name in ("home", "artifact", "snapshot", "model_ca_file", "shadow_ca_file", *FILE_SETTINGS):
            if (path := getattr(settings, name)) is not None:
                os.environ[f"FRAUD_{name.upper()}"] = str(path.absolute())
        # Workers know their socket, not the address that was asked for.
        os.environ["FRAUD_GRPC_HOST"] = grpc_host
        if settings.metrics_folder is None:
            folder = tempfile.mkdtemp(prefix="fraud-metrics-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            os.environ[METRICS_FOLDER_VARIABLE] = folder

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def warm_up(self) -> None:
        """Be as fast for the first customer as for the others, and serve gRPC too."""
        application = self.endpoints.application
        await application.warm_up()
        if application.settings.grpc_port:
            self.grpc = await start_grpc(application, application.settings)
        if application.settings.metrics_folder is not None:
            # gRPC's workers have a socket each.
            worker = bentoml.server_context.worker_index or 0
            balance(asyncio.get_running_loop(), application.settings.metrics_folder, worker)
        self.supervision = asyncio.create_task(application.supervisor().run())
        # Takes what was built at start out of the collector's sight: walking it stalls requests by 100 ms and more.
        gc.collect()
        gc.freeze()
        if application.settings.huge_pages:
            use_huge_pages()
        # Requests make few cycles: looking for them after every 700 objects takes a tenth of the time of all else.
        gc.set_threshold(_COLLECTED_OBJECTS)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Give back what is held open."""
        if self.grpc is not None:
            await self.grpc.stop(self.endpoints.application.settings.grpc_grace_seconds)
        await self.endpoints.application.close(self.supervision)
        self.lines.drain(_DRAIN_SECONDS)

    @bentoml.api(output_spec=Prediction)  # type: ignore[untyped-decorator]
    async def predict(self, transaction: Transaction, /, ctx: bentoml.Context) -> Response:
        """Score one transaction: how likely it is fraud, what to do with it, and why."""
        return await self._answer("predict", transaction, ctx)

    @bentoml.api(output_spec=Explanation)  # type: ignore[untyped-decorator]
    async def explain(self, transaction: Transaction, /, ctx: bentoml.Context) -> Response:
        """Take the score of one transaction apart: every feature and its contribution. Records nothing."""
        return await self._answer("explain", transaction, ctx)

    @bentoml.api(output_spec=ManyPredictions)  # type: ignore[untyped-decorator]
    async def predict_many(self, transactions: list[Transaction], ctx: bentoml.Context) -> Response:
        """Score up to 10,000 transactions. A bad one gets its own error, the others their predictions."""
        return await self._answer("predict_many", transactions, ctx)

    async def _answer(self, call: str, body: object, ctx: bentoml.Context) -> Response:
        request = ctx.request

        async def work() -> HttpAnswer:
            guard = self.endpoints.guard
            if guard is not None:
                # The gateway asks too; a call is never without.
                guard.admit(request.headers, guard.need(call))
            answer: HttpAnswer = await getattr(self.endpoints, call)(
                body, tuple(request.query_params.multi_items()), None
            )
            return answer

        answer = await self.endpoints.answered(work(), request_id_of(request.headers))
        # BentoML overwrites a returned response's status with the context's.
        ctx.response.status_code = answer.status.value
        return Response(answer.body, answer.status.value, answer.headers, answer.media_type)
