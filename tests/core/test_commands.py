"""Command lines: found by name, and what SIGTERM means to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click
import pytest

from bentos.core.commands import Entry, LazyGroup, run_command, terminable
from bentos.core.errors import DataError


@click.group(cls=LazyGroup, entries=[Entry("nothing", "no.such.module", "Does nothing.")], heading="Steps")
def lazy() -> None:
    """Has one command, which cannot be imported."""


@click.command()
@click.argument("how")
def ends(how: str) -> int:
    """End in one of several ways."""
    if how == "error":
        raise DataError("three rows are wrong")
    if how == "interrupt":
        raise KeyboardInterrupt
    return 7


def test_the_overview_imports_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lazy, "lazy", ["--help"], "") == 0
    assert "Steps:\n  nothing  Does nothing." in capsys.readouterr().out
    with pytest.raises(ModuleNotFoundError):
        run_command(lazy, "lazy", ["nothing"], "")
    assert run_command(lazy, "lazy", ["unknown"], "") == 2


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [("error", 2, "error: three rows are wrong"), ("interrupt", 130, "stopped"), ("well", 7, "")],
)
def test_codes(how: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(ends, "ends", [how], "stopped") == code
    assert capsys.readouterr().err.strip() == said


def test_sigterm_ends_the_block_as_ctrl_c_does() -> None:
    before, told = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(KeyboardInterrupt), terminable(lambda: told.append("first")):
        os.kill(os.getpid(), signal.SIGTERM)
    assert told == ["first"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_nothing() -> None:
    program = (
        "import signal, threading\n"
        "from bentos.core.commands import terminable\n"
        "def work():\n    with terminable(): print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
