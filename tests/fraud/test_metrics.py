from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bentos.fraud.answers import ModelVersion
from bentos.fraud.metrics import STAGES, declare_metrics, scrape

MODEL = ModelVersion(name="fraud_detector", version="7")
MODEL_LABELS = {"model_name": "fraud_detector", "model_version": "7", "role": "champion"}

_WORKER = """
import sys
from pathlib import Path
from bentos.fraud.metrics import share_metrics
share_metrics(Path(sys.argv[1]))
from prometheus_client import CollectorRegistry
from bentos.fraud.answers import ModelVersion
from bentos.fraud.metrics import declare_metrics
metrics = declare_metrics(CollectorRegistry(), ModelVersion(name="fraud_detector", version="7"), "champion")
for _ in range(int(sys.argv[2])):
    metrics.predictions["block"].inc()
    metrics.score.observe(0.91)
"""


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Samples of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float:
    """One sample of a scrape."""
    return samples(text)[name, frozenset({**MODEL_LABELS, **labels}.items())]


def test_metrics_have_their_names_and_labels() -> None:
    registry = CollectorRegistry()
    declare_metrics(registry, MODEL, "champion")
    families = {
        family.name: family
        for family in text_string_to_metric_families(scrape(registry, None).decode())
        # Times of declaration, which prometheus_client adds when there is one process only.
        if not family.name.endswith("_created")
    }
    assert set(families) == {
        "fraud_requests",
        "fraud_predictions",
        "fraud_prediction_latency_seconds",
        "fraud_score",
        "fraud_stage_latency_seconds",
        "fraud_degraded_predictions",
        "fraud_feature_lookups",
    }
    for family in families.values():
        for sample in family.samples:
            assert MODEL_LABELS.items() <= sample.labels.items()
    assert {sample.labels["stage"] for sample in families["fraud_stage_latency_seconds"].samples} == set(STAGES)


def test_requests_are_counted_by_transport_method_and_code() -> None:
    registry = CollectorRegistry()
    metrics = declare_metrics(registry, MODEL, "champion")
    metrics.count_request("http", "predict", "200")
    metrics.count_request("http", "predict", "200")
    metrics.count_request("http", "explain", "422")
    text = scrape(registry, None)
    assert value(text, "fraud_requests_total", transport="http", method="predict", code="200") == 2
    assert value(text, "fraud_requests_total", transport="http", method="explain", code="422") == 1


def test_two_registries_do_not_share() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    declare_metrics(first, MODEL, "champion").predictions["block"].inc()
    declare_metrics(second, MODEL, "champion")
    assert value(scrape(second, None), "fraud_predictions_total", decision="block") == 0


def test_the_counts_of_several_processes_add_up(tmp_path: Path) -> None:
    for count in (2, 3):
        subprocess.run(
            [sys.executable, "-c", _WORKER, str(tmp_path), str(count)],
            check=True,
            # BentoML's workers have it from the start, which is what makes prometheus_client use files.
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    text = scrape(CollectorRegistry(), tmp_path)
    assert value(text, "fraud_predictions_total", decision="block") == 5
    assert value(text, "fraud_score_count") == 5
    assert value(text, "fraud_score_bucket", le="0.95") == 5
    assert value(text, "fraud_score_bucket", le="0.9") == 0
