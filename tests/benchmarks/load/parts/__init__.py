"""The parts of the benchmark: each measures one repeat of its own."""

from collections.abc import Callable
from typing import Final

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.parts import batching, half, overload, throughput, treeshap

__all__ = ["PARTS"]

#: Name to what does one repeat.
PARTS: Final[dict[str, Callable[[Bench, int], None]]] = {
    "throughput": throughput.measure,
    "batching": batching.measure,
    "half": half.measure,
    "overload": overload.measure,
    "treeshap": treeshap.measure,
}
