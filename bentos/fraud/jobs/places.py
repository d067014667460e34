"""Where the URI of a job may lead: a list of places, empty by default.

Whoever may name an address makes the server read it for him (server-side request forgery): the cloud's metadata, a
neighbour's console, a file of the server. So a URI is taken only below a place that the operator named. HTTP cannot be
named: a redirect, or a name that resolves differently the second time, leads from an allowed address to any other.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from bentos.core.errors import FieldError, InvalidInput

__all__ = ["allowed_source", "check_place", "pinned"]

#: A scheme, a host or bucket (a file has none), and a path.
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#\\\s]*)(/[^?#\\\s]*)")
_LONGEST: Final = 2048
_REFUSED_SCHEMES: Final = frozenset({"http", "https", "ftp", "data", "reference", "jupyter", "github", "sftp", "ssh"})


def check_place(place: str) -> str:
    """A place that URIs may lead to, as it was given.

    Raises
    ------
    ValueError
        When it is no URL that ends in a slash, or of a scheme that cannot be kept within a place.
    """
    matched = _URL.fullmatch(place)
    if matched is None or not place.endswith("/") or _climbs(matched[3]):
        raise ValueError(f"{place!r} is no URL that ends in a slash, such as s3://payments-in/ or file:///srv/in/")
    if matched[1] in _REFUSED_SCHEMES:
        raise ValueError(f"{matched[1]}:// cannot be a place: what answers there may lead anywhere else")
    if "@" in matched[2]:
        raise ValueError("a place must hold no credentials; give them to the library of its scheme")
    if matched[1] == "file" and (matched[2] or matched[3] == "/"):
        raise ValueError(f"{place!r} must be file:/// and a folder below the root")
    if matched[1] != "file" and not matched[2]:
        raise ValueError(f"{place!r} names no bucket or host")
    return place


def allowed_source(uri: str, places: Sequence[str]) -> str:
    """The URI to read, or the path of a local file.

    Parameters
    ----------
    uri
        From a caller.
    places
        From the settings.

    Raises
    ------
    InvalidInput
        When it does not lie below one of the places.
    """
    matched = _URL.fullmatch(uri) if len(uri) <= _LONGEST else None
    if matched is None or not uri.isprintable() or "::" in uri or _climbs(matched[3]) or uri.endswith("/"):
        raise _refused("must be the URL of one file, such as s3://bucket/path/file.parquet, without query or ..")
    if not any(uri.startswith(place) for place in places):
        raise _refused("leads to no place that is allowed here; upload the file, or ask for FRAUD_JOB_SOURCES")
    if matched[1] != "file":
        return uri
    return str(_local(unquote(matched[3]), [unquote(urlsplit(p).path) for p in places if p.startswith("file:///")]))


def _local(path: str, folders: Sequence[str]) -> Path:
    # Links are followed first: one within the folder may lead out of it.
    try:
        found = Path(path).resolve(strict=True)
    except (OSError, ValueError) as error:
        raise _refused("there is no such file") from error
    if not found.is_file() or not any(found.is_relative_to(Path(folder).resolve()) for folder in folders):
        raise _refused("there is no such file")
    return found


@contextlib.contextmanager
def pinned(source: str) -> Iterator[str]:
    """What :func:`allowed_source` gave, to be read as long as the block lasts.

    A local file is opened here and read by that: since it was allowed, a link or a pipe may have taken its place.

    Raises
    ------
    InvalidInput
        When it is no longer there.
    """
    if "://" in source:
        yield source
        return
    try:
        # A pipe would wait for who writes it.
        file = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _refused("there is no such file, or it is not allowed to this service") from error
    try:
        held = f"/proc/self/fd/{file}"
        if not stat.S_ISREG(os.fstat(file).st_mode) or os.readlink(held) != source:  # noqa: PTH115
            raise _refused("there is no such file")
        yield held
    finally:
        os.close(file)


def _climbs(path: str) -> bool:
    return any(part in ("..", ".") for part in unquote(path).replace("\\", "/").split("/")) or "\0" in unquote(path)


def _refused(message: str) -> InvalidInput:
    return InvalidInput([FieldError("uri", message)])
