from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from bentos.core.answers import ModelVersion
from bentos.fraud.metrics import STAGES, declare_metrics, scrape
from bentos.fraud.observe.distribution import Distribution

MODEL = ModelVersion(name="fraud_detector", version="7")
MODEL_LABELS = {"model_name": "fraud_detector", "model_version": "7", "role": "champion"}
#: What queues and logs hold is of no model.
WITHOUT_MODEL = {"fraud_queue_depth", "fraud_log_lines_dropped", "fraud_feature_age_seconds", "fraud_log_waiting_bytes"}
OBJECTIVES = {"0.01", "0.03", "0.05", "0.1"}
STAGE_OBJECTIVES = {"0.001", "0.002", "0.005", "0.01"}


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
    metrics = declare_metrics(registry, MODEL, "champion", "d1")
    metrics.count_request("http", "predict", "200")
    metrics.records.count_label("fraud", "block", ("fraud_detector", "7", "champion"))
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
        "fraud_batch_size",
        "fraud_queue_depth",
        "fraud_reasons_late",
        "fraud_bucket_mismatches",
        "fraud_feature_age_seconds",
        "fraud_log_lines_dropped",
        "fraud_model_info",
        "fraud_labels",
        "fraud_log_dropped",
        "fraud_log_waiting_bytes",
    }
    for name, family in families.items():
        assert family.samples
        for sample in family.samples:
            assert (MODEL_LABELS.items() <= sample.labels.items()) == (name not in WITHOUT_MODEL)
    assert {sample.labels["stage"] for sample in families["fraud_stage_latency_seconds"].samples} == set(STAGES)


@pytest.mark.parametrize(
    ("name", "objectives"),
    [("fraud_prediction_latency_seconds", OBJECTIVES), ("fraud_stage_latency_seconds", STAGE_OBJECTIVES)],
)
def test_objectives_are_bounds_of_buckets(name: str, objectives: set[str]) -> None:
    registry = CollectorRegistry()
    declare_metrics(registry, MODEL, "champion")
    bounds = {dict(labels)["le"] for sample, labels in samples(scrape(registry, None)) if sample == f"{name}_bucket"}
    assert objectives <= bounds


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


def test_a_distribution_counts_as_the_histogram_does() -> None:
    """Fails when the insides of prometheus_client's histograms move."""
    expected, found = CollectorRegistry(), CollectorRegistry()
    slow = Histogram("amounts", "Amounts.", registry=expected, buckets=(1, 2, 4))
    fast = Distribution(Histogram("amounts", "Amounts.", registry=found, buckets=(1, 2, 4)))
    for amount in (0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 7.0):
        slow.observe(amount)
        fast.observe(amount)
    for _ in range(5):
        slow.observe(3.0)
    fast.observe(3.0, times=5)

    def lines(registry: CollectorRegistry) -> list[bytes]:
        return [line for line in scrape(registry, None).splitlines() if b"_created" not in line]

    assert lines(found) == lines(expected)
