"""Transactions to learn from: synthetic ones, and real data by a mapping; both end as one canonical table.

``synthetic`` generates; ``mapping``, ``readers``, ``convert`` and ``validate`` bring data into the form that ``table``
writes, reads and hashes; ``ingest`` puts these together; ``commands`` is the command line.
"""
