"""What clients of a release notice while it is changed, on a real cluster: ``python -m tests.benchmarks.cluster``."""
