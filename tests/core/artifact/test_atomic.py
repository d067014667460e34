"""An artifact is there as a whole or not at all, whatever ends the process that writes it."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bentos.core.artifact import folder as folder_module
from bentos.core.artifact import read_artifact, write_artifact
from bentos.core.errors import ArtifactError
from tests.core.artifact.contents import contents

#: Large enough that a signal arrives in the midst of it.
MODELS = {"1": b"1" * 3_000_000, "2": b"2" * 3_000_000}


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; its exit code is 0 when the work ends well and 1 when it raises."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def write_for_ever(folder: Path, says_ready: int | None = None) -> None:
    if says_ready is not None:
        os.write(says_ready, b"!")
    while True:
        for version, model in MODELS.items():
            write_artifact(folder, contents(version, model), private_key=None)


def ended_by_interrupt(pid: int) -> int:
    """Exit status of a child after a Ctrl-C; after another when Python dropped the first.

    What a signal's handler raises within a finaliser or a callback of the garbage collector goes to nobody.
    """
    while True:
        os.kill(pid, signal.SIGINT)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.01)


def assert_whole(folder: Path) -> None:
    artifact = read_artifact(folder, public_key=None)
    assert artifact.onnx == MODELS[artifact.card.version]


def test_a_killed_writer_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    write_artifact(folder, contents("1", MODELS["1"]), private_key=None)
    delays = np.random.default_rng(0).uniform(0.01, 0.12, size=12)
    abandoned = 0
    for delay in delays.tolist():
        pid = in_child(lambda: write_for_ever(folder))
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        assert_whole(folder)
        abandoned += len(list(tmp_path.iterdir())) - 1
    assert abandoned > 0, "no writer was killed in the midst of writing: the test shows nothing"
    write_artifact(folder, contents("1", MODELS["1"]), private_key=None)
    assert list(tmp_path.iterdir()) == [folder]


def test_an_interrupted_writer_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    write_artifact(folder, contents("1", MODELS["1"]), private_key=None)

    ready, says_ready = os.pipe()

    def until_interrupted() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            write_for_ever(folder, says_ready)

    for delay in np.random.default_rng(1).uniform(0.01, 0.1, size=6).tolist():
        pid = in_child(until_interrupted)
        assert os.read(ready, 1) == b"!"
        time.sleep(delay)
        assert ended_by_interrupt(pid) == 0
        assert_whole(folder)
        assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("before", [True, False], ids=["replacing", "first"])
def test_a_full_disk_changes_nothing(tmp_path: Path, before: bool) -> None:
    folder = tmp_path / "artifact"
    if before:
        write_artifact(folder, contents("1", MODELS["1"]), private_key=None)

    def on_a_full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        with pytest.raises(ArtifactError, match="cannot be written"):
            write_artifact(folder, contents("2", MODELS["2"]), private_key=None)

    assert os.waitpid(in_child(on_a_full_disk), 0)[1] == 0
    assert list(tmp_path.iterdir()) == ([folder] if before else [])
    if before:
        assert read_artifact(folder, public_key=None).card.version == "1"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "artifact").write_text("mine")
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_artifact(tmp_path / "artifact", contents(), private_key=None)
    assert (tmp_path / "artifact").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_readers_see_one_version_while_it_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    write_artifact(folder, contents("1", MODELS["1"]), private_key=None)
    pid = in_child(lambda: write_for_ever(folder))
    try:
        seen = set()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            artifact = read_artifact(folder, public_key=None)
            assert artifact.onnx == MODELS[artifact.card.version]
            seen.add(artifact.card.version)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert seen == {"1", "2"}


def test_writers_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    failures: list[Exception] = []

    def write(version: str) -> None:
        try:
            for _ in range(4):
                write_artifact(folder, contents(version, MODELS[version]), private_key=None)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=write, args=(version,)) for version in MODELS for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert_whole(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_it_is_replaced_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What macOS and file systems without the call do; no such file system is at hand here.
    monkeypatch.setattr(folder_module, "_exchange", lambda *_: False)
    folder = tmp_path / "artifact"
    for version, model in MODELS.items():
        write_artifact(folder, contents(version, model), private_key=None)
    assert read_artifact(folder, public_key=None).card.version == "2"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    write_artifact(tmp_path / "v1", contents("1"), private_key=None)
    (tmp_path / "current").symlink_to("v1")
    write_artifact(tmp_path / "current", contents("2"), private_key=None)
    assert (tmp_path / "current").is_symlink()
    assert read_artifact(tmp_path / "v1", public_key=None).card.version == "2"
