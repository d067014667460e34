"""Scores the partitions of a data set in several processes of one machine."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bentos.core.commands import terminable
from bentos.core.errors import FraudError, Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.application import load_artifact, open_store
from bentos.fraud.bulk.memory import spare_memory
from bentos.fraud.bulk.partitions import Partition
from bentos.fraud.bulk.pipeline import Pipeline
from bentos.fraud.bulk.reading import FileForm
from bentos.fraud.bulk.targets import Target
from bentos.fraud.options import Explain
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings

__all__ = ["Outcome", "score_partitions"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a partition; ``trouble`` says why it is not done, None when it is."""

    partition: Partition
    rows: int = 0
    failed: int = 0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class _Process:
    """What a process works with."""

    pipeline: Pipeline
    target: Target
    scratch: Path
    explain: Explain
    stop: Any


#: Set once in each process, when it starts.
_PROCESS: Final[list[_Process]] = []


def score_partitions(
    partitions: Sequence[Partition],
    target: Target,
    settings: ScoringSettings,
    scratch: Path,
    *,
    workers: int,
    explain: Explain,
) -> Iterator[Outcome]:
    """Score partitions; outcomes come as they are done. One that fails does not stop the others.

    Parameters
    ----------
    partitions
        To be scored.
    target
        Where results go.
    settings
        Of the service.
    scratch
        Folder for temporary files.
    workers
        Processes.
    explain
        Which rows get reasons.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    first = (settings, target, scratch, explain, stop)
    with terminable(), ProcessPoolExecutor(workers, context, _begin, first) as pool:
        waiting = {pool.submit(_score, partition): partition for partition in partitions}
        try:
            for done in as_completed(waiting):
                error = done.exception()
                yield done.result() if error is None else Outcome(waiting[done], trouble=_lost(error))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _lost(error: BaseException) -> str:
    return f"its process ended ({type(error).__name__}); see the log, or whether memory ran out"


def _begin(settings: ScoringSettings, target: Target, scratch: Path, explain: Explain, stop: Any) -> None:
    # Ctrl-C reaches every process of the terminal; the first one tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spare_memory()
    scorer = Scorer(load_artifact(settings), threads=settings.inference_threads)
    pseudonyms = Pseudonyms(settings.pseudonym_key.get_secret_value())
    pipeline = Pipeline(scorer, open_store(settings), pseudonyms, settings)
    _PROCESS.append(_Process(pipeline, target, scratch, explain, stop))


def _score(partition: Partition) -> Outcome:
    (process,) = _PROCESS
    folder = process.scratch / partition.folder_name
    try:
        plan = process.pipeline.plan(
            partition.source, FileForm.PARQUET, folder, process.explain, stopped=process.stop.is_set
        )
        failed = 0
        for chunk in range(plan.chunks):
            if process.stop.is_set():
                raise Unavailable("interrupted")
            failed += process.pipeline.score(folder, chunk).failed
        result = process.pipeline.finish(folder, plan.chunks)
        process.target.put(partition, result, plan.rows_total, failed)
    except (FraudError, OSError) as error:
        return Outcome(partition, trouble=str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(partition, plan.rows_total, failed)
