"""Tests of bentos.core.ingest."""
