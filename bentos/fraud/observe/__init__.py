"""What operators see of a worker: metrics shared by processes, logs, traces."""
