"""One function that seeds everything."""

from __future__ import annotations

import random

import numpy as np

__all__ = ["seed_everything"]


def seed_everything(seed: int, threads: int = 1) -> None:
    """Make what follows in this process repeatable: python, numpy, torch with its deterministic mode.

    Parameters
    ----------
    seed
        From 0 to 2**32 − 1, what numpy's global generator takes.
    threads
        torch's threads. Sums depend on how they are split, so it belongs to what must be equal.
    """
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global generator are the reason
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
