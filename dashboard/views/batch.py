"""Score a file: upload, columns, progress, result. The job's id stands in the address, so that a reload goes on."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from bentos.core.errors import FraudError, InvalidInput
from bentos.core.jobs import ENDED, Job, ResultForm, SourceForm
from dashboard import reads
from dashboard.charts import score_histogram
from dashboard.columns import FIELDS, REQUIRED, form_of, guessed, head, renamed
from dashboard.service import Service
from dashboard.session import session
from dashboard.style import page_title
from dashboard.troubles import Trouble, show_trouble, trouble_of, troubles_shown
from dashboard.words import percent, plain

_TYPES: Final = ["csv", "parquet", "pq", "jsonl", "ndjson"]
_LOOK_SECONDS: Final = 1.0
_NONE: Final = "–"
#: Errors and flagged rows that are shown; the download has all.
_SHOWN: Final = 1000
_DOWNLOADS: Final[tuple[tuple[ResultForm, str, str], ...]] = (
    ("csv", "CSV", "text/csv"),
    ("parquet", "Parquet", "application/vnd.apache.parquet"),
)


def page() -> None:
    """The page."""
    page_title("Batch", "A file of transactions, scored in the background. Nothing is recorded.")
    job_id = st.query_params.get("job")
    if job_id:
        _job(job_id)
    else:
        _upload()


def _upload() -> None:
    file = st.file_uploader(
        "File of transactions",
        type=_TYPES,
        key="batch_file",
        help="CSV, Parquet or JSON Lines. What is too large for an upload goes to the service by URI: docs/batch.md.",
    )
    if file is None:
        needed = ", ".join(REQUIRED)
        st.caption(
            f"Needs columns for {needed}, whatever they are called; timestamps with an offset. Rows in any order."
        )
        _by_uri()
        return
    content = file.getvalue()
    try:
        form = form_of(file.name)
        first = head(content, form)
    except InvalidInput as error:
        show_trouble(trouble_of(error))
        return
    left, right = st.columns([2, 5], gap="large")
    with left:
        mapping = _mapping([str(column) for column in first.columns])
        reasons = st.segmented_control(
            "Reasons", ["flagged", "all", "none"], default="flagged", required=True, key="batch_explain"
        )
        missing = [field for field in REQUIRED if field not in mapping]
        if missing:
            st.caption(f"Choose columns for: {', '.join(missing)}.")
        st.button(
            "Score the file",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(missing),
            on_click=_submit,
            args=(content, form, mapping, reasons or "flagged"),
        )
    with right:
        chosen = {column: field for field, column in mapping.items()}
        st.markdown("**The first rows, as they will be read**")
        st.dataframe(first.rename(columns=chosen).astype(str), hide_index=True, width="stretch", height=420)


def _by_uri() -> None:
    with st.expander("A file that is too large to upload"):
        st.caption(
            "The service reads it itself, from a place that it is allowed to read (FRAUD_JOB_SOURCES). Its columns have"
            " to be called as the fields of a transaction are."
        )
        uri = st.text_input("URI", key="batch_uri", placeholder="s3://payments-in/2026-05-30.parquet").strip()
        st.button("Score it there", icon=":material/cloud:", disabled=not uri, on_click=_submit_uri, args=(uri,))


def _mapping(columns: list[str]) -> dict[str, str]:
    st.markdown("**Columns**")
    suggested = guessed(columns)
    chosen = {}
    left, right = st.columns(2)
    for place, field in enumerate(FIELDS):
        options = [_NONE, *columns]
        index = options.index(suggested[field]) if field in suggested else 0
        label = f"{field} *" if field in REQUIRED else field
        # Another file has other columns, and so other widgets.
        key = f"column_{field}_{hashlib.sha256(repr(columns).encode()).hexdigest()[:8]}"
        column = (left, right)[place % 2].selectbox(label, options, index=index, key=key)
        if column != _NONE:
            chosen[field] = column
    return chosen


def _submit(content: bytes, form: SourceForm, mapping: dict[str, str], explain: Any) -> None:
    with _troubles_kept(), tempfile.TemporaryDirectory(prefix="fraud-upload-") as folder:
        file = renamed(content, form, mapping)
        path = Path(folder) / f"upload.{form}"
        path.write_bytes(file)
        _hand_in(path, file + str(explain).encode(), form=form, explain=explain)


def _submit_uri(uri: str) -> None:
    with _troubles_kept():
        _hand_in(uri, uri.encode())


def _hand_in(source: Path | str, what: bytes, **options: Any) -> None:
    here = session()
    # The same file, columns and wish are the same job: a button that was pressed twice makes one.
    digest = hashlib.sha256(what + f"{here.user.name}{st.session_state.get('batch_round', 0)}".encode())
    job = here.service.client.predict_batch(
        source,
        timeout_seconds=here.settings.dashboard_upload_timeout_seconds,
        headers={"idempotency-key": digest.hexdigest()},
        **options,
    )
    st.query_params["job"] = job.job_id


@contextmanager
def _troubles_kept() -> Iterator[None]:
    """Of a button's callback: what goes wrong is shown by the run that follows."""
    try:
        yield
    except FraudError as error:
        st.session_state["batch_trouble"] = trouble_of(error)


def _another() -> None:
    st.query_params.pop("job", None)
    st.session_state["batch_round"] = st.session_state.get("batch_round", 0) + 1


def _job(job_id: str) -> None:
    st.button("Score another file", icon=":material/upload_file:", on_click=_another)
    job = reads.job(session().service, job_id)
    if isinstance(job, Trouble):
        show_trouble(job)
        if not job.gone:
            st.caption("The job goes on without this page. Reload it once the service answers again.")
        return
    if job.status not in ENDED:
        st.fragment(_progress, run_every=_LOOK_SECONDS)(job_id)
        return
    st.caption(f"Job {plain(job.job_id)} · {job.status} {job.updated_at:%Y-%m-%d %H:%M:%S} UTC")
    if job.status == "completed":
        _result(job)
    elif job.status == "failed":
        show_trouble(Trouble("The file could not be scored", job.error or "no reason was given"))
    elif job.status == "expired":
        st.info("The result was kept for its time and is gone. Score the file again.", icon=":material/delete:")
    else:
        st.info("The job was cancelled. Nothing of it is kept.", icon=":material/cancel:")


def _progress(job_id: str) -> None:
    job = reads.job(session().service, job_id)
    if isinstance(job, Trouble):
        show_trouble(job)
        return
    if job.status in ENDED:
        st.rerun()
    total = "" if job.rows_total is None else f" of {job.rows_total:,}"
    words = "waits for a worker" if job.status == "pending" else f"{job.rows_done:,}{total} rows scored"
    st.progress(min(job.progress, 100) / 100, text=f"Job {plain(job.job_id)}: {words}, {job.rows_failed:,} with errors")
    st.caption("You may close this page. Its address leads back here.")
    st.button("Cancel the job", icon=":material/stop:", on_click=_cancel, args=(job_id,))


def _cancel(job_id: str) -> None:
    with _troubles_kept():
        session().service.client.job_cancel(job_id)
    reads.job.clear()


@st.cache_data(ttl=600, max_entries=4, max_size="1GB", show_spinner="Fetching the result")
def _frame(url: str, job_id: str, timeout_seconds: float) -> pd.DataFrame | Trouble:  # noqa: ARG001 - tells services apart
    try:
        return session().service.client.job_result(job_id, timeout_seconds=timeout_seconds)
    except FraudError as error:
        return trouble_of(error)


def _download(service: Service, job_id: str, form: ResultForm, timeout_seconds: float) -> bytes:
    # Called when the button is pressed, outside of any session.
    with tempfile.TemporaryDirectory(prefix="fraud-result-") as folder:
        path = Path(folder) / "result"
        service.client.job_download(job_id, path, form=form, timeout_seconds=timeout_seconds)
        return path.read_bytes()


def _result(job: Job) -> None:
    here = session()
    seconds = here.settings.dashboard_upload_timeout_seconds
    frame = _frame(here.service.url, job.job_id, seconds)
    if isinstance(frame, Trouble):
        show_trouble(frame)
        return
    scored = frame[frame["error"].isna()]
    failed = frame[frame["error"].notna()]
    flagged = scored[scored["decision"] != "approve"]
    _numbers(frame, scored, failed, flagged)
    with st.container(horizontal=True):
        for form, name, mime in _DOWNLOADS:
            st.download_button(
                f"Result as {name}",
                data=partial(_download, here.service, job.job_id, form, seconds),
                file_name=f"scores-{job.job_id}.{form}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
            )
    names = ["Scores", f"Flagged rows ({len(flagged):,})", f"Errors ({len(failed):,})"]
    scores, rows, errors = st.tabs(names)
    with scores:
        if len(scored):
            st.altair_chart(score_histogram(scored["score"].tolist(), scored["decision"].tolist()), width="stretch")
        else:
            st.info("No row could be scored.")
    with rows:
        shown = flagged.sort_values("score", ascending=False).head(_SHOWN)
        st.dataframe(_numbered(shown.drop(columns=["error"])), hide_index=True, width="stretch")
    with errors:
        columns = ["error", *(name for name in FIELDS if name in frame.columns)]
        st.dataframe(_numbered(failed[columns].head(_SHOWN)), hide_index=True, width="stretch")
        if len(failed) > _SHOWN:
            st.caption(f"The first {_SHOWN:,}; the download has all.")


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    numbered = frame.copy()
    numbered.insert(0, "row", [int(place) + 1 for place in frame.index])
    return numbered


def _numbers(frame: pd.DataFrame, scored: pd.DataFrame, failed: pd.DataFrame, flagged: pd.DataFrame) -> None:
    blocked = scored[scored["decision"] == "block"]
    flagged_share = percent(len(flagged) / len(scored)) if len(scored) else "–"
    values = (
        ("Rows", f"{len(frame):,}"),
        ("Reviewed", f"{len(flagged) - len(blocked):,}"),
        ("Blocked", f"{len(blocked):,}"),
        ("Alert rate", flagged_share),
        ("With errors", f"{len(failed):,}"),
    )
    for column, (label, value) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value, border=True)


trouble = st.session_state.pop("batch_trouble", None)
if trouble is not None:
    show_trouble(trouble)
with troubles_shown():
    page()
