"""What was seen of champion and challenger over the same periods: the only thing that verdicts are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np

from bentos.core.errors import DataError
from k8s.rollout.parts import Block, LabelBlock, Number, Numbers, Outcomes, Pairs, PartT, Side, plus

__all__ = ["BLOCK_SECONDS", "Block", "Evidence", "LabelBlock", "Number", "Numbers", "Outcomes", "Pairs", "Side", "plus"]

#: Length of a block. Its beginning and end do not depend on when somebody looks.
BLOCK_SECONDS: Final = 300
#: Blocks that are kept: with all their histograms they are some 200 kB of JSON, and a ConfigMap holds 1 MiB.
_BLOCKS: Final = 256

BlockT = TypeVar("BlockT", bound=Block | LabelBlock)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was seen since the rollout's start.

    Parameters
    ----------
    latency_bounds, score_bounds
        Upper bounds of the buckets but the last, seconds and probabilities, increasing.
    blocks, labels
        In the order of time.
    """

    latency_bounds: tuple[float, ...]
    score_bounds: tuple[float, ...]
    blocks: tuple[Block, ...] = ()
    labels: tuple[LabelBlock, ...] = ()

    def seen(self, block: Block) -> Evidence:
        """With what was seen since the last look: it joins the last block, if that is of its number and step.

        Raises
        ------
        DataError
            When it is older than what is there, or its histograms are of other buckets.
        """
        for side in (block.champion, block.challenger):
            self._check(side.latency, self.latency_bounds, "latency")
            self._check(side.scores, self.score_bounds, "scores")
        for scores in (block.pairs.champion_scores, block.pairs.challenger_scores):
            self._check(scores, self.score_bounds, "scores")
        return replace(self, blocks=_joined(self.blocks, block))

    def labelled(self, labels: LabelBlock) -> Evidence:
        """With labels that arrived.

        Raises
        ------
        DataError
            When they are older than what is there, or of another sampling than those of the same block.
        """
        return replace(self, labels=_joined(self.labels, labels))

    def to_json(self) -> str:
        """As JSON, without blanks; what is empty or zero is left out."""
        return json.dumps(_plain(self), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """What :meth:`to_json` made.

        Raises
        ------
        DataError
            When it is not that.
        """
        try:
            read = json.loads(text)
            return cls(
                latency_bounds=tuple(read["latency_bounds"]),
                score_bounds=tuple(read["score_bounds"]),
                blocks=tuple(_block(item) for item in read.get("blocks", ())),
                labels=tuple(_labels(item) for item in read.get("labels", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"the evidence of a rollout cannot be read ({type(error).__name__}: {error}): it was written by hand or"
                " by another version; abort the rollout and start it anew"
            ) from error

    def _check(self, counts: Numbers, bounds: tuple[float, ...], name: str) -> None:
        if len(counts) and np.shape(counts)[-1] != len(bounds) + 1:
            raise DataError(
                f"{name} came with {np.shape(counts)[-1]} buckets, and this rollout began with {len(bounds) + 1}: both"
                " sides and all steps need the same buckets; start the rollout anew"
            )


def _joined(blocks: tuple[BlockT, ...], new: BlockT) -> tuple[BlockT, ...]:
    if not blocks:
        return (new,)
    last = blocks[-1]
    if (new.step, new.number) < (last.step, last.number):
        raise DataError(
            f"block {new.number} of step {new.step} came after block {last.number} of step {last.step}: the clock went"
            " back, or two controllers write"
        )
    if new.number == last.number and _alike(last, new):
        return (*blocks[:-1], plus(last, new))
    return _thinned((*blocks, new))


def _alike(first: Block | LabelBlock, second: Block | LabelBlock) -> bool:
    """Whether they can be one block: of the same step, and labels of the same sampling."""
    sampling = [item.sampling if isinstance(item, LabelBlock) else 1.0 for item in (first, second)]
    return first.step == second.step and sampling[0] == sampling[1]


def _thinned(blocks: tuple[BlockT, ...]) -> tuple[BlockT, ...]:
    """Neighbours of one step joined two by two, when there are too many."""
    if len(blocks) <= _BLOCKS:
        return blocks
    kept: list[BlockT] = []
    free = False
    for block in blocks:
        joins = free and _alike(kept[-1], block)
        if joins:
            kept[-1] = plus(kept[-1], block)
        else:
            kept.append(block)
        free = not joins
    return tuple(kept)


def _plain(part: Any) -> Any:
    if is_dataclass(part):
        found = {item.name: _plain(getattr(part, item.name)) for item in fields(part)}
        return {name: value for name, value in found.items() if value not in (0, 0.0, [], {})}
    if isinstance(part, tuple | list):
        return [_plain(item) for item in part]
    if isinstance(part, np.ndarray):
        return part.tolist()
    return part


def _part(kind: type[PartT], read: Mapping[str, Any]) -> PartT:
    return kind(**{name: tuple(value) if isinstance(value, list) else float(value) for name, value in read.items()})


def _block(read: Mapping[str, Any]) -> Block:
    return Block(
        number=int(read.get("number", 0)),
        step=int(read.get("step", 0)),
        weight=int(read.get("weight", 0)),
        champion=_part(Side, read.get("champion", {})),
        challenger=_part(Side, read.get("challenger", {})),
        pairs=_part(Pairs, read.get("pairs", {})),
    )


def _labels(read: Mapping[str, Any]) -> LabelBlock:
    parts = ("number", "step", "champion", "challenger")
    rest = _part(LabelBlock, {"number": 0, "step": 0} | {k: v for k, v in read.items() if k not in parts})
    return replace(
        rest,
        number=int(read.get("number", 0)),
        step=int(read.get("step", 0)),
        champion=_part(Outcomes, read.get("champion", {})),
        challenger=_part(Outcomes, read.get("challenger", {})),
    )
