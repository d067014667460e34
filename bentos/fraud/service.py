"""The BentoML service: ``bentoml serve`` and ``bentoml build`` find it through ``bentofile.yaml``."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile

import bentoml
from bentoml.exceptions import BentoMLException
from starlette.responses import Response

from bentos.core.errors import FraudError
from bentos.core.settings import load_settings
from bentos.core.transaction import Transaction
from bentos.fraud.answers import Explanation, Prediction
from bentos.fraud.application import open_application, prepare
from bentos.fraud.bento.contents import BentoImage
from bentos.fraud.bento.service_class import ScoringService
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import request_id_of
from bentos.fraud.settings import METRICS_FOLDER_VARIABLE, ScoringSettings

__all__ = ["FraudDetector"]


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
        self.endpoints = Endpoints(open_application(load_settings(ScoringSettings)))

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare_server() -> None:
        """Run once, in the process that starts the workers: fail early and in one line, and prepare what they share."""
        try:
            settings = load_settings(ScoringSettings)
            prepare(settings)
        except FraudError as error:
            raise BentoMLException(str(error)) from error
        # Workers run in the bento's folder: what is relative is relative to where the server was started.
        for name in ("home", "artifact", "snapshot"):
            if (path := getattr(settings, name)) is not None:
                os.environ[f"FRAUD_{name.upper()}"] = str(path.absolute())
        if settings.metrics_folder is None:
            folder = tempfile.mkdtemp(prefix="fraud-metrics-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            os.environ[METRICS_FOLDER_VARIABLE] = folder

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    def freeze(self) -> None:
        """Take what was built at start out of the collector's sight: walking it stalls requests by 100 ms and more."""
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Give back what is held open."""
        self.endpoints.application.close()

    @bentoml.api(output_spec=Prediction)  # type: ignore[untyped-decorator]
    async def predict(self, transaction: Transaction, /, ctx: bentoml.Context) -> Response:
        """Score one transaction: how likely it is fraud, what to do with it, and why."""
        return _response(self.endpoints.predict(transaction, *_about(ctx)), ctx)

    @bentoml.api(output_spec=Explanation)  # type: ignore[untyped-decorator]
    async def explain(self, transaction: Transaction, /, ctx: bentoml.Context) -> Response:
        """Take the score of one transaction apart: every feature and its contribution. Records nothing."""
        return _response(self.endpoints.explain(transaction, *_about(ctx)), ctx)


def _about(ctx: bentoml.Context) -> tuple[list[tuple[str, str]], str]:
    request = ctx.request
    return request.query_params.multi_items(), request_id_of(request.headers)


def _response(answer: HttpAnswer, ctx: bentoml.Context) -> Response:
    # BentoML overwrites a returned response's status with the context's.
    ctx.response.status_code = answer.status.value
    return Response(answer.body, answer.status.value, answer.headers, answer.media_type)
