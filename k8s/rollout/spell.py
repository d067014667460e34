"""Joins looks to spells, of which each is weighed as one piece: a burst that two looks see by halves is one burst."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from k8s.rollout.evidence import Block, Evidence, Side, plus
from k8s.rollout.gates import calm
from k8s.rollout.margins import Margins

__all__ = ["SPELL_SECONDS", "Spell"]

#: Looks are joined until they last so long together; a longer one is a spell of its own.
SPELL_SECONDS: Final = 10.0


@dataclass
class Spell:
    """The spell that is not over yet. It is in memory: after a restart the next look begins another."""

    _seen: Block | None = None
    _seconds: float = 0.0

    def weighed(self, look: Block, seconds: float, evidence: Evidence, margins: Margins) -> Block:
        """A look, with what bets leave out by it.

        That may be negative: what seemed a burst until now turns out to be more than a burst.

        Parameters
        ----------
        look
            What was counted since the last one.
        seconds
            Since then.
        evidence
            Before it.
        """
        before = self._seen
        if before is None or (before.number, before.step) != (look.number, look.step):
            before, self._seconds = None, 0.0
        self._seconds += seconds
        fresh = _plain(look)
        whole = calm(evidence, plus(_plain(before), fresh) if before else fresh, self._seconds, margins)
        # Prometheus tells what pods counted since its last scrape: without a word of the challenger no spell ends.
        over = self._seconds >= SPELL_SECONDS and whole.challenger.requests
        self._seen = None if over else whole
        self._seconds = 0.0 if over else self._seconds
        was = before or Block(0, 0, 0)
        return replace(
            look,
            champion=_grown(look.champion, whole.champion, was.champion),
            challenger=_grown(look.challenger, whole.challenger, was.challenger),
        )


def _plain(block: Block) -> Block:
    return replace(block, champion=_grown(block.champion), challenger=_grown(block.challenger))


def _grown(look: Side, whole: Side | None = None, before: Side | None = None) -> Side:
    """With what is left out of the whole spell, less what was left out of it before."""
    after, was = whole or Side(), before or Side()
    return replace(
        look,
        burst_errors=float(after.burst_errors) - float(was.burst_errors),
        burst_degraded=float(after.burst_degraded) - float(was.burst_degraded),
        burst_slow=float(after.burst_slow) - float(was.burst_slow),
        burst_errors_pass=float(after.burst_errors_pass) - float(was.burst_errors_pass),
        burst_degraded_pass=float(after.burst_degraded_pass) - float(was.burst_degraded_pass),
        burst_slow_pass=float(after.burst_slow_pass) - float(was.burst_slow_pass),
    )
