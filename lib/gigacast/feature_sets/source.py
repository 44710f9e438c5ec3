"""The rows that a feature set is computed from, in groups of complete items.

Memory is bounded by a setting: items are read in groups that fit, in the order of their names, so
that features are in the order of item and time. A single item must fit.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

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
    """Columns of times and of items; ``item`` is ``None`` if all rows are of a single item."""

    time: str
    item: str | None


def settle_columns(
    rows: Rows, recipe: Recipe, time: str | None, item: str | None
) -> FeatureColumns:
    """Return the time and item columns of a source, recognised unless named.

    Raises
    ------
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
    item = item or next((name for name in _ITEMS if name in names), None)
    needed = dict.fromkeys([time, *([item] if item else []), *recipe.columns])
    if missing := [name for name in needed if name not in names]:
        raise SchemaError(
            f"{rows.where} has no column {missing[0]!r}, which {recipe.name} is computed from",
            hint=f"there are {', '.join(names[:40])}",
        )
    if recipe.assets and item is None:
        asset = next(iter(recipe.assets))
        raise SchemaError(f"{rows.where} has no column of items to find {asset!r} in")
    return FeatureColumns(time, item)


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
        needed = (columns.item, columns.time, *recipe.columns)
        self._read = list(dict.fromkeys(name for name in needed if name))

    def setting(self, bars_per_day: int | None) -> Setting:
        """Return the setting of the recipe: columns of other items, and the rows of a day.

        Raises
        ------
        SchemaError
            If the source lacks an item that the recipe compares with.
        """
        bare = Setting(self._columns.time, self._columns.item)
        bars = bars_per_day or self._recipe.bars_per_day or daily_bars(self._first_rows(), bare)
        return Setting(bare.time, bare.item, bars, self._assets(bare))

    def _first_rows(self) -> pa.Table:
        names = [name for name in (self._columns.item, self._columns.time) if name]
        schema = pa.schema([self._rows.schema.field(name) for name in names])
        first = next(iter(self._rows.read(names, batch_rows=_FIRST_ROWS)), None)
        return pa.Table.from_batches([] if first is None else [first], schema)

    def _assets(self, bare: Setting) -> dict[str, Asset]:
        assets = {}
        # Read before the groups: every group is compared with the same items.
        for item, columns in self._recipe.assets.items():
            assert bare.item is not None  # noqa: S101 - `settle_columns` requires it
            names = list(dict.fromkeys([bare.item, bare.time, *columns]))
            table = self._rows.table(names, Predicate.parse([(bare.item, "==", item)]))
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
        if len(groups) == 1:
            yield self._rows.table(self._read)  # one read, without a filter
            return
        for items in groups:
            yield self._rows.table(
                self._read, Predicate.parse([(str(self._columns.item), "in", items)])
            )

    def _groups(self) -> list[list[Any]]:
        counts = self._counts()
        computed = sum(len(feature.names) for feature in self._recipe.features)
        row_bytes = _BYTES_PER_VALUE * (len(self._read) + computed)
        max_rows = max(1, self._limit_bytes // row_bytes)
        groups: list[list[Any]] = [[]]
        group_rows = 0
        for item, count in counts:
            if count > max_rows:
                raise ConfigError(
                    f"{self._rows.where}: {counted(count, 'row')} of {item or 'one item'} take "
                    f"about {count * row_bytes / 1e9:.1f} GB, more than memory_limit",
                    hint="raise the limit, or make fewer features at a time",
                )
            if group_rows + count > max_rows and groups[-1]:
                groups.append([])
                group_rows = 0
            groups[-1].append(item)
            group_rows += count
        # Groups are read by a filter on the item, which no missing item matches.
        if len(groups) > 1 and any(item is None for item, _ in counts):
            raise SchemaError(
                f"{self._rows.where}: some rows have no {self._columns.item!r}",
                hint="clean the data first",
            )
        return groups

    def _counts(self) -> list[tuple[Any, int]]:
        """Return the items in their order, each with its number of rows."""
        name = self._columns.item
        if name is None:
            rows = sum(batch.num_rows for batch in self._rows.read([self._columns.time]))
            return [(None, rows)]
        counts: Counter[Any] = Counter()
        for batch in self._rows.read([name]):
            pairs = pc.value_counts(batch.column(0))
            values, numbers = pairs.field("values").to_pylist(), pairs.field("counts").to_pylist()
            counts.update(dict(zip(values, numbers, strict=True)))
        # Missing items come last: None cannot be compared with texts or numbers.
        return sorted(counts.items(), key=lambda entry: (entry[0] is None, entry[0]))


def _other_times(schema: pa.Schema) -> str | None:
    """Return a column of dates or step numbers that has the name of a time column."""
    checks = (pa.types.is_date, pa.types.is_integer)
    named = (name for name in _TIMES if name in schema.names)
    fitting = (n for n in named if any(check(schema.field(n).type) for check in checks))
    return next(fitting, None)
