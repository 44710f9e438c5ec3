"""What features are computed from: named values in the order of item and time, and windows."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import DoubleArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import ConfigError, SchemaError
from gigacast.series.segment import Segments

Window = int | str
"""Rows, or days as ``30d``: so many times the rows of a day."""

_DAYS = re.compile(r"([1-9][0-9]{0,5})d")


@dataclass(frozen=True)
class Asset:
    """One item's columns by their times: what others are compared with.

    Parameters
    ----------
    times : int64 [P]
        Ascending; of two rows with one time the later one counts.
    values : mapping of str to float64 [P]
    """

    times: IntArray
    values: Mapping[str, DoubleArray]

    def at(self, times: IntArray, column: str) -> DoubleArray:
        """Return a column at exactly these times; NaN where the item has no row."""
        if not len(self.times):
            return np.full(len(times), np.nan)
        place = np.searchsorted(self.times, times, side="right") - 1
        there = (place >= 0) & (self.times[np.maximum(place, 0)] == times)
        return np.where(there, self.values[column][np.maximum(place, 0)], np.nan)


@dataclass
class Frame:
    """Columns of R rows, by item and time; features join them as they are computed.

    Parameters
    ----------
    values : mapping of str to float64 [R]
    segments : Segments
    bars_per_day : int, optional
        What windows in days are made of.
    assets : mapping of str to Asset
        Other items, by name.
    """

    values: dict[str, DoubleArray]
    segments: Segments
    bars_per_day: int | None = None
    assets: Mapping[str, Asset] = field(default_factory=dict)

    @property
    def offsets(self) -> IntArray:
        """Where items start, [N + 1]."""
        return self.segments.offsets

    def column(self, name: str) -> DoubleArray:
        """Return a column, or a feature that was computed before, [R].

        Raises
        ------
        SchemaError
        """
        if name not in self.values:
            there = ", ".join(list(self.values)[:40])
            raise SchemaError(f"there is no column {name!r}", hint=f"there are {there}")
        return self.values[name]

    def asset(self, item: str, column: str) -> DoubleArray:
        """Return another item's column at the time of each row, [R].

        Raises
        ------
        SchemaError
            When there is no such item.
        """
        if item not in self.assets:
            raise SchemaError(f"there is no item {item!r} to correlate with")
        return self.assets[item].at(self.segments.times, column)

    def rows(self, window: Window) -> int:
        """Return a window in rows.

        Raises
        ------
        ConfigError
            When it is in days and nobody said how many rows make one.
        """
        if isinstance(window, int):
            return window
        if self.bars_per_day is None:
            raise ConfigError(
                f"a window of {window} needs bars_per_day: rows are closer than a day",
                hint="say how many rows make a day of trading, by --bars_per_day or in the recipe",
            )
        return int(window.removesuffix("d")) * self.bars_per_day


class Feature(Protocol):
    """Some columns made of others."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it makes."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""
        ...

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the columns it makes, each [R]."""
        ...


def column_values(table: pa.Table, name: str) -> DoubleArray:
    """Return a column as float64 [R]; missing and infinite values are NaN.

    Whole numbers that no float holds become the nearest one.

    Raises
    ------
    SchemaError
        When it is missing or holds no numbers.
    """
    if name not in table.column_names:
        hint = f"there are {', '.join(table.column_names)}"
        raise SchemaError(f"there is no column {name!r}", hint=hint)
    column = table.column(name)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise SchemaError(f"column {name!r} of type {kind} holds no numbers")
    values = to_numpy(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)).astype(
        np.float64
    )
    values[np.isinf(values)] = np.nan
    return values


def value_column(values: DoubleArray) -> pa.Array:
    """Return values as a column: NaN is missing."""
    return to_arrow(np.ascontiguousarray(values), np.isnan(values))


def check_window(what: str, window: Any, least: int = 1) -> None:
    """Refuse what is no window of so many rows at least.

    Raises
    ------
    ConfigError
    """
    days = isinstance(window, str) and _DAYS.fullmatch(window)
    if not days and (type(window) is not int or window < least):
        raise ConfigError(
            f"{what}: {window!r} is no window", hint=f"rows, {least} at least, or days as 30d"
        )


def check_count(what: str, count: Any, least: int = 1) -> None:
    """Refuse what is no whole number of so many at least.

    Raises
    ------
    ConfigError
    """
    if type(count) is not int or count < least:
        look = "; a feature never looks ahead" if type(count) is int and least > 0 else ""
        raise ConfigError(f"{what}: {count!r} is no whole number from {least} on{look}")


def check_choice(what: str, value: Any, choices: Mapping[str, Callable[..., Any]]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    ConfigError
    """
    if value not in choices:
        raise ConfigError(f"{what}: {value!r} is none of {', '.join(choices)}")
