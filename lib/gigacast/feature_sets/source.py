"""The rows that a feature set is computed from, in groups of complete items.

Memory is bounded by a setting: items are read in groups that fit, in the order of their names, so
that features are in the order of item and time. A single item must fit.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import pyarrow as pa

from gigacast.core.dataset.predicate import Predicate
from gigacast.core.plural import counted
from gigacast.datasets.rows import find_time_column
from gigacast.errors import ConfigError, SchemaError
from gigacast.feature_sets.kernel.compute import Setting, asset_of, daily_bars
from gigacast.feature_sets.kernel.frame import Asset
from gigacast.feature_sets.kernel.recipe import Recipe

_TIMES = ("timestamp", "ds", "date", "time")
_ITEMS = ("symbol", "item_id", "unique_id", "asset", "ticker")
_BYTES_PER_VALUE = 24  # 8 each for the column, its sorted values and a kernel's result
_FIRST_ROWS = 4096
_Conditions = Sequence[tuple[str, str, Any]]
_Count = tuple[tuple[Any, ...], int]


class Rows(Protocol):
    """Rows that can be read any number of times, such as `datasets.read.DatasetRows`."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        ...

    @property
    def where(self) -> str:
        """Name of the source in messages."""
        ...

    def read(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        batch_rows: int = ...,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the matching rows in batches."""
        ...

    def table(
        self, columns: Sequence[str] | None = None, predicate: Predicate | None = None
    ) -> pa.Table:
        """Return the matching rows."""
        ...


@dataclass(frozen=True)
class FeatureColumns:
    """Columns of times and of items; ``items`` is empty if all rows are of a single item."""

    time: str
    items: tuple[str, ...]


def named_items(item_column: str | None, item_columns: Sequence[str]) -> tuple[str, ...]:
    """Return the named columns of items, from the option for one column and that for several.

    Raises
    ------
    ConfigError
        If both are given.
    """
    if item_column is None:
        return tuple(item_columns)
    if item_columns:
        raise ConfigError(
            f"--item_column {item_column} and --item_columns {','.join(item_columns)} both name "
            "the columns of item ids",
            hint="leave one of them out",
        )
    return (item_column,)


def settle_columns(
    rows: Rows, recipe: Recipe, time: str | None, items: Sequence[str] = ()
) -> FeatureColumns:
    """Return the time and item columns of a source, recognised unless named.

    Several columns of items identify an item together.

    Raises
    ------
    ConfigError
        If a column of items is named twice.
    SchemaError
        If a column that the recipe needs is missing.
    """
    names = rows.schema.names
    time = time or find_time_column(rows.schema) or _other_times(rows.schema)
    if time is None:
        raise SchemaError(
            f"{rows.where}: no column is recognised as the times",
            hint=f"name it by time_column; there are {', '.join(names[:40])}",
        )
    if doubled := [name for name in items if list(items).count(name) > 1]:
        raise ConfigError(f"--item_columns: {doubled[0]!r} is named twice")
    ids = tuple(items) or tuple(name for name in _ITEMS if name in names)[:1]
    needed = dict.fromkeys([time, *ids, *recipe.columns])
    if missing := [name for name in needed if name not in names]:
        raise SchemaError(
            f"{rows.where} has no column {missing[0]!r}, which {recipe.name} is computed from",
            hint=f"there are {', '.join(names[:40])}",
        )
    if recipe.assets and len(ids) != 1:
        asset = next(iter(recipe.assets))
        raise SchemaError(f"{rows.where} has no single column of items to find {asset!r} in")
    return FeatureColumns(time, ids)


class FeatureSource:
    """Reads the rows of a source in groups of items within a memory limit.

    Parameters
    ----------
    rows : Rows
    recipe : Recipe
    columns : FeatureColumns
    memory_limit_bytes : int
    """

    def __init__(
        self, rows: Rows, recipe: Recipe, columns: FeatureColumns, memory_limit_bytes: int
    ) -> None:
        self._rows = rows
        self._recipe = recipe
        self._columns = columns
        self._limit_bytes = memory_limit_bytes
        self._read = list(dict.fromkeys((*columns.items, columns.time, *recipe.columns)))

    def setting(self, bars_per_day: int | None) -> Setting:
        """Return the setting of the recipe: columns of other items, and the rows of a day.

        Raises
        ------
        SchemaError
            If the source lacks an item that the recipe compares with.
        """
        bare = Setting(self._columns.time, self._columns.items)
        bars = bars_per_day or self._recipe.bars_per_day or daily_bars(self._first_rows(), bare)
        return Setting(bare.time, bare.items, bars, self._assets(bare))

    def _first_rows(self) -> pa.Table:
        names = [*self._columns.items, self._columns.time]
        schema = pa.schema([self._rows.schema.field(name) for name in names])
        first = next(iter(self._rows.read(names, batch_rows=_FIRST_ROWS)), None)
        return pa.Table.from_batches([] if first is None else [first], schema)

    def _assets(self, bare: Setting) -> dict[str, Asset]:
        assets = {}
        # Read before the groups: every group is compared with the same items.
        for item, columns in self._recipe.assets.items():
            (name,) = bare.items  # `settle_columns` requires a single one
            names = list(dict.fromkeys([name, bare.time, *columns]))
            table = self._rows.table(names, Predicate.parse([(name, "==", item)]))
            if not table.num_rows:
                raise SchemaError(f"{self._rows.where} has no rows of {item!r} to correlate with")
            assets[item] = asset_of(table, bare, columns)
        return assets

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of a group of items at a time.

        Raises
        ------
        ConfigError
            If an item does not fit the limit.
        """
        groups = self._groups()
        if len(groups) <= 1:
            yield self._rows.table(self._read)  # one read, without a filter
            return
        for conditions in groups:
            yield self._rows.table(self._read, Predicate.parse(conditions))

    def _groups(self) -> list[_Conditions]:
        """Return a filter for each group of items that fit the limit."""
        counts = self._counts()
        computed = sum(len(feature.names) for feature in self._recipe.features)
        row_bytes = _BYTES_PER_VALUE * (len(self._read) + computed)
        max_rows = max(1, self._limit_bytes // row_bytes)
        for item, count in counts:
            if count > max_rows:
                name = ", ".join(map(str, item)) or "one item"
                raise ConfigError(
                    f"{self._rows.where}: {counted(count, 'row')} of {name} take about "
                    f"{count * row_bytes / 1e9:.1f} GB, more than memory_limit",
                    hint="raise the limit, or make fewer features at a time",
                )
        ids = self._columns.items
        if not ids:
            return []
        groups = list(_divide(counts, ids, max_rows))
        # Groups are read by a filter on the items, which no missing item matches.
        for place, name in enumerate(ids):
            if len(groups) > 1 and any(item[place] is None for item, _ in counts):
                raise SchemaError(
                    f"{self._rows.where}: some rows have no {name!r}", hint="clean the data first"
                )
        return groups

    def _counts(self) -> list[_Count]:
        """Return the items in their order, each with its number of rows."""
        names = list(self._columns.items)
        if not names:
            rows = sum(batch.num_rows for batch in self._rows.read([self._columns.time]))
            return [((), rows)]
        counts: Counter[tuple[Any, ...]] = Counter()
        for batch in self._rows.read(names):
            # By plain values: Arrow cannot group by dictionaries.
            columns = [_decoded(batch.column(name)) for name in names]
            pairs = pa.table(columns, names).group_by(names).aggregate([([], "count_all")])
            items = zip(*(pairs[name].to_pylist() for name in names), strict=True)
            counts.update(dict(zip(items, pairs["count_all"].to_pylist(), strict=True)))
        # Missing items come last: None cannot be compared with texts or numbers.
        return sorted(counts.items(), key=lambda entry: [(v is None, v) for v in entry[0]])


def _divide(
    counts: Sequence[_Count], names: Sequence[str], max_rows: int, fixed: _Conditions = ()
) -> Iterator[_Conditions]:
    """Yield a filter for each group of items, by their first column where its values fit.

    Parameters
    ----------
    counts : sequence of (tuple, int)
        Items in their order, each with its number of rows, which fits.
    names : sequence of str
        Columns of the items.
    max_rows : int
        Maximum rows of a group.
    fixed : sequence of conditions
        Conditions of all groups; none by default.
    """
    values: list[Any] = []
    group_rows = 0
    for value, own in groupby(counts, key=lambda entry: entry[0][0]):
        items = [(item[1:], count) for item, count in own]
        rows = sum(count for _, count in items)
        if values and group_rows + rows > max_rows:
            yield [*fixed, (names[0], "in", values)]
            values, group_rows = [], 0
        if rows > max_rows:
            yield from _divide(items, names[1:], max_rows, [*fixed, (names[0], "==", value)])
        else:
            values.append(value)
            group_rows += rows
    if values:
        yield [*fixed, (names[0], "in", values)]


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _other_times(schema: pa.Schema) -> str | None:
    """Return a column of dates or step numbers that has the name of a time column."""
    checks = (pa.types.is_date, pa.types.is_integer)
    named = (name for name in _TIMES if name in schema.names)
    fitting = (n for n in named if any(check(schema.field(n).type) for check in checks))
    return next(fitting, None)
