"""The steps that turn a file of transactions into a file of scores.

Each step leaves whole files only and may be repeated, also after it was killed in the middle. In the work folder::

    plan.json             what the first step found; written last
    input-00000.arrow     a chunk's columns as they came, in order of the input, with each row's error
    features-00000.npy    its feature rows, float64 [n, 21]; NaN for rows with an error
    scored-00000.arrow    its scores
    result.parquet        the result
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.bulk import planning, results, scoring
from bentos.fraud.bulk.memory import give_back
from bentos.fraud.bulk.reading import FileForm
from bentos.fraud.bulk.results import csv_parts
from bentos.fraud.options import Explain
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store.base import FeatureStore

__all__ = ["RESULT", "ChunkOutcome", "Pipeline", "Plan", "csv_parts"]

#: Names of the files that hold a result, in its folder.
RESULT: Final = (results.RESULT_FILE,)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be scored.

    Parameters
    ----------
    rows_total
        Rows of the input, bad ones included.
    chunks
        Number of chunks, at least 1; they are numbered from 0.
    """

    rows_total: int
    chunks: int


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """What became of a chunk: its rows, and how many of them have an error instead of a score."""

    rows: int
    failed: int


def _silent(share: float) -> None:
    """Tell nobody."""


def _never() -> bool:
    return False


class Pipeline:
    """Scores whole files. Safe for use by several threads and processes; records nothing in the feature store.

    Parameters
    ----------
    scorer
        The model.
    store
        Holds what is known of the past; it is only read.
    pseudonyms
        The hash of that store's keys.
    settings
        Sizes and limits.
    """

    def __init__(self, scorer: Scorer, store: FeatureStore, pseudonyms: Pseudonyms, settings: ScoringSettings) -> None:
        self._scorer = scorer
        self._store = store
        self._pseudonyms = pseudonyms
        self._settings = settings

    def plan(
        self,
        source: str | Path,
        form: FileForm | str,
        folder: Path,
        explain: Explain = "flagged",
        on_progress: Callable[[float], None] = _silent,
        stopped: Callable[[], bool] = _never,
    ) -> Plan:
        """Read and validate a whole file, compute its feature rows in order of time, leave its chunks.

        A plan that is there already is returned as it is.

        Parameters
        ----------
        source
            Path, or URI of fsspec, of the file.
        form
            What the file is said to be; csv, parquet or jsonl.
        folder
            Of the work; its name is part of the transaction ids that are made where they are missing.
        explain
            Which rows get reasons.
        on_progress
            Told the share that is done, 0 to 1.
        stopped
            Asked now and then whether to leave off.

        Raises
        ------
        InvalidInput
            When the file as a whole cannot be used; a bad row is no reason.
        Unavailable
            When the feature store fails, the disk cannot take more, or work was to stop; try again later.
        """
        found = planning.make_plan(
            planning.Work(str(source), FileForm(form), folder, explain),
            planning.Past(self._store, self._pseudonyms),
            self._settings,
            on_progress,
            stopped,
        )
        if found.chunks > 1:
            give_back()
        return Plan(found.rows_total, found.chunks)

    def needed(self, chunk: int) -> tuple[str, ...]:
        """Names of the files in the folder that scoring a chunk reads."""
        return scoring.needed(chunk)

    def score(self, folder: Path, chunk: int) -> ChunkOutcome:
        """Score one chunk; any process may, in any order, also twice.

        Raises
        ------
        Unavailable
            When the model yields no scores, or the disk cannot take more.
        NotFound
            When the folder holds no such chunk.
        """
        rows, failed = scoring.score_chunk(self._scorer, folder, chunk)
        return ChunkOutcome(rows, failed)

    def finish(self, folder: Path, chunks: int, on_progress: Callable[[float], None] = _silent) -> Path:
        """Put the result together, in order of the input; returns its file.

        Raises
        ------
        NotFound
            When a chunk is not scored yet.
        Unavailable
            When the disk cannot take more.
        """
        result = results.write_result(folder, chunks, on_progress)
        if chunks > 1:
            give_back()
        return result
