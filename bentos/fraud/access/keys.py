"""API keys and the file that knows them.

A key is 256 random bits, so nobody finds it by trying, and the file holds its SHA-256 alone. A slow hash with a salt,
as for passwords, protects what people choose; here it would only make every request slower. Looking a digest up in a
dict tells by its time at most something of the digest, which does not lead to the key.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bentos.core.errors import ConfigError, Conflict, NotFound
from bentos.core.files import atomic_file

__all__ = [
    "KEY_PREFIX",
    "KeyFile",
    "KeyRecord",
    "add_key",
    "is_over",
    "key_digest",
    "new_key",
    "read_keys",
    "remove_key",
]

#: Tells people and scanners what such a text is.
KEY_PREFIX: Final = "fraudkey_"
_KEY_BYTES: Final = 32
_MAXIMUM_FILE_BYTES: Final = 4 * 1024 * 1024
_PRIVATE: Final = 0o600

KeyRole = Literal["score", "feedback", "admin"]


class KeyRecord(BaseModel):
    """What is known of one key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    roles: Annotated[tuple[KeyRole, ...], Field(min_length=1)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    rows_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = None
    burst_rows: Annotated[float, Field(ge=1, le=1e7)] | None = None


class KeyFile(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    keys: tuple[KeyRecord, ...] = ()


_FIELDS: Final = {*KeyFile.model_fields, *KeyRecord.model_fields}
#: Of what is wrong with a file.
_SHOWN: Final = 5


def new_key() -> str:
    """A key that nobody has had before."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def key_digest(key: str) -> bytes:
    """What is kept of a key."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def read_keys(path: Path) -> KeyFile:
    """Read the file.

    Raises
    ------
    ConfigError
        When it is missing or no such file. The message shows nothing of it but the places of what is wrong.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAXIMUM_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the API keys in {path} cannot be read: {error.strerror}; `python -m bentos.fraud keys create` makes the"
            " file"
        ) from error
    if len(content) > _MAXIMUM_FILE_BYTES:
        raise ConfigError(f"the file of API keys {path} is longer than {_MAXIMUM_FILE_BYTES} bytes")
    try:
        file = KeyFile.model_validate_json(content)
    except ValidationError as error:
        # Not chained: pydantic's own text quotes what the file holds.
        raise ConfigError(f"{path} is no file of API keys: {_wrong(error)}") from None
    for field in ("name", "sha256"):
        values = [getattr(key, field) for key in file.keys]
        if len(set(values)) < len(values):
            raise ConfigError(f"{path} is no file of API keys: two keys have the same {field}")
    return file


def _wrong(error: ValidationError) -> str:
    places = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]:
        # A name that nobody knows may be a key that somebody put in the wrong place.
        known = (str(part) if isinstance(part, int) or part in _FIELDS else "(unknown)" for part in item["loc"])
        places.append(f"{'.'.join(known) or 'file'}: {item['msg']}")
    return "; ".join(places)


def add_key(path: Path, key: str, record: KeyRecord) -> None:
    """Add a key to the file, which is made when it is missing, readable by its owner alone.

    Parameters
    ----------
    path
        Of the file.
    key
        As its owner will send it.
    record
        Its ``sha256`` is set here.

    Raises
    ------
    Conflict
        There is a key of that name.
    ConfigError
        The file cannot be read or written.
    """
    with _changing(path) as keys:
        if any(known.name == record.name for known in keys):
            raise Conflict(f"there is a key named {record.name!r} in {path}; revoke it first, or choose another name")
        keys.append(record.model_copy(update={"sha256": key_digest(key).hex()}))


def remove_key(path: Path, name: str) -> None:
    """Take a key out of the file.

    Raises
    ------
    NotFound
        There is none of that name.
    ConfigError
        The file cannot be read or written.
    """
    with _changing(path) as keys:
        kept = [known for known in keys if known.name != name]
        if len(kept) == len(keys):
            raise NotFound(f"there is no key named {name!r} in {path}; `python -m bentos.fraud keys list` shows them")
        keys[:] = kept


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[KeyRecord]]:
    """The keys of a file, which are written when the block ends well. Two who change it wait for each other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            keys = list(read_keys(path).keys) if path.exists() else []
            yield keys
            document = KeyFile(keys=tuple(keys)).model_dump_json(indent=2, exclude_none=True)
            with atomic_file(path, mode=_PRIVATE) as stream:
                stream.write(document.encode() + b"\n")
        finally:
            os.close(handle)
    except OSError as error:
        raise ConfigError(f"the API keys in {path} cannot be written: {error.strerror}") from error


def is_over(record: KeyRecord, now: datetime | None = None) -> bool:
    """Whether a key's time is over."""
    return record.expires_at is not None and record.expires_at <= (now or datetime.now(UTC))
