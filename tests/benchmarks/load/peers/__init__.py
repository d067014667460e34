"""Servers of the same forest as teams build them without this product, and one that does nothing."""
