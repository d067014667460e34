"""Transactions to learn from: synthetic ones, and real data by a mapping; both end as one canonical table.

``synthetic`` generates; ``ingest`` brings data into the form that ``table`` writes, reads and hashes, by what
``bentos.core.ingest`` makes of it; ``sources`` opens paths and URLs; ``commands`` is the command line.
"""
