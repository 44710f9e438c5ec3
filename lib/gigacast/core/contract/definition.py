"""Contracts: the columns, types and rules that a dataset promises, as data.

A contract lists for each column its type, whether values may be missing, its range and its allowed
values; and for the rows their unique keys, their order and the rules between columns.
`Contract.to_dict` and `Contract.from_dict` are its form in JSON and metadata, `format_contract` and
`parse_contract` in YAML.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import pyarrow as pa

from gigacast.core.column import to_scalar
from gigacast.core.contract.rule import Rule
from gigacast.core.mark import Names, ReadAs
from gigacast.core.problem import Source
from gigacast.core.record import decode_yaml, encode_yaml, plain_fields, read_record
from gigacast.errors import ConfigError

Scalar = int | float | str | bool | date | datetime

# Arrow's own names (`float` is float32, `double` float64), and the names that people use.
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
    """How strictly a contract is applied.

    ``STRICT``: types must be the contract's, or convert without loss among numbers and among
    timestamps; unknown columns give a warning. ``COERCE``: values are converted where possible;
    the others are violations. ``IGNORE``: nothing is converted or refused; violations are logged.
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
    if (kind := _TYPES.get(text)) is not None:
        return kind
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
    """The promise about one column.

    Parameters
    ----------
    name : str
    type : str
        Type as `parse_type` reads it; ``timestamp`` without a unit takes every unit.
    nullable : bool
        Whether values may be missing (null, or NaN).
    required : bool
        Whether the column must exist.
    minimum, maximum : optional
        Least and greatest allowed value, inclusive; no limit by default.
    allowed : tuple, optional
        The only values allowed; any by default.
    unique : bool
        Whether no value may occur twice.
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

    def _check_value(self, field: str, value: Any, kind: pa.DataType) -> None:
        if value is None:
            return
        try:
            to_scalar(value).cast(kind)
        except pa.ArrowException as error:
            raise ConfigError(f"{self.name}: {field} {value!r} is no {self.type}") from error


# An empty `description:` in YAML is null and reads as "None", as it always did: the text is part of
# the specs of cleaning, and another text would clean everything again.
_Text = Annotated[str, ReadAs(Scalar | None, str)]
_Rule = Annotated[Rule, ReadAs(_Text, Rule)]


@dataclass(frozen=True)
class Contract:
    """The promise about a dataset.

    Parameters
    ----------
    name : str
    columns : tuple of Column
    unique : tuple of tuple of str
        Keys: columns whose values together identify a row; missing optional ones are left out.
    ordered_by : tuple of str
        Columns in whose order the rows are, the most significant first.
    rules : tuple of Rule
    version : str
        Version of the contract itself.
    description : str

    Examples
    --------
    >>> bars = Contract("bars", (Column("high", "float64"), Column("low", "float64")),
    ...                 rules=(Rule("high >= low"),))
    >>> Contract.from_dict(bars.to_dict()) == bars
    True
    """

    name: _Text
    columns: tuple[Column, ...]
    unique: tuple[Names, ...] = ()
    ordered_by: tuple[str, ...] = ()
    rules: tuple[_Rule, ...] = ()
    version: _Text = "v1"
    description: _Text = ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ConfigError(f"the contract {self.name!r} has a column twice")
        named = [
            *(("unique", key) for key in self.unique),
            ("ordered_by", self.ordered_by),
            *((f"the rule {rule.text!r}", rule.columns) for rule in self.rules),
        ]
        for part, columns in named:
            if unknown := [name for name in columns if name not in names]:
                raise ConfigError(
                    f"the contract {self.name!r}: {part} names {unknown[0]!r}, which is no column"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """The columns as an Arrow schema."""
        return pa.schema([pa.field(c.name, c.arrow_type, c.nullable) for c in self.columns])

    def column(self, name: str) -> Column | None:
        """Return a column by name; ``None`` without one."""
        return next((column for column in self.columns if column.name == name), None)

    def keys(self, present: Iterable[str]) -> list[tuple[str, ...]]:
        """Return the unique keys among the columns that are present, each once."""
        names = set(present)
        keys = [tuple(name for name in key if name in names) for key in self.unique]
        keys += [
            (column.name,) for column in self.columns if column.unique and column.name in names
        ]
        return [key for key in dict.fromkeys(keys) if key]

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain values, defaults left out."""
        plain: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.description:
            plain["description"] = self.description
        plain["columns"] = [plain_fields(column) for column in self.columns]
        if self.unique:
            plain["unique"] = [list(key) for key in self.unique]
        if self.ordered_by:
            plain["ordered_by"] = list(self.ordered_by)
        if self.rules:
            plain["rules"] = [rule.text for rule in self.rules]
        return plain

    @classmethod
    def from_dict(cls, values: Any, where: str = "") -> "Contract":
        """Read a contract from plain values.

        Parameters
        ----------
        values : object
            As `to_dict` gives them, or YAML.
        where : str
            Key or path of the file, for messages; none by default.

        Raises
        ------
        ConfigError
            Naming the place of the entry that is wrong.
        """
        return read_record(cls, values, Source(where, ConfigError, "not a contract"))


def parse_contract(text: str | bytes, label: str) -> Contract:
    """Return the contract that YAML (or JSON, which is YAML) describes.

    Raises
    ------
    ConfigError
        With ``where`` and the place of the wrong value in its message.
    """
    return Contract.from_dict(decode_yaml(text, Source(label, ConfigError)), label)


def format_contract(contract: Contract) -> str:
    """Return a contract as YAML; reading it gives the same contract."""
    return encode_yaml(contract.to_dict())
