"""Scores whole files: from a file of transactions to a file of scores, in steps that can each be repeated.

See :mod:`.pipeline`.
"""
