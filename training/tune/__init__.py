"""Hyper-parameter search with Optuna, resumable and shared by several processes."""
