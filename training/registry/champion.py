"""The champion's files on this machine: ``$FRAUD_HOME/champion/`` with ``artifact/`` and ``snapshot/``.

``champion`` is a symbolic link to a folder under ``champions/`` that is complete before the link moves. Replacing
a link is one rename: whoever opens a path through it finds the old champion or the new one, never half of either.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bentos.core.errors import RegistryError
from bentos.core.files import sync_folder

__all__ = ["champion_folder", "placed_version", "prepared", "switch"]

#: A server that is just starting may still read the champion before.
_KEPT: Final = 2


def champion_folder(home: Path) -> Path:
    """Where `bentoml serve` and `bentoml build` find the champion."""
    return home / "champion"


def placed_version(home: Path) -> str | None:
    """Number of the version that lies there; None when there is none."""
    link = champion_folder(home)
    if not link.is_symlink():
        return None
    return link.resolve().name.partition("-")[0].removeprefix("v")


@contextlib.contextmanager
def prepared(home: Path, name: str) -> Iterator[Path]:
    """A new folder to fill; after the block it is durable as ``champions/<name>``, after an error it is gone."""
    store = home / "champions"
    target = store / name
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store, prefix=".incoming-") as temporary:
            content = Path(temporary) / "content"
            yield content
            if target.exists():  # promoted before: the same digest, the same content
                return
            _sync_tree(content)
            content.rename(target)
            sync_folder(store)
    except OSError as error:
        raise RegistryError(
            f"the champion cannot be written under {store}: {error.strerror}; check space and permissions. The"
            " champion before stays"
        ) from error


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def switch(home: Path, name: str) -> Path:
    """Point ``champion`` to ``champions/<name>`` in one step, and drop all but the two latest folders.

    Raises
    ------
    RegistryError
        When ``champion`` is something that this product has not made, or cannot be replaced.
    """
    link = champion_folder(home)
    if link.exists() and not link.is_symlink():
        raise RegistryError(f"{link} is not the link that promote makes: move it away, then promote again")
    before = link.resolve().name if link.is_symlink() else None
    temporary = home / f".champion-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("champions") / name)
        temporary.replace(link)
        sync_folder(home)
    except OSError as error:
        raise RegistryError(f"{link} cannot be replaced: {error.strerror}; the champion before stays") from error
    finally:
        temporary.unlink(missing_ok=True)
    _prune(home / "champions", {name, before})
    return link


def _prune(store: Path, needed: set[str | None]) -> None:
    folders = sorted(
        (path for path in store.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in folders[_KEPT:]:
        if path.name not in needed:
            shutil.rmtree(path, ignore_errors=True)  # what stays costs disk only, and the next promotion tries again
