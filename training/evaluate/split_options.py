"""The options that name a split, shared by the commands that need one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import pandas as pd

    from training.evaluate.report import FoldLike

__all__ = ["SplitChoice", "split_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class SplitChoice:
    """A split with its parameters."""

    kind: str
    fraction: float
    seed: int
    first_train_day: date | None
    folds: int

    @property
    def words(self) -> str:
        """The split in words; equal words on equal data are the same rows."""
        if self.kind == "later":
            return f"later fraction={self.fraction:g}"
        if self.kind == "stratified":
            return f"stratified fraction={self.fraction:g} seed={self.seed}"
        if self.kind == "expanding":
            return f"expanding folds={self.folds}"
        return f"prequential first_train_day={self.first_train_day or 'latest'} folds={self.folds} days=7+7+7"

    @property
    def by_time(self) -> bool:
        """Whether every test lies after its training."""
        return self.kind != "stratified"

    def folds_of(self, table: pd.DataFrame) -> list[FoldLike]:
        """Row numbers of each fold.

        Raises
        ------
        DataError
            When the table is too short for the split, or a part of it holds one class only.
        """
        from training.splits import expanding, later_fraction, latest_prequential, prequential, stratified

        if self.kind == "later":
            return [later_fraction(table, self.fraction)]
        if self.kind == "stratified":
            return [stratified(table, self.fraction, seed=self.seed)]
        if self.kind == "expanding":
            return list(expanding(table, folds=self.folds))
        if self.first_train_day is None:
            return list(latest_prequential(table, folds=self.folds))
        return list(prequential(table, first_train_day=self.first_train_day, folds=self.folds))


def split_options(command: Command) -> Command:
    """Add the options; the command gets them as one ``split: SplitChoice``."""

    def with_choice(
        *args: Any,
        split: str,
        fraction: float,
        split_seed: int,
        first_train_day: datetime | None,
        folds: int,
        **kwargs: Any,
    ) -> Any:
        day = None if first_train_day is None else first_train_day.date()
        return command(*args, split=SplitChoice(split, fraction, split_seed, day, folds), **kwargs)

    with_choice.__name__, with_choice.__doc__ = command.__name__, command.__doc__
    decorated: Any = with_choice
    decorated.__click_params__ = getattr(command, "__click_params__", [])
    for option in reversed(
        [
            click.option(
                "--split",
                type=click.Choice(["later", "stratified", "prequential", "expanding"]),
                default="later",
                show_default=True,
                help="later: the last part of the time; stratified: rows at random; prequential: weeks of training,"
                " delay and test, one after another; expanding: equal parts, each after training on all before.",
            ),
            click.option(
                "--fraction",
                type=click.FloatRange(0, 1, min_open=True, max_open=True),
                default=0.2,
                show_default=True,
                help="Share of the rows to test on (later, stratified).",
            ),
            click.option("--split-seed", type=int, default=0, show_default=True, help="Seed of the stratified split."),
            click.option(
                "--first-train-day",
                type=click.DateTime(["%Y-%m-%d"]),
                help="First day of the first fold (prequential), UTC; without it the folds end with the table.",
            ),
            click.option(
                "--folds",
                type=click.IntRange(1),
                default=4,
                show_default=True,
                help="Folds (prequential: a week apart; expanding).",
            ),
        ]
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
