"""Where tables are read from: a path of this machine, or any URL of fsspec, such as an object of S3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bentos.core.errors import DataError

__all__ = ["opened"]


@contextlib.contextmanager
def opened(source: str | Path, what: str, advice: str) -> Iterator[Any]:
    """What a reader of files takes: the path itself, or a stream of a URL's bytes.

    Parameters
    ----------
    source
        Path or URL.
    what
        It should be, for the message.
    advice
        What to do when it is not there.

    Raises
    ------
    DataError
        There is nothing, or its place cannot be reached.
    """
    text = str(source)
    missing = f"there is no {what} at {text}; {advice}"
    if "://" not in text:
        if not Path(source).is_file():
            raise DataError(missing)
        yield Path(source)
        return
    import fsspec

    try:
        stream = fsspec.open(text, "rb").open()
    except FileNotFoundError as error:
        raise DataError(missing) from error
    except (ImportError, ValueError) as error:
        raise DataError(f"{text} cannot be opened: {error}") from error
    except Exception as error:
        # The libraries behind URLs have no common class.
        raise DataError(f"{text} cannot be read at the moment ({type(error).__name__}: {error})") from error
    with stream:
        yield stream
