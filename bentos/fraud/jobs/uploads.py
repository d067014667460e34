"""An upload on its way to a job's folder: written as it comes, on disk before the job is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from bentos.core.errors import FieldError, InvalidInput
from bentos.core.jobs import SourceForm

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["FORM_OCTETS", "Body", "FormBody", "RawBody", "Target", "TooLong", "boundary_of", "form_of"]

FILE_PART: Final = "file"
#: What a form's own lines may take beside the file.
FORM_OCTETS: Final = 64 * 1024
_FORMS: Final[dict[str, SourceForm]] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonl": "jsonl",
    "application/jsonlines": "jsonl",
}
_SUFFIXES: Final[dict[str, SourceForm]] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


class TooLong(Exception):
    """The file is larger than the limit."""


class Target(Protocol):
    """Where the octets of an upload go."""

    def write(self, data: bytes) -> object:
        """Write what came."""
        ...


class Body(Protocol):
    """A body that is read piece by piece, outside of the event loop."""

    @property
    def form(self) -> SourceForm | None:
        """Form of the file; None until it is known."""
        ...

    def write(self, data: bytes) -> None:
        """Take the next piece. Raises InvalidInput and TooLong."""
        ...

    def end(self) -> None:
        """Note that nothing more comes. Raises InvalidInput when something is missing."""
        ...


def form_of(content_type: str, file_name: str = "") -> SourceForm | None:
    """The form that a content type, or else the end of a file's name, says; None when neither does."""
    kind = content_type.partition(";")[0].strip().lower()
    by_name = next((form for suffix, form in _SUFFIXES.items() if file_name.lower().endswith(suffix)), None)
    return _FORMS.get(kind, by_name)


def boundary_of(content_type: str) -> bytes:
    """What separates the parts of a form.

    Raises
    ------
    InvalidInput
        When the content type does not say it.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise InvalidInput([FieldError("content-type", "multipart/form-data must name its boundary")])
    return boundary


class RawBody:
    """A body that is the file itself.

    Parameters
    ----------
    target
        Gets its octets.
    form
        As its content type says.
    limit_bytes
        Largest file.
    """

    def __init__(self, target: Target, form: SourceForm | None, limit_bytes: int) -> None:
        self.form = form
        self.size = 0
        self._target = target
        self._limit = limit_bytes
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise TooLong
        self._digest.update(data)
        self._target.write(data)

    def end(self) -> None:
        if not self.size:
            raise InvalidInput([FieldError(FILE_PART, "is empty; send the transactions as CSV, Parquet or JSON Lines")])


class FormBody:
    """A body of multipart/form-data (RFC 7578) with one part, ``file``.

    Parameters
    ----------
    file
        Gets the part's octets.
    boundary
        From the content type.
    """

    def __init__(self, file: RawBody, boundary: bytes) -> None:
        self._file = file
        self._octets = 0
        self._parts = 0
        self._ended = False
        self._name, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise _wrong("has a boundary that is too long") from error

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    @property
    def form(self) -> SourceForm | None:
        """See :class:`Body`."""
        return self._file.form

    def write(self, data: bytes) -> None:
        """See :class:`Body`."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _wrong("is no multipart/form-data as its content type says") from error
        self._octets += len(data)
        if self._octets - self._file.size > FORM_OCTETS:
            raise _wrong(f"has more than {FORM_OCTETS} bytes beside its file")

    def end(self) -> None:
        """See :class:`Body`."""
        if not self._ended:
            raise _wrong("ends before its last boundary; it was not sent as a whole")
        if not self._parts:
            raise InvalidInput([FieldError(FILE_PART, "this part is missing")])
        self._file.end()

    def _begin(self) -> None:
        self._parts += 1
        self._headers = {}
        if self._parts > 1:
            raise _wrong(f"must have one part, {FILE_PART}; options are query parameters")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _open(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or options.get(b"name") != FILE_PART.encode():
            raise _wrong(f"must have one part, {FILE_PART}; options are query parameters")
        content_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self._file.form = form_of(content_type, options.get(b"filename", b"").decode("utf-8", "replace"))
        if self._file.form is None:
            message = "its form is not known: name it .csv, .parquet or .jsonl, or give the part a content type"
            raise InvalidInput([FieldError(FILE_PART, message)])

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._file.write(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _wrong(message: str) -> InvalidInput:
    return InvalidInput([FieldError("body", message)])
