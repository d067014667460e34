"""Synthetic card transactions with honest habits and several kinds of fraud.

``config`` says what to generate; ``merchants`` and ``customers`` draw the world; ``purchases`` and ``fraud`` draw a
day; ``generator`` puts the days together. All numbers are invented.
"""

from training.data.synthetic.config import GeneratorConfig
from training.data.synthetic.generator import generate_after, generate_chunks, generate_table

__all__ = ["GeneratorConfig", "generate_after", "generate_chunks", "generate_table"]
