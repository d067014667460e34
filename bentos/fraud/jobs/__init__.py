"""Batch jobs: files in, scores out, in chunks that survive any kill."""
