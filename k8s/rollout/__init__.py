"""Rollouts: a challenger moves from shadow to all traffic by evidence, or is rolled back.

What needs no cluster is pure: :mod:`~k8s.rollout.evidence` is what was seen, :mod:`~k8s.rollout.gates` judge it,
:mod:`~k8s.rollout.plan` says what is wanted, :mod:`~k8s.rollout.decide` what is done next, and
:mod:`~k8s.rollout.needed` how much data that will take.
"""
