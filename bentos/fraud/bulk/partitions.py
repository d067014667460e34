"""Partitioned data sets: which files are to be scored, and which of them are done already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import fsspec

from bentos.core.errors import Unavailable
from bentos.fraud.bulk.reading import refused

__all__ = ["Partition", "find_partitions", "share"]

_ENDING: Final = ".parquet"


@dataclass(frozen=True, slots=True)
class Partition:
    """One file of a data set.

    Parameters
    ----------
    name
        Path below the data set, such as day=2026-01-31/part-0.parquet.
    source
        Path or URI.
    version
        Tells whether the file is still the same: size, and time of change or the storage's own tag.
    """

    name: str
    source: str
    version: str

    @property
    def folder_name(self) -> str:
        """Of its work folder; the same at each repetition."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:24]


def find_partitions(source: str) -> list[Partition]:
    """Parquet files of a data set, by name; a single file is a data set of one.

    Raises
    ------
    InvalidInput
        When there are none.
    Unavailable
        When the place cannot be reached.
    """
    try:
        system, root = fsspec.url_to_fs(source.rstrip("/"))
        found = system.find(root, detail=True)
        if not found and system.isfile(root):
            found = {root: system.info(root)}
    except (ValueError, ImportError) as error:
        raise refused(f"{source} cannot be opened: its scheme is not known here", "source") from error
    except FileNotFoundError:
        found = {}
    except Exception as error:
        # The libraries behind URIs have no common class.
        raise Unavailable(f"{source} cannot be listed at the moment ({type(error).__name__})") from error
    partitions = []
    for path, about in sorted(found.items()):
        name = PurePosixPath(path).relative_to(root).as_posix() if path != root else PurePosixPath(path).name
        if name.endswith(_ENDING) and not any(part.startswith((".", "_")) for part in name.split("/")):
            partitions.append(Partition(name, _address(system, path), _version(about)))
    if not partitions:
        raise refused(f"{source} holds no files that end in {_ENDING}", "source")
    return partitions


def _address(system: Any, path: str) -> str:
    return path if "file" in system.protocol else str(system.unstrip_protocol(path))


def _version(about: dict[str, Any]) -> str:
    tag = next((about[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if about.get(key)), "")
    return f"{about.get('size')}:{tag}"


def share(partitions: list[Partition], number: int, of: int) -> list[Partition]:
    """Every ``of``-th partition from ``number`` on: what one of several machines does."""
    return partitions[number::of]
