"""From a file of transactions to a file of scores."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.core.errors import NotFound, Unavailable
from bentos.core.features import feature_table
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import read_snapshot, write_snapshot
from bentos.core.transaction import Transaction
from bentos.fraud.bulk import json_rows, planning
from bentos.fraud.bulk.pipeline import Pipeline, csv_parts
from bentos.fraud.scorer import Scorer, decide
from bentos.fraud.store import EmbeddedStore
from tests.fraud.bulk.tables import as_sent, feature_values, scored, transactions


def test_features_equal_the_offline_tables_with_history_in_the_store(
    pipeline: Pipeline, store: EmbeddedStore, tmp_path: Path
) -> None:
    table = transactions(6000)
    write_snapshot(table.iloc[:3000], tmp_path / "past.npz", Pseudonyms("secret"))
    store.fill(read_snapshot(tmp_path / "past.npz"))
    # In any order: rows are taken in order of time.
    order = np.random.default_rng(1).permutation(3000)
    as_sent(table.iloc[3000:].iloc[order]).to_csv(tmp_path / "in.csv", index=False)
    pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work")
    expected = feature_table(table)[3000:][order]
    np.testing.assert_allclose(feature_values(tmp_path / "work"), expected, rtol=0, atol=1e-9)


def test_a_transaction_of_the_stored_history_counts_once_and_does_not_see_itself(
    pipeline: Pipeline, store: EmbeddedStore, tmp_path: Path
) -> None:
    table = transactions(6000)
    # Nothing has left the windows yet.
    table = table[table["timestamp"] > table["timestamp"].max() - pd.Timedelta(days=29)]
    rows = as_sent(table)
    sent = [Transaction(**{k: v for k, v in row.items() if pd.notna(v)}) for row in rows.to_dict("records")]
    before = asyncio.run(store.lookup_many(sent, [True] * len(sent)))
    newest = store.newest()
    rows.to_csv(tmp_path / "in.csv", index=False)
    pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work")
    np.testing.assert_allclose(feature_values(tmp_path / "work"), before.values, rtol=0, atol=1e-9)
    assert store.newest() == newest


def test_a_long_file_keeps_its_own_past_beside_a_store_that_is_newer(
    pipeline: Pipeline, store: EmbeddedStore, tmp_path: Path
) -> None:
    table = transactions(3000)
    assert table["timestamp"].max() - table["timestamp"].min() > pd.Timedelta(days=80)
    newest = table["timestamp"].max().isoformat()
    other = Transaction(
        transaction_id="x", customer_id="x", merchant_id="x", merchant_category="x", amount=1, timestamp=newest
    )
    asyncio.run(store.lookup_many([other], [True]))
    as_sent(table).to_csv(tmp_path / "in.csv", index=False)
    pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work")
    np.testing.assert_allclose(feature_values(tmp_path / "work"), feature_table(table), rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_every_form_gives_the_same_result(pipeline: Pipeline, scorer: Scorer, tmp_path: Path, form: str) -> None:
    rows = as_sent(transactions(2500))
    source = tmp_path / f"in.{form}"
    if form == "csv":
        rows.to_csv(source, index=False)
    elif form == "parquet":
        rows.to_parquet(source, index=False)
    else:
        rows.to_json(source, orient="records", lines=True)
    result = scored(pipeline, source, form, tmp_path / "work", "all")
    assert result["transaction_id"].tolist() == rows["transaction_id"].tolist()
    assert list(result.columns) == [*rows.columns, "score", "decision", "reasons", "error", "model_version"]
    _, score = scorer.score(feature_values(tmp_path / "work"))
    np.testing.assert_array_equal(result["score"], score)
    assert result["decision"].tolist() == [decide(one, scorer.thresholds) for one in score.tolist()]
    assert result["error"].isna().all()
    assert set(json.loads(result["reasons"].iloc[0])[0]) == {"feature", "value", "contribution", "text"}
    assert set(result["model_version"]) == {"7"}


def test_reasons_are_given_to_flagged_rows_only(pipeline: Pipeline, tmp_path: Path) -> None:
    as_sent(transactions(1500)).to_csv(tmp_path / "in.csv", index=False)
    result = scored(pipeline, tmp_path / "in.csv", "csv", tmp_path / "work")
    assert result["reasons"].notna().tolist() == (result["decision"] != "approve").tolist()
    assert result["reasons"].notna().any()


def test_bad_rows_get_an_error_and_the_others_their_scores(pipeline: Pipeline, tmp_path: Path) -> None:
    text = (
        "customer_id,merchant_id,amount,timestamp,note\n"
        "c,m,12.5,2026-01-31T12:00:00+01:00,=1+1\n"
        "c,m,-1,2026-01-31T12:00:00+01:00,b\n"
        "c,m,1\n"
        "c,m,1,2026-01-31T12:00:00,d"
    )
    (tmp_path / "in.csv").write_text(text)
    result = scored(pipeline, tmp_path / "in.csv", "csv", tmp_path / "work")
    assert result["score"].notna().tolist() == [True, False, False, False]
    first, negative, short, naive = result["error"].tolist()
    assert not isinstance(first, str)
    assert negative == "amount: Input should be greater than or equal to 0"
    assert short == "has 3 cells, the header names 5"
    assert naive.startswith("timestamp: ")
    assert result["note"].tolist()[:2] == ["=1+1", "b"]
    csv = pd.read_csv(io.BytesIO(b"".join(csv_parts((tmp_path / "work" / "result.parquet").open("rb")))))
    assert csv["note"].tolist()[0] == "'=1+1"
    assert csv["score"].tolist()[0] == result["score"][0]


def test_columns_of_the_results_own_names_are_renamed(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "customer_id,merchant_id,amount,timestamp,score,input_score\nc,m,1,2026-01-31T12:00:00Z,x,y\n"
    )
    result = scored(pipeline, tmp_path / "in.csv", "csv", tmp_path / "work")
    assert result["input_input_score"].tolist() == ["x"]
    assert result["input_score"].tolist() == ["y"]


def test_repeating_gives_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    as_sent(transactions(1500)).drop(columns="transaction_id").to_csv(tmp_path / "in.csv", index=False)
    results = []
    for place in ("a", "b"):
        scored(pipeline, tmp_path / "in.csv", "csv", tmp_path / place / "job")
        pipeline.score(tmp_path / place / "job", 0)
        results.append((tmp_path / place / "job" / "result.parquet").read_bytes())
    assert results[0] == results[1]


def test_steps_out_of_order_are_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    as_sent(transactions(10)).to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(NotFound):
        pipeline.score(tmp_path / "work", 0)
    pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work")
    with pytest.raises(NotFound):
        pipeline.finish(tmp_path / "work", 1)


def test_a_plan_that_is_stopped_leaves_nothing_half_done(pipeline: Pipeline, tmp_path: Path) -> None:
    as_sent(transactions(3000)).to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(Unavailable, match="told to stop"):
        pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work", stopped=lambda: True)
    assert not (tmp_path / "work" / "plan.json").exists()
    assert pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work").rows_total == 3000


_KILLED = """
import os, signal, sys
from pathlib import Path
from bentos.core.artifact import read_artifact
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.bulk import chunks, pipeline
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import EmbeddedStore
artifact, store, source, folder, after = sys.argv[1:]
left = int(after)
replace = Path.replace
def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = counted
names = Pseudonyms("secret")
settings = ScoringSettings(home=Path(folder), bulk_chunk_rows=1000)
scorer = Scorer(read_artifact(Path(artifact), public_key=None))
made = pipeline.Pipeline(scorer, EmbeddedStore(Path(store), names), names, settings)
plan = made.plan(source, "csv", Path(folder))
for chunk in range(plan.chunks):
    made.score(Path(folder), chunk)
made.finish(Path(folder), plan.chunks)
"""


# 3 chunks: 3 inputs, 3 feature files, the plan, 3 scores, the result; killed before each of these takes its place.
@pytest.mark.parametrize("after", [1, 4, 6, 8, 10])
def test_what_was_killed_is_done_again_with_the_same_result(
    pipeline: Pipeline, store: EmbeddedStore, champion_home: Path, tmp_path: Path, after: int
) -> None:
    as_sent(transactions(3000)).to_csv(tmp_path / "in.csv", index=False)
    folder = tmp_path / "killed" / "job"
    arguments = [champion_home / "champion" / "artifact", tmp_path / "real.store", tmp_path / "in.csv", folder, after]
    ended = subprocess.run([sys.executable, "-c", _KILLED, *map(str, arguments)], check=False, env=dict(os.environ))
    assert ended.returncode == -signal.SIGKILL
    assert not (folder / "result.parquet").exists()
    scored(pipeline, tmp_path / "in.csv", "csv", folder)
    scored(pipeline, tmp_path / "in.csv", "csv", tmp_path / "whole" / "job")
    assert (folder / "result.parquet").read_bytes() == (tmp_path / "whole" / "job" / "result.parquet").read_bytes()


def test_a_worker_that_was_thought_dead_takes_nothing_from_its_heir(pipeline: Pipeline, tmp_path: Path) -> None:
    as_sent(transactions(3000)).to_csv(tmp_path / "in.csv", index=False)
    looks = 0

    def while_the_heir_is_at_it() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            with pytest.raises(Unavailable, match="told to stop"):
                pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work", stopped=lambda: True)
        return False

    plan = pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work", stopped=while_the_heir_is_at_it)
    assert (plan.rows_total, plan.chunks) == (3000, 3)
    assert not list((tmp_path / "work").glob(".*"))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_wide_rows_make_small_chunks(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Some thousand rows of a megabyte would fit into no memory."""
    monkeypatch.setattr(planning, "_PIECE_BYTES", 200_000)
    monkeypatch.setattr(json_rows, "_BYTES", 50_000)
    table = as_sent(transactions(900)).assign(note="x" * 1500)
    if form == "csv":
        table.to_csv(tmp_path / "in", index=False)
    else:
        table.to_json(tmp_path / "in", orient="records", lines=True)
    plan = pipeline.plan(tmp_path / "in", form, tmp_path / "work")
    assert plan.chunks > 1
    result = scored(pipeline, tmp_path / "in", form, tmp_path / "work")
    assert result["transaction_id"].tolist() == table["transaction_id"].tolist()
    np.testing.assert_allclose(feature_values(tmp_path / "work"), feature_table(transactions(900)), rtol=0, atol=1e-9)


def test_a_full_disk_is_waited_for(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_sent(transactions(100)).to_csv(tmp_path / "in.csv", index=False)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(Unavailable, match="disk of the work folder is full"):
            pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work")
    assert pipeline.plan(tmp_path / "in.csv", "csv", tmp_path / "work").rows_total == 100


def test_no_name_of_a_column_is_a_formula(pipeline: Pipeline, tmp_path: Path) -> None:
    row = "c,m,1,2026-01-31T12:00:00Z,x\n"
    (tmp_path / "in.csv").write_text("customer_id,merchant_id,amount,timestamp,=1+1\n" + row)
    assert scored(pipeline, tmp_path / "in.csv", "csv", tmp_path / "work")["=1+1"].tolist() == ["x"]
    csv = pd.read_csv(io.BytesIO(b"".join(csv_parts((tmp_path / "work" / "result.parquet").open("rb")))))
    assert csv["'=1+1"].tolist() == ["x"]
