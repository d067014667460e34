"""Reports and pictures, there in full or not at all."""

from __future__ import annotations

from pathlib import Path

from bentos.core.errors import DataError
from bentos.core.files import atomic_file

__all__ = ["write_atomic"]


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Write a file whose readers see the old one or the new one; a failure leaves the old.

    Raises
    ------
    DataError
        When the folder cannot be written, or the disk is full.
    """
    try:
        with atomic_file(path) as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}; check space and permissions") from error
    return path
