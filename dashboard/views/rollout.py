"""Rollout: how far the challenger is, what gates and paired scores say; pause, resume, promote, roll back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import streamlit as st

from bentos.core.errors import FraudError
from dashboard.gate_lanes import lanes
from dashboard.rollout_charts import changes, gates, outcomes_over_time, weights
from dashboard.rollouts import Kind, Rollouts, Seen
from dashboard.session import session
from dashboard.shadow import show_pairs
from dashboard.style import page_title
from dashboard.troubles import Trouble, show_trouble, trouble_of, troubles_shown
from dashboard.words import ago, plain

if TYPE_CHECKING:
    from k8s.rollout.record import Rollout

#: What each button says, asks, and looks like.
_ASKED: Final[dict[Kind, tuple[str, str, str]]] = {
    "pause": ("Pause", "The challenger keeps the customers that it has; no step is made.", ":material/pause:"),
    "resume": ("Resume", "Steps go on where they were.", ":material/play_arrow:"),
    "promote": ("Promote …", "All customers go to the challenger, whatever the gates say.", ":material/trophy:"),
    "abort": ("Roll back …", "All customers go back to the champion.", ":material/undo:"),
}
#: Lanes beside each other.
_ABREAST: Final = 3
#: In the session: which state the buttons are of.
_SHOWN: Final = "rollout_shown"
#: In the session: how many questions were asked.
_QUESTIONS: Final = "rollout_questions"
_ENDED: Final = {"promoted": "success", "rolled_back": "warning", "aborted": "warning"}


def page() -> None:
    """The page."""
    page_title("Rollout", "From champion to challenger: stage, weight, gates, and paired scores.")
    here = session()
    if not here.settings.dashboard_release:
        st.info(
            "Stage, weight, gates and buttons need a release on a cluster: set FRAUD_DASHBOARD_RELEASE to its name,"
            " with a kubeconfig or in a pod. Pairs of the shadow need the service alone.",
            icon=":material/cloud_off:",
        )
    else:
        _controls(_seen(_rollouts()))
        st.fragment(_live, run_every=here.settings.dashboard_refresh_seconds)()
    show_pairs(here.service, here.settings.dashboard_refresh_seconds / 2)


@st.cache_resource(show_spinner=False, max_entries=4, on_release=Rollouts.close)
def _opened(release: str, namespace: str | None, timeout_seconds: float) -> Rollouts:
    return Rollouts(release, namespace, timeout_seconds)


@st.cache_data(ttl=2, max_entries=4, show_spinner=False, hash_funcs={Rollouts: id})
def _seen(rollouts: Rollouts) -> Seen | Trouble:
    try:
        return rollouts.look()
    except FraudError as error:
        return trouble_of(error)


def _rollouts() -> Rollouts:
    settings = session().settings
    assert settings.dashboard_release, "asked for only where there is a release"  # noqa: S101
    return _opened(settings.dashboard_release, settings.dashboard_namespace, settings.dashboard_timeout_seconds)


def _controls(seen: Seen | Trouble) -> None:
    """Buttons, and what became of the last one. Not of the part that looks again: that would close an open question."""
    st.session_state[_SHOWN] = _state_of(seen)
    outcome = st.session_state.pop("rollout_outcome", None)
    if isinstance(outcome, Trouble):
        show_trouble(outcome)
    elif outcome is not None:
        st.success(outcome, icon=":material/done:")
    if isinstance(seen, Seen) and seen.current is not None:
        _buttons(seen, seen.current)


def _state_of(seen: Seen | Trouble) -> tuple[str, ...]:
    """What decides which buttons there are."""
    if isinstance(seen, Trouble) or seen.current is None:
        return ()
    return seen.current.name, seen.current.phase, str(seen.writable)


def _live() -> None:
    seen = _seen(_rollouts())
    if _state_of(seen) != st.session_state[_SHOWN]:
        st.rerun()
    if isinstance(seen, Trouble):
        show_trouble(seen)
        return
    rollout = seen.current
    if rollout is None or seen.stored is None:
        st.info(
            "This release never had a rollout. `python -m k8s rollout start` begins one.", icon=":material/swap_horiz:"
        )
        return
    _state(rollout)
    for command in seen.stored.commands.values():
        st.info(
            f"{plain(command.by)} has asked to {command.kind}; the controller has not done it yet.",
            icon=":material/hourglass:",
        )
    _evidence(rollout)
    _history(rollout, seen.stored.past)


def _state(rollout: Rollout) -> None:
    steps = len(rollout.plan.steps)
    numbers = (
        ("Phase", rollout.phase.replace("_", " ")),
        ("Stage", rollout.stage),
        ("Weight", f"{rollout.weight} %"),
        ("Step", f"{rollout.step + 1} of {steps}"),
        ("Challenger's requests", f"{rollout.requests:,.0f}"),
    )
    for column, (label, value) in zip(st.columns(len(numbers)), numbers, strict=True):
        column.metric(label, value, border=True)
    words = (
        f"**{plain(rollout.champion.shown)} → {plain(rollout.challenger.shown)}**, rollout {plain(rollout.name)} of"
        f" release {plain(rollout.release)}. {plain(rollout.reason)}"
    )
    kind = _ENDED.get(rollout.phase)
    if kind == "success":
        st.success(words, icon=":material/trophy:")
    elif kind == "warning":
        st.warning(words, icon=":material/undo:")
    else:
        st.info(words, icon=":material/swap_horiz:")
    for trouble in rollout.troubles:
        st.warning(plain(trouble), icon=":material/warning:")
    if rollout.looked is not None and not rollout.over:
        st.caption(f"The controller looked {ago(rollout.looked, datetime.now(UTC))}.")


def _buttons(seen: Seen, rollout: Rollout) -> None:
    if rollout.over:
        return
    if not session().user.may("operator"):
        st.caption("Read-only: pausing, promoting and rolling back need the role operator.")
        return
    if not seen.writable:
        st.caption("Read-only: the dashboard's account on the cluster may not change rollouts (patch configmaps).")
        return
    with st.container(horizontal=True):
        for kind, (label, about, icon) in _ASKED.items():
            useful = kind != ("pause" if rollout.phase == "paused" else "resume")
            if not useful:
                continue
            pressed = st.button(label, icon=icon, help=about, key=f"rollout_{kind}")
            if pressed and kind in ("promote", "abort"):
                st.session_state[_QUESTIONS] = number = st.session_state.get(_QUESTIONS, 0) + 1
                _confirm(kind, rollout.name, number)
            elif pressed:
                _ask(kind, rollout.name, "")


@st.dialog("Are you sure?")
def _confirm(kind: Kind, rollout: str, number: int) -> None:
    st.write(_ASKED[kind][1])
    # Numbered, because the part that looks again can overtake the run that would forget the last question's reason.
    why = st.text_area(
        "Reason", key=f"rollout_reason_{number}", max_chars=500, placeholder="what was seen, and who agreed"
    ).strip()
    if st.button(_ASKED[kind][0].removesuffix(" …"), type="primary", disabled=not why, key="rollout_go"):
        _ask(kind, rollout, why)
    if not why:
        st.caption("Write a reason first.")


def _ask(kind: Kind, rollout: str, why: str) -> None:
    try:
        first = _rollouts().ask(kind, rollout, session().user.name or "the dashboard", why)
        st.session_state["rollout_outcome"] = (
            "Asked; the controller does it within some seconds." if first else "That was asked already; once is enough."
        )
    except FraudError as error:
        st.session_state["rollout_outcome"] = trouble_of(error)
    _seen.clear()
    st.rerun()


def _evidence(rollout: Rollout) -> None:
    st.markdown("#### Gates")
    table = gates(rollout)
    if table.empty:
        st.info("No gate has said anything yet.", icon=":material/hourglass:")
    else:
        st.dataframe(
            table,
            hide_index=True,
            width="stretch",
            column_config={
                name: st.column_config.ProgressColumn(
                    name, min_value=0, max_value=1, format="%.2f", help="Evidence in logarithms, of what it takes."
                )
                for name in ("to pass", "to fail")
            },
        )
    _lanes(rollout)
    left, right = st.columns([3, 2], gap="large")
    said, moved = outcomes_over_time(rollout), weights(rollout)
    if said is not None:
        left.markdown("**Verdicts over time**")
        left.altair_chart(said, width="stretch")
    if moved is not None:
        right.markdown("**Weight**")
        right.altair_chart(moved, width="stretch")


def _lanes(rollout: Rollout) -> None:
    pictures = list(lanes(rollout).values())
    if not pictures:
        return
    st.markdown("**What was measured**")
    for start in range(0, len(pictures), _ABREAST):
        columns = st.columns(_ABREAST, gap="medium")
        for column, picture in zip(columns, pictures[start : start + _ABREAST], strict=False):
            column.altair_chart(picture, width="stretch")
    st.caption(
        "At each look, with the interval that holds however often somebody looks. An interval beyond the dashed line"
        " (tolerated) fails the gate, one within the solid line (margin) passes it. Round: pass, square: inconclusive,"
        " cross: fail."
    )


def _history(rollout: Rollout, past: tuple[Rollout, ...]) -> None:
    with st.expander("History"):
        st.dataframe(changes(rollout), hide_index=True, width="stretch")
        if past:
            st.markdown("**Earlier rollouts**")
            rows = [
                {
                    "began (UTC)": item.began.replace(tzinfo=None),
                    "rollout": item.name,
                    "challenger": item.challenger.shown,
                    "ended as": item.phase,
                    "why": item.reason,
                }
                for item in past
            ]
            st.dataframe(rows, hide_index=True, width="stretch")


with troubles_shown():
    page()
