"""Settings of scoring whole files."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from bentos.core.settings import Settings

__all__ = ["BulkSettings"]

_MEBIBYTE: Final = 1024**2


class BulkSettings(Settings):
    """Settings of scoring whole files."""

    bulk_chunk_rows: int = Field(
        default=20_000,
        ge=1,
        le=200_000,
        description="Rows that are scored together and can be done by different processes; memory grows with it.",
    )
    bulk_row_limit: int = Field(
        default=10_000_000, ge=1, le=1_000_000_000, description="Rows of one file at most; a longer one is refused."
    )
    bulk_byte_limit: int = Field(
        default=8 * 1024 * _MEBIBYTE,
        ge=1024,
        description="Bytes of one file at most once it is unpacked: a compressed one may unpack to a thousand times its"
        " size.",
    )
    bulk_line_limit_bytes: int = Field(
        default=_MEBIBYTE, ge=1024, le=16 * _MEBIBYTE, description="Bytes of one line, or of one cell, at most."
    )
    bulk_column_limit: int = Field(
        default=256, ge=4, le=10_000, description="Columns of one file at most; those that are not scored are kept too."
    )
