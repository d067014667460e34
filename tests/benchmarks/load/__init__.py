"""Load on the service and on its peers, on one machine in one run: ``python -m tests.benchmarks.load``."""
