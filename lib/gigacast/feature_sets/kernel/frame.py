"""Input of features: named columns in the order of item and time, and windows in rows or days."""

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
"""Number of rows, or days such as ``30d``, which are multiplied by the rows of a day."""

RowsOf = Callable[[Window], int]
"""Returns the length of a window in rows."""

_DAYS = re.compile(r"([1-9][0-9]{0,5})d")


@dataclass(frozen=True)
class Asset:
    """Columns of an item by time, for comparison with other items.

    Parameters
    ----------
    times : int64 [P]
        Ascending times; of rows with the same time the last one counts.
    values : mapping of str to float64 [P]
    """

    times: IntArray
    values: Mapping[str, DoubleArray]

    def at(self, times: IntArray, column: str) -> DoubleArray:
        """Return a column at exactly these times, float64 [R]; NaN where the item has no row."""
        if not len(self.times):
            return np.full(len(times), np.nan)
        place = np.searchsorted(self.times, times, side="right") - 1
        exists = (place >= 0) & (self.times[np.maximum(place, 0)] == times)
        return np.where(exists, self.values[column][np.maximum(place, 0)], np.nan)


@dataclass
class Frame:
    """Columns of R rows in the order of item and time. Computed features are added to them.

    Parameters
    ----------
    values : mapping of str to float64 [R]
    segments : Segments
    bars_per_day : int, optional
        Rows of a day, for windows in days; unknown by default.
    assets : mapping of str to Asset
        Other items, by name; none by default.
    """

    values: dict[str, DoubleArray]
    segments: Segments
    bars_per_day: int | None = None
    assets: Mapping[str, Asset] = field(default_factory=dict)

    @property
    def offsets(self) -> IntArray:
        """Offsets of the items, int64 [N + 1]."""
        return self.segments.offsets

    def column(self, name: str) -> DoubleArray:
        """Return a column or an earlier feature, float64 [R].

        Raises
        ------
        SchemaError
        """
        if name not in self.values:
            names = ", ".join(list(self.values)[:40])
            raise SchemaError(f"there is no column {name!r}", hint=f"there are {names}")
        return self.values[name]

    def asset(self, item: str, column: str) -> DoubleArray:
        """Return a column of another item at the time of each row, float64 [R].

        Raises
        ------
        SchemaError
            If there is no such item.
        """
        if item not in self.assets:
            raise SchemaError(f"there is no item {item!r} to correlate with")
        return self.assets[item].at(self.segments.times, column)

    def rows(self, window: Window) -> int:
        """Return the length of a window in rows.

        Raises
        ------
        ConfigError
            If it is in days and the rows of a day are unknown.
        """
        if not isinstance(window, int) and self.bars_per_day is None:
            raise ConfigError(
                f"a window of {window} needs bars_per_day: rows are closer than a day",
                hint="give the rows of a trading day, by --bars_per_day or in the recipe",
            )
        return window_rows(window, self.bars_per_day or 1)


class Feature(Protocol):
    """Columns computed from other columns."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computed columns."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it is computed from."""
        ...

    def reach(self, rows: RowsOf) -> int:
        """Return the number of earlier rows that a value depends on."""
        ...

    def compute(self, frame: Frame) -> tuple[DoubleArray, ...]:
        """Return the computed columns, float64 [R] each."""
        ...


def window_rows(window: Window, bars_per_day: int) -> int:
    """Return the length of a window in rows."""
    return window if isinstance(window, int) else int(window.removesuffix("d")) * bars_per_day


def column_values(table: pa.Table, name: str) -> DoubleArray:
    """Return a column as float64 [R]; missing and infinite values are NaN.

    Integers that no float represents become the nearest float.

    Raises
    ------
    SchemaError
        If it is missing or holds no numbers.
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
    # Means and deviations of windows with an infinite value would not be defined.
    values[np.isinf(values)] = np.nan
    return values


def value_column(values: DoubleArray) -> pa.Array:
    """Return values as a column, null for NaN."""
    return to_arrow(np.ascontiguousarray(values), np.isnan(values))


def check_window(name: str, window: Any, least: int = 1) -> None:
    """Check that a value is a window of at least ``least`` rows.

    Raises
    ------
    ConfigError
    """
    # Exactly int here and below: True and False are instances of int as well.
    days = isinstance(window, str) and _DAYS.fullmatch(window)
    if not days and (type(window) is not int or window < least):
        raise ConfigError(
            f"{name}: {window!r} is no window", hint=f"rows, {least} at least, or days as 30d"
        )


def check_count(name: str, count: Any, least: int = 1) -> None:
    """Check that a value is a whole number of at least ``least``.

    Raises
    ------
    ConfigError
    """
    if type(count) is not int or count < least:
        look = "; a feature never looks ahead" if type(count) is int and least > 0 else ""
        raise ConfigError(f"{name}: {count!r} is no whole number from {least} on{look}")


def check_choice(name: str, value: Any, choices: Mapping[str, Callable[..., Any]]) -> None:
    """Check that a value is one of the choices.

    Raises
    ------
    ConfigError
    """
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is none of {', '.join(choices)}")
