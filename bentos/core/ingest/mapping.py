"""How the columns of real data become the canonical table: a YAML file, checked when it is read.

``mappings/`` holds those that ship with the product; each is also an example of the format.
"""

from __future__ import annotations

import codecs
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bentos.core.errors import DataError

__all__ = [
    "DirectColumn",
    "GridMapping",
    "LabelMapping",
    "Mapping",
    "Point",
    "ProfileMapping",
    "TimeMapping",
    "load_mapping",
    "shipped_mappings",
]

#: Canonical columns that a source column fills as it is.
DirectColumn: TypeAlias = Literal[
    "transaction_id",
    "customer_id",
    "merchant_id",
    "merchant_category",
    "amount",
    "customer_latitude",
    "customer_longitude",
    "merchant_latitude",
    "merchant_longitude",
]
ConstantColumn: TypeAlias = Literal[
    "merchant_category", "customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude"
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone, such as Europe/Berlin or UTC") from error
    return name


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise ValueError(f"{name!r} is no text encoding, such as utf-8 or cp1252") from error
    return name


Zone: TypeAlias = Annotated[str, AfterValidator(_known_zone)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeMapping(_Part):
    """Where instants come from. A time without an offset means nothing until its zone is stated."""

    column: str = Field(description="Source column.")
    kind: Literal["offset", "local", "elapsed"] = Field(
        description="offset: RFC 3339 text with an offset, or a Parquet timestamp with a zone. local: times without an"
        " offset, on the clock of `timezone`. elapsed: numbers, counted from `start`."
    )
    timezone: Zone | None = Field(
        default=None,
        description="IANA zone of the customers' clocks. local: required. offset, elapsed: None keeps the offset that"
        " the text, or `start`, has.",
    )
    pattern: str | None = Field(
        default=None,
        description="local: strptime pattern of the text, such as '%d/%m/%Y %H:%M:%S'. None means ISO 8601.",
    )
    start: AwareDatetime | None = Field(default=None, description="elapsed: the instant of 0, with an offset.")
    unit: Literal["seconds", "milliseconds"] = Field(default="seconds", description="elapsed: of the numbers.")

    @model_validator(mode="after")
    def _complete(self) -> TimeMapping:
        if self.kind == "local" and self.timezone is None:
            raise ValueError(
                "times without an offset need `timezone`, the IANA zone of the clock they were read from, such as"
                " Europe/Berlin"
            )
        if (self.kind == "elapsed") != (self.start is not None):
            raise ValueError("`start` belongs to kind: elapsed, and that kind needs it")
        if self.pattern is not None and (self.kind != "local" or "%z" in self.pattern):
            raise ValueError("`pattern` belongs to kind: local, and holds no %z; times with an offset are RFC 3339")
        return self


class LabelMapping(_Part):
    """Which transactions are fraud, and since when that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    column: str = Field(description="Source column.")
    fraud: list[str] = Field(min_length=1, description="Its values, as text, that mean fraud.")
    legitimate: list[str] = Field(min_length=1, description="Its values that mean no fraud. Any other is refused.")
    arrival: TimeMapping | None = Field(
        default=None,
        description="When the label arrived; an empty cell, or None here, means in time: within the label delay.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> LabelMapping:
        both = sorted(set(self.fraud) & set(self.legitimate))
        if both:
            raise ValueError(f"these values mean both fraud and legitimate: {both}")
        return self


class Point(_Part):
    """Two source columns that hold a place on the grid."""

    x: str = Field(description="Source column of the coordinate to the east.")
    y: str = Field(description="Source column of the coordinate to the north.")


class GridMapping(_Part):
    """Places on a flat grid become degrees, so that great circle distances equal those on the grid."""

    kilometres_per_unit: float = Field(gt=0, allow_inf_nan=False, description="Length of one unit of the grid, in km.")
    origin_latitude: float = Field(ge=-80, le=80, allow_inf_nan=False, description="Of the point origin_x, origin_y.")
    origin_longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    origin_x: float = Field(default=0.0, allow_inf_nan=False, description="Best the middle of the grid.")
    origin_y: float = Field(default=0.0, allow_inf_nan=False)
    customer: Point | None = Field(default=None, description="Where the customer lives.")
    merchant: Point | None = Field(default=None, description="Where the merchant is.")


class ProfileMapping(_Part):
    """A file with one row per customer or merchant, whose columns are joined to the transactions."""

    file: str = Field(description="CSV or Parquet; relative to the folder of the transactions.")
    key: str = Field(description="Column of the file that names the customer or merchant, once each.")
    source: str = Field(description="Source column of the transactions that holds the same names.")
    columns: list[str] = Field(min_length=1, description="Columns to join; they then count as source columns.")
    missing: Literal["refuse", "empty"] = Field(
        default="refuse", description="A transaction without a profile: refused, or its joined columns left empty."
    )


class Mapping(_Part):
    """How a data set becomes the canonical table."""

    description: str = Field(description="What the data is, for those who read the file.")
    files: str | None = Field(
        default=None, description="Glob that picks the transactions when the source is a folder. None: all it can read."
    )
    format: Literal["csv", "parquet"] | None = Field(default=None, description="None means by the file's ending.")
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(default="utf-8", description="Of CSV files.")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="Of CSV files.")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of numbers that are text.")
    columns: dict[DirectColumn, str] = Field(
        description="Canonical column: source column. Without transaction_id the rows are numbered from 1."
    )
    constants: dict[ConstantColumn, str | float] = Field(
        default_factory=dict, description="Canonical column: value, for a column that is missing or a cell left empty."
    )
    timestamp: TimeMapping
    label: LabelMapping
    grid: GridMapping | None = None
    profiles: list[ProfileMapping] = Field(default_factory=list)
    ignore: list[str] | Literal["all"] = Field(
        default_factory=list,
        description="Source columns that are left unread on purpose; 'all' means whatever is not mapped. Any other"
        " column that is not mapped is an error: it may be a misspelt one.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Mapping:
        lacking = [name for name in ("customer_id", "merchant_id", "amount") if name not in self.columns]
        if lacking:
            raise ValueError(f"columns must name the source of {', '.join(lacking)}")
        for side in ("customer", "merchant"):
            given = {*self.columns, *self.constants}
            if self.grid and getattr(self.grid, side) and given & {f"{side}_latitude", f"{side}_longitude"}:
                raise ValueError(f"the {side}'s place comes from the grid or from degrees, not from both")
        joined = [name for profile in self.profiles for name in profile.columns]
        if len(joined) != len(set(joined)):
            raise ValueError("two profiles join a column of the same name")
        unread = {*self.sources()} & (set() if self.ignore == "all" else set(self.ignore))
        if unread:
            raise ValueError(f"these columns are both mapped and ignored: {', '.join(sorted(unread))}")
        return self

    def sources(self) -> tuple[str, ...]:
        """Columns that are read from the files of transactions, each once; joined ones are not among them."""
        points = [point for point in (self.grid.customer, self.grid.merchant) if point] if self.grid else []
        names = [
            *self.columns.values(),
            self.timestamp.column,
            self.label.column,
            *([self.label.arrival.column] if self.label.arrival else []),
            *(name for point in points for name in (point.x, point.y)),
            *(profile.source for profile in self.profiles),
        ]
        joined = {name for profile in self.profiles for name in profile.columns}
        return tuple(name for name in dict.fromkeys(names) if name not in joined)


def shipped_mappings() -> tuple[str, ...]:
    """Names of the mappings that ship with the product."""
    folder = resources.files("bentos.core.ingest") / "mappings"
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_mapping(source: str | Path) -> Mapping:
    """Read a mapping.

    Parameters
    ----------
    source
        Name of a shipped mapping, such as ``"fdh"``, or the path of a YAML file.

    Raises
    ------
    DataError
        There is none, or it is wrong; names each wrong field.
    """
    name = str(source)
    if name in shipped_mappings():
        text = (resources.files("bentos.core.ingest") / "mappings" / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"mapping {name!r} cannot be read: {error}; name a YAML file or one of those that ship: "
                f"{', '.join(shipped_mappings())}"
            ) from error
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"mapping {name} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"mapping {name} holds {type(content).__name__}, must hold fields and their values")
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'mapping'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_context=False)
        )
        raise DataError(f"mapping {name} is wrong: {wrong}") from error
