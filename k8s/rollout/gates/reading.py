"""What gates have in common: the numbers they read from their state, and their interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np

from k8s.rollout.evidence import Block, LabelBlock
from k8s.rollout.gates.betting import Floats
from k8s.rollout.verdict import GateName

__all__ = ["BOLDNESS", "Gate", "Reading", "Wording", "alternatives_above", "alternatives_below"]

StateT = TypeVar("StateT")
#: Either kind of block.
BlockT_contra = TypeVar("BlockT_contra", Block, LabelBlock, contravariant=True)


@dataclass(frozen=True, slots=True)
class Reading:
    """Numbers of a gate, each float64 [...]: one rollout or many.

    Parameters
    ----------
    fail, passes
        Logarithms of the e-values against "no worse than tolerated" and "worse than the margin".
    estimate, low, high
        NaN, −∞ and ∞ while nothing is known.
    champion, challenger
        What is compared, for words.
    samples
        Of the challenger.
    """

    fail: Floats
    passes: Floats
    estimate: Floats
    low: Floats
    high: Floats
    champion: Floats
    challenger: Floats
    samples: Floats


@dataclass(frozen=True, slots=True)
class Wording:
    """How a gate's numbers are said.

    Parameters
    ----------
    unit
        Of estimate, interval, tolerated and margin.
    counted
        What samples are.
    what
        What champion and challenger are compared by.
    form
        Format of what is compared.
    """

    unit: str
    counted: str
    what: str
    form: str


class Gate(Protocol[BlockT_contra, StateT]):
    """Judges a challenger by blocks, one after the other. States are never changed; a look at a block that is not over
    adds it to the state of those before it."""

    @property
    def name(self) -> GateName:
        """Of the gate."""

    @property
    def wording(self) -> Wording:
        """How its numbers are said."""

    def begin(self, shape: tuple[int, ...] = ()) -> StateT:
        """Nothing was seen, of rollouts of this shape."""

    def add(self, state: StateT, block: BlockT_contra) -> StateT:
        """After a block."""

    def read(self, state: StateT) -> Reading:
        """The numbers so far."""


#: Bets are made as if harm were so much of what is planned for, in logarithms. A bet on the full harm grows fastest on
#: the mean; this one is a little slower and steadier, so that the slowest of a hundred is found with less data.
BOLDNESS: Final = 0.8


def alternatives_above(tolerated: float, harm: float) -> tuple[Floats, Floats]:
    """Multiples of ``tolerated`` to bet on, and their shares: half on the harm that the plan is made for.

    The other half is on some four times as much. It finds tenfold harm sooner than a bet on that itself, since spells
    are cut by what their best bet makes of them (``bursts.py``), and moderate bets lose less of the others.
    """
    step = np.log(harm / tolerated)
    return np.exp(step * np.array([0.4, BOLDNESS, 1.5, 2.2])), np.array([0.02, 0.48, 0.02, 0.48])


def alternatives_below(margin: float) -> tuple[Floats, Floats]:
    """Multiples of ``margin`` to bet on that the challenger is good: most on "equal to the champion"."""
    return margin ** -np.array([0.4, BOLDNESS, 1.4]), np.array([0.25, 0.6, 0.15])
