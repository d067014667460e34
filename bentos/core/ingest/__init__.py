"""Transactions of any shape as the canonical table, by a mapping of their columns.

``mapping`` reads the mapping; ``readers``, ``convert`` and ``validate`` bring rows into form; ``sources`` puts these
together.
"""
