"""Contracts: what a dataset promises of its columns and rows, as data.

A contract says of each column its type, whether it may be missing, its range and its allowed
values; and of the rows what is unique, how they are ordered, and which rules hold between columns.
`Contract.to_dict` and `Contract.from_dict` are its form in YAML, JSON and metadata.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa

from gigacast.core.column import to_scalar
from gigacast.core.contract.rule import Rule
from gigacast.errors import ConfigError

Scalar = int | float | str | bool | date | datetime

_TYPES: Mapping[str, pa.DataType] = {
    str(kind): kind
    for kind in (
        pa.bool_(),
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64()),
        *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
        *(pa.date32(), pa.date64()),
    )
} | {
    "float": pa.float32(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "str": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:,\s*tz=([\w/+:-]+))?\]")
_DECIMAL = re.compile(r"decimal(?:128)?\((\d+),\s*(-?\d+)\)")


class Mode(StrEnum):
    """How hard a contract is held.

    ``STRICT``: types must be the contract's, or convert without loss among numbers and among
    timestamps; columns it does not know give a warning. ``COERCE``: whatever can be converted is;
    values that cannot are violations. ``IGNORE``: nothing is converted or refused; what is wrong
    is logged.
    """

    STRICT = "strict"
    COERCE = "coerce"
    IGNORE = "ignore"


def parse_type(text: str) -> pa.DataType:
    """Read a type as Arrow spells it: ``double``, ``int64``, ``timestamp[us, tz=UTC]``, ...

    ``float64``, ``float32``, ``str``, ``date`` and ``timestamp`` are understood too.

    Raises
    ------
    ConfigError
    """
    if (known := _TYPES.get(text)) is not None:
        return known
    if match := _TIMESTAMP.fullmatch(text):
        return pa.timestamp(match[1], match[2])
    if match := _DECIMAL.fullmatch(text):
        return pa.decimal128(int(match[1]), int(match[2]))
    raise ConfigError(
        f"there is no column type {text!r}",
        hint="such as float64, int64, string, bool, date32, timestamp[us], timestamp[us, tz=UTC]",
    )


@dataclass(frozen=True)
class Column:
    """What is promised of one column.

    Parameters
    ----------
    name : str
    type : str
        As `parse_type` reads it. ``timestamp`` without a unit takes timestamps of every unit.
    nullable : bool
        Whether values may be missing (null, or NaN).
    required : bool
        Whether the column must be there.
    minimum, maximum : optional
        The least and the greatest value, both allowed.
    allowed : tuple, optional
        The only values there may be.
    unique : bool
        Whether no value comes twice.
    description : str
    """

    name: str
    type: str
    nullable: bool = True
    required: bool = True
    minimum: Scalar | None = None
    maximum: Scalar | None = None
    allowed: tuple[Scalar, ...] | None = None
    unique: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        kind = self.arrow_type
        for name in ("minimum", "maximum"):
            self._check_value(name, getattr(self, name), kind)
        for value in self.allowed or ():
            self._check_value("allowed", value, kind)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:  # type: ignore[operator]
            raise ConfigError(f"{self.name}: the minimum is above the maximum")

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column as it is written."""
        return parse_type(self.type)

    @property
    def any_unit(self) -> bool:
        """Whether every unit and zone of a timestamp will do."""
        return self.type == "timestamp"

    def _check_value(self, what: str, value: Any, kind: pa.DataType) -> None:
        if value is None:
            return
        try:
            to_scalar(value).cast(kind)
        except pa.ArrowException as error:
            raise ConfigError(f"{self.name}: {what} {value!r} is no {self.type}") from error


@dataclass(frozen=True)
class Contract:
    """What is promised of a dataset.

    Parameters
    ----------
    name : str
    columns : tuple of Column
    unique : tuple of tuple of str
        Columns that together name a row; those that are absent and not required are left out.
    ordered_by : tuple of str
        Rows never go back in these columns, the first counting most.
    rules : tuple of Rule
    version : str
        Of the contract itself.
    description : str

    Examples
    --------
    >>> bars = Contract("bars", (Column("high", "float64"), Column("low", "float64")),
    ...                 rules=(Rule("high >= low"),))
    >>> Contract.from_dict(bars.to_dict()) == bars
    True
    """

    name: str
    columns: tuple[Column, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    ordered_by: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    version: str = "v1"
    description: str = ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ConfigError(f"the contract {self.name!r} has a column twice")
        asked = [
            *(("unique", key) for key in self.unique),
            ("ordered_by", self.ordered_by),
            *((f"the rule {rule.text!r}", rule.columns) for rule in self.rules),
        ]
        for what, wanted in asked:
            if unknown := [name for name in wanted if name not in names]:
                raise ConfigError(
                    f"the contract {self.name!r}: {what} names {unknown[0]!r}, which is no column"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """The columns as Arrow sees them."""
        return pa.schema([pa.field(c.name, c.arrow_type, c.nullable) for c in self.columns])

    def column(self, name: str) -> Column | None:
        """Return a column; ``None`` when there is none of that name."""
        return next((column for column in self.columns if column.name == name), None)

    def keys(self, present: Iterable[str]) -> list[tuple[str, ...]]:
        """Return what must be unique among columns that are there, each key once."""
        there = set(present)
        keys = [tuple(name for name in key if name in there) for key in self.unique]
        keys += [
            (column.name,) for column in self.columns if column.unique and column.name in there
        ]
        return [key for key in dict.fromkeys(keys) if key]

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain values, defaults left out."""
        plain: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.description:
            plain["description"] = self.description
        plain["columns"] = [_plain(column) for column in self.columns]
        if self.unique:
            plain["unique"] = [list(key) for key in self.unique]
        if self.ordered_by:
            plain["ordered_by"] = list(self.ordered_by)
        if self.rules:
            plain["rules"] = [rule.text for rule in self.rules]
        return plain

    @classmethod
    def from_dict(cls, values: Any) -> "Contract":
        """Read a contract from plain values.

        Raises
        ------
        ConfigError
            Naming the entry that is wrong.
        """
        known = _checked("a contract", values, cls)
        try:
            return cls(
                name=str(known["name"]),
                columns=tuple(_column(entry) for entry in known["columns"]),
                unique=tuple(
                    (key,) if isinstance(key, str) else tuple(key)
                    for key in known.get("unique", ())
                ),
                ordered_by=tuple(known.get("ordered_by", ())),
                rules=tuple(Rule(str(text)) for text in known.get("rules", ())),
                version=str(known.get("version", "v1")),
                description=str(known.get("description", "")),
            )
        except KeyError as error:
            raise ConfigError(f"a contract needs {error.args[0]!r}") from error
        except TypeError as error:
            raise ConfigError(f"a contract can't be read: {error}") from error


def _plain(column: Column) -> dict[str, Any]:
    plain = {
        field.name: getattr(column, field.name)
        for field in dataclasses.fields(column)
        if getattr(column, field.name) != field.default
    }
    if column.allowed is not None:
        plain["allowed"] = list(column.allowed)
    return plain


def _column(entry: Any) -> Column:
    known = _checked("a column", entry, Column)
    if not {"name", "type"} <= set(known):
        raise ConfigError(f"a column needs 'name' and 'type', got {sorted(known)}")
    if known.get("allowed") is not None:
        known["allowed"] = tuple(known["allowed"])
    return Column(**known)


def _checked(what: str, values: Any, kind: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what} is a mapping, got {type(values).__name__}")
    names = {field.name for field in dataclasses.fields(kind)}
    if unknown := [str(name) for name in values if name not in names]:
        raise ConfigError(
            f"{what} has no {unknown[0]!r}", hint=f"it has {', '.join(sorted(names))}"
        )
    return dict(values)
