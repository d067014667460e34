"""The Open Inference Protocol, version 2: feature rows in, scores out, free of transport."""
