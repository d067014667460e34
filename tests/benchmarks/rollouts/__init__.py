"""Thousands of simulated rollouts: how often verdicts are wrong, and what they take."""
