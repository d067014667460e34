"""What would be blocked and goes to review instead, now and then, so that it is seen what becomes of it.

A blocked payment has no outcome: whether blocking was right, and what a new model misses among what the old one blocks,
is not known of any. Of a random share that an analyst lets pass or stops it is, and it stands for the others.
"""

from __future__ import annotations

from typing import Final

from bentos.core.lots import Lots
from bentos.fraud.rows import Row
from bentos.fraud.settings import ScoringSettings

__all__ = ["BlockReview", "open_block_review"]

_PURPOSE: Final = "block review"


class BlockReview:
    """Sends a share of blocks to review.

    Parameters
    ----------
    share
        Of them, above 0 to 1.
    lots
        Choose by transaction_id: who asks again gets the same answer, on either side of a rollout.
    """

    def __init__(self, share: float, lots: Lots) -> None:
        self._share = share
        self._lots = lots

    def look(self, row: Row) -> None:
        """Change the decision of a row that is to be blocked, if it is chosen.

        What is not recorded stays as it is: nothing could be learnt from it.
        """
        if row.ask.record and self._lots.drawn(row.ask.transaction_id, self._share):
            row.decision, row.block_review_share = "review", self._share


def open_block_review(settings: ScoringSettings) -> BlockReview | None:
    """As the settings say; None when all that is to be blocked is."""
    if not settings.block_review_share:
        return None
    lots = Lots(settings.pseudonym_key.get_secret_value(), _PURPOSE)
    return BlockReview(settings.block_review_share, lots)
