"""The server that runs the model is slow, wrong, away or another: the rules answer, in time, and say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from bentos.core.answers import Prediction
from bentos.core.artifact import read_artifact, write_artifact
from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.application import Application, prepare
from bentos.fraud.options import PredictOptions
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.protos._generated.inference.inference_pb2 import ModelInferResponse, ModelMetadataResponse
from tests.fraud.artifacts import forest_contents
from tests.fraud.remote.conftest import Open, until
from tests.fraud.remote.peer import Peer, running_peer
from tests.fraud.requests import transaction
from tests.fraud.test_metrics import value
from tests.ports import free_port

ASK = PredictOptions("all")
BY_RULES = ("model",)


def _state(application: Application) -> str:
    return application.health().dependencies["model"].status


def _ask(application: Application, runner: asyncio.Runner) -> Prediction:
    return runner.run(application.predictor.predict(transaction(), ASK))


def _set(response: ModelInferResponse, name: str, values: list[float]) -> None:
    index = [output.name for output in response.outputs].index(name)
    found = np.frombuffer(response.raw_output_contents[index], "<f8").copy()
    found[: len(values)] = values
    response.raw_output_contents[index] = found.tobytes()


def _other_model(response: ModelInferResponse) -> None:
    response.model_version = "8"


def _short(response: ModelInferResponse) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]


def _one_row_more(response: ModelInferResponse) -> None:
    response.outputs[0].shape[0] += 1


def _whole_numbers(response: ModelInferResponse) -> None:
    response.outputs[0].datatype = "INT64"


def _one_output(response: ModelInferResponse) -> None:
    del response.outputs[0]
    del response.raw_output_contents[0]


def _no_elements(response: ModelInferResponse) -> None:
    del response.raw_output_contents[:]


WRONG: dict[str, tuple[Callable[[ModelInferResponse], None], str]] = {
    "another version": (_other_model, "version '8' answered"),
    "bytes are missing": (_short, "bytes"),
    "a row too many": (_one_row_more, "shape"),
    "another datatype": (_whole_numbers, "INT64"),
    "an output is missing": (_one_output, "has no output"),
    "no elements": (_no_elements, "0 elements"),
    "no number": (lambda response: _set(response, "score", [np.nan]), "not numbers from 0 to 1"),
    "an infinite raw score": (lambda response: _set(response, "raw_score", [np.inf]), "not numbers from 0 to 1"),
    "no probability": (lambda response: _set(response, "score", [1.5]), "not numbers from 0 to 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_the_rules(peer: Peer, opened: Open, runner: asyncio.Runner, case: str) -> None:
    application = opened(peer.url)
    assert _ask(application, runner).degraded == ()
    peer.change, message = WRONG[case]
    for _ in range(4):
        prediction = _ask(application, runner)
        assert prediction.degraded == BY_RULES
        assert prediction.decision != "block"
    runner.run(until(lambda: message in (application.health().dependencies["model"].detail or "")))
    assert _state(application) == "failing"
    with pytest.raises(Unavailable, match="the model cannot score"):
        runner.run(application.predictor.explain(transaction()))
    application.predictor.metrics.later.run()
    assert value(application.scrape(), "fraud_degraded_predictions_total") == 4
    peer.change = lambda _: None
    runner.run(until(lambda: _state(application) == "ok"))
    assert _ask(application, runner).degraded == ()


def test_a_row_without_a_score_is_the_rules_alone(peer: Peer, opened: Open, runner: asyncio.Runner) -> None:
    application = opened(peer.url)
    peer.change = lambda response: _set(response, "score", [0.1, np.nan])

    async def main() -> list[object]:
        # The first one runs alone; the others form a batch meanwhile, of transactions and then of rows.
        first = asyncio.ensure_future(application.predictor.predict(transaction(), ASK))
        await until(lambda: len(peer.calls) == 2)
        return await asyncio.gather(
            first,
            *(application.predictor.predict(transaction(amount=amount), ASK) for amount in (1.0, 2.0, 3.0)),
            application.predictor.infer(np.zeros((1, 21))),
            return_exceptions=True,
        )

    peer.gate.clear()

    async def opened_later() -> list[object]:
        task = asyncio.ensure_future(main())
        await until(lambda: len(peer.calls) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        peer.gate.set()
        return await task

    results = runner.run(opened_later())
    assert [one.degraded for one in results[1:4] if isinstance(one, Prediction)] == [(), BY_RULES, ()]
    assert isinstance(results[4], tuple)


def test_a_server_that_does_not_answer_is_asked_no_more(peer: Peer, opened: Open, runner: asyncio.Runner) -> None:
    application = opened(peer.url, model_timeout_milliseconds=500)
    runner.run(until(lambda: _state(application) == "ok"))
    peer.gate.clear()

    async def main() -> None:
        # Ends because the rules answer: the server never does.
        while application.predictor._evaluator._remote._link is not None:  # type: ignore[attr-defined]
            prediction = await application.predictor.predict(transaction(), ASK)
            assert prediction.degraded == BY_RULES
        asked = [rows for rows in peer.calls if rows == 1]
        for _ in range(50):
            assert (await application.predictor.predict(transaction(), ASK)).degraded == BY_RULES
        # Known rows alone look whether it is back.
        assert [rows for rows in peer.calls if rows == 1] == asked
        assert _state(application) == "failing"
        peer.gate.set()
        await until(lambda: _state(application) == "ok")
        assert (await application.predictor.predict(transaction(), ASK)).degraded == ()

    runner.run(main())


def test_a_caller_in_a_hurry_is_answered_before_the_others(peer: Peer, opened: Open, runner: asyncio.Runner) -> None:
    application = opened(peer.url)
    peer.gate.clear()

    async def main() -> None:
        predict = application.predictor.predict
        # Runs alone and waits; what comes meanwhile is the next batch.
        alone = asyncio.ensure_future(predict(transaction(), ASK, monotonic() + 1.0))
        await until(lambda: len(peer.calls) == 2)
        patient = asyncio.ensure_future(predict(transaction(), ASK))
        hurried = asyncio.ensure_future(predict(transaction(), ASK, monotonic() + 5.0))
        assert (await alone).degraded == BY_RULES
        assert (await hurried).degraded == BY_RULES
        assert not patient.done()
        # Two callers in a hurry say nothing of the server.
        peer.gate.set()
        assert (await patient).degraded == ()
        await until(lambda: _state(application) == "ok")

    runner.run(main())


def test_a_server_that_is_away_at_start_is_waited_for(
    opened: Open, settings: Callable[..., ScoringSettings], runner: asyncio.Runner
) -> None:
    url = f"grpc://127.0.0.1:{free_port()}"
    prepare(settings(url))
    application = opened(url)
    assert _state(application) == "failing"
    assert application.health().status == "degraded"
    assert url in (application.health().dependencies["model"].detail or "")
    assert _ask(application, runner).degraded == BY_RULES


def _serves(version: str) -> Callable[[ModelMetadataResponse], None]:
    def describe(answer: ModelMetadataResponse) -> None:
        answer.versions[:] = [version]

    return describe


def _takes_text(answer: ModelMetadataResponse) -> None:
    answer.inputs[0].datatype = "BYTES"


def _takes_other_tensor(answer: ModelMetadataResponse) -> None:
    answer.inputs[0].name = "x"


def _gives_labels(answer: ModelMetadataResponse) -> None:
    answer.outputs[0].name = "label"


OTHERS: dict[str, tuple[Callable[[ModelMetadataResponse], None], dict[str, str], str]] = {
    "name": (lambda _: None, {"model_name": "other"}, "does not serve 'other' version '7'"),
    "version": (_serves("8"), {}, r"versions \['8'\] of 'fraud_detector', not '7'"),
    "input type": (_takes_text, {}, "is BYTES"),
    "input": (_takes_other_tensor, {}, r"inputs \['x'\]"),
    "outputs": (_gives_labels, {}, "outputs"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_model_is_refused_at_start(
    peer: Peer, settings: Callable[..., ScoringSettings], opened: Open, runner: asyncio.Runner, case: str
) -> None:
    peer.describe, changes, message = OTHERS[case]
    with pytest.raises(ConfigError, match=message):
        prepare(settings(peer.url, **changes))
    # A worker that finds it later does not trust it either.
    application = opened(peer.url, **changes)
    assert _state(application) == "failing"
    assert _ask(application, runner).degraded == BY_RULES


def test_another_model_of_the_same_name_is_known_by_its_scores(
    settings: Callable[..., ScoringSettings], tmp_path: Path
) -> None:
    write_artifact(tmp_path / "artifact", forest_contents(trees=5, depth=3), private_key=None)
    another = Scorer(read_artifact(tmp_path / "artifact", public_key=None))
    with running_peer(another) as running, pytest.raises(ConfigError, match="it serves another model"):
        prepare(settings(running.url))


def test_what_is_no_server_of_the_protocol_is_no_trouble_for_the_start_of_a_worker(
    opened: Open, runner: asyncio.Runner
) -> None:
    async def main() -> asyncio.Server:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        return await asyncio.start_server(hang_up, "127.0.0.1", 0)

    server = runner.run(main())
    application = opened(f"grpc://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert _state(application) == "failing"
    assert _ask(application, runner).degraded == BY_RULES

    async def end() -> None:
        server.close()
        await server.wait_closed()

    runner.run(end())


def test_the_rules_need_time_between_timeout_and_deadline(settings: Callable[..., ScoringSettings]) -> None:
    with pytest.raises(ConfigError, match=r"FRAUD_MODEL_TIMEOUT_MILLISECONDS is 250, .* FRAUD_DEADLINE_MILLISECONDS"):
        prepare(settings("grpc://127.0.0.1:1", model_timeout_milliseconds=250, deadline_milliseconds=250))


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "http://host:8001", "grpc://host", "grpc://host:8001/v2", "grpc://:x"]
)
def test_an_address_is_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ValueError, match="model_url"):
        ScoringSettings(model_url=url)


def test_certificates_without_tls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FRAUD_MODEL_CA_FILE"):
        ScoringSettings(model_url="grpc://host:8001", model_ca_file=tmp_path / "ca.pem")


def test_certificates_that_cannot_be_read_are_refused_at_start(
    settings: Callable[..., ScoringSettings], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="FRAUD_MODEL_CA_FILE cannot be read"):
        prepare(settings("grpcs://127.0.0.1:1", model_ca_file=tmp_path / "none.pem"))
