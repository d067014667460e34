from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from bentos.fraud.metrics import scrape
from tests.fraud.test_metrics import samples, value

ROOT = Path(__file__).parents[3]

#: Counts as a worker does, says so, and stays until it is told to end.
_WORKER = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from bentos.core.answers import ModelVersion
from bentos.fraud.metrics import declare_metrics, share_metrics
share_metrics(Path(sys.argv[1]))
metrics = declare_metrics(CollectorRegistry(), ModelVersion(name="fraud_detector", version="7"), "champion", "d1")
for _ in range(int(sys.argv[2])):
    metrics.predictions["block"].inc()
    metrics.score.observe(0.91)
metrics.queue_depth.set(int(sys.argv[2]))
print("counted", flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(folder: Path, counts: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has counted so often; it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(folder), str(counts)],
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        yield process
        process.kill()


def test_the_counts_of_several_processes_add_up(tmp_path: Path) -> None:
    with worker(tmp_path, 2), worker(tmp_path, 3):
        text = scrape(CollectorRegistry(), tmp_path)
    assert value(text, "fraud_predictions_total", decision="block") == 5
    assert value(text, "fraud_score_count") == 5
    assert value(text, "fraud_score_bucket", le="0.95") == 5
    assert value(text, "fraud_score_bucket", le="0.9") == 0
    assert value(text, "fraud_model_info", digest="d1") == 1
    assert samples(text)["fraud_queue_depth", frozenset()] == 5


def test_a_successor_goes_on_with_the_counts_of_one_that_was_killed(tmp_path: Path) -> None:
    with worker(tmp_path, 4):
        with worker(tmp_path, 2):
            pass
        files = sorted(tmp_path.iterdir())
        for _ in range(3):
            with worker(tmp_path, 1):
                text = scrape(CollectorRegistry(), tmp_path)
    assert value(text, "fraud_predictions_total", decision="block") == 4 + 2 + 3
    assert sorted(tmp_path.iterdir()) == files


def test_gauges_end_with_their_process(tmp_path: Path) -> None:
    with worker(tmp_path, 4):
        with worker(tmp_path, 2):
            assert samples(scrape(CollectorRegistry(), tmp_path))["fraud_queue_depth", frozenset()] == 6
        text = scrape(CollectorRegistry(), tmp_path)
    assert samples(text)["fraud_queue_depth", frozenset()] == 4
    assert value(text, "fraud_predictions_total", decision="block") == 6


def test_a_file_that_is_just_being_made_is_no_error(tmp_path: Path) -> None:
    with worker(tmp_path, 2):
        (tmp_path / "counter_7.db").touch()
        text = scrape(CollectorRegistry(), tmp_path)
    assert value(text, "fraud_predictions_total", decision="block") == 2


def test_values_outgrow_their_file(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry, Counter
from bentos.fraud.metrics import scrape, share_metrics
share_metrics(Path(sys.argv[1]))
counter = Counter("many", "Many.", ("label",), registry=CollectorRegistry())
first = counter.labels("0")
for number in range(2000):
    counter.labels(str(number)).inc()
    first.inc()
sys.stdout.buffer.write(scrape(CollectorRegistry(), Path(sys.argv[1])))
"""
    printed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    assert (tmp_path / "counter_0.db").stat().st_size > 1 << 16
    found = samples(printed.stdout)
    assert found["many_total", frozenset({("label", "0")})] == 2001
    assert sum(found.values()) == 4000
