"""Constant load, kill -9 at random, and what must hold afterwards.

``load`` sends payments, labels and jobs; ``worlds`` are the service with what it stands on, any of which can be killed;
``checks`` compares what was acknowledged with what is there. ``python -m tests.e2e.chaos`` is the long form.
"""
