"""Layouts of tables, orders of their rows, and frames of libraries."""

import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tests.forms.ids import IdForm
from tests.forms.panel import Moment, Panel
from tests.forms.times import TimeForm
from tests.forms.values import ValueForm

Row = tuple[int, Moment, float | None]
Key = tuple[Any, str]
"""Id and target of a series."""


@dataclass(frozen=True)
class Columns:
    """The forms of a table's columns, with the rows in their order."""

    panel: Panel
    rows: Sequence[Row]
    ids: IdForm
    times: TimeForm
    values: ValueForm

    def arrays(self, rows: Sequence[Row]) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Return ids, times and values of some rows."""
        items, moments, numbers = zip(*rows, strict=True)
        return self.ids.make(items), self.times.make(moments), self.values.make(numbers)


@dataclass(frozen=True)
class Layout:
    """A layout of tables.

    Parameters
    ----------
    name : str
    build : callable
        Makes a table.
    kind : str
        ``long``, ``wide`` or ``list``.
    shape : str
        Shape of the panels that it can hold: ``ragged`` for any, ``aligned`` or ``complete``.
    target : str
        Name of the target; empty for one target for each item.
    refused : str
        Pattern of the refusal; empty for layouts that are read.
    items : tuple of str
        Columns that identify an item together: the area of an item, and its id.
    """

    name: str
    build: Callable[[Columns], pa.Table]
    kind: str = "long"
    shape: str = "ragged"
    target: str = "target"
    refused: str = ""
    items: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """Options that name the columns of items."""
        return {"item_columns": ",".join(self.items)} if self.items else {}

    def holds(self, panel: Panel) -> bool:
        """Check whether the layout can hold a panel."""
        if self.shape == "aligned":
            return panel.is_aligned
        return self.shape == "ragged" or panel.is_complete

    def key(self, ids: IdForm, lone: str, item: int) -> Key:
        """Return id and target of an item; ``lone`` is the id in a table without ids."""
        if self.kind == "wide":
            return lone, self.target or f"target_{item}"
        name = ids.names[item // 2] if self.items else ids.names[item]
        return (AREAS[item % 2], name) if self.items else name, self.target


def _long(ids: str = "item_id", times: str = "timestamp", target: str = "target") -> Any:
    def build(columns: Columns) -> pa.Table:
        return pa.table(dict(zip((ids, times, target), columns.arrays(columns.rows), strict=True)))

    return build


def _among_others(columns: Columns) -> pa.Table:
    ids, times, values = columns.arrays(columns.rows)
    count = len(ids)
    more_columns = {
        "note": pa.array([f"n{n % 3}" for n in range(count)]),
        "point": pa.array([{"x": n} for n in range(count)]),
        "path": pa.array([[1, 2]] * count),
        "flag_outlier": pa.array([False] * count),
        "nothing": pa.nulls(count),
    }
    names = ("target", "note", "point", "timestamp", "path", "flag_outlier", "nothing", "item_id")
    return pa.table({"target": values, "timestamp": times, "item_id": ids, **more_columns}).select(
        names
    )


def _wide(columns: Columns) -> pa.Table:
    moments = list(dict.fromkeys(moment for _, moment, _ in columns.rows))
    values = {(item, moment): value for item, moment, value in columns.rows}
    targets = {
        f"target_{item}": columns.values.make([values[item, moment] for moment in moments])
        for item in range(len(columns.panel.items))
    }
    return pa.table({"timestamp": columns.times.make(moments), **targets})


AREAS = ("north", "south")
"""Areas of items: two items have the same id in different areas."""


def _two_columns(columns: Columns) -> pa.Table:
    items, moments, numbers = zip(*columns.rows, strict=True)
    return pa.table(
        {
            "area": [AREAS[item % 2] for item in items],
            "sku": columns.ids.make([item // 2 for item in items]),
            "timestamp": columns.times.make(moments),
            "target": columns.values.make(numbers),
        }
    )


def _by_item(columns: Columns) -> list[list[Row]]:
    by_item: dict[int, list[Row]] = {}
    for row in columns.rows:
        by_item.setdefault(row[0], []).append(row)
    return list(by_item.values())


def _listed(flat: pa.Array, lengths: Sequence[int], kind: str) -> pa.Array:
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, lengths[0])
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    if kind == "views":
        starts, sizes = pa.array(offsets[:-1], pa.int32()), pa.array(lengths, pa.int32())
        return pa.ListViewArray.from_arrays(starts, sizes, flat)
    if kind == "large views":
        starts, sizes = pa.array(offsets[:-1], pa.int64()), pa.array(lengths, pa.int64())
        return pa.LargeListViewArray.from_arrays(starts, sizes, flat)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)


def _lists(kind: str = "list", parts: int = 1) -> Any:
    def build(columns: Columns) -> pa.Table:
        groups = []
        for rows in _by_item(columns):
            size = -(-len(rows) // parts)
            groups += [rows[start : start + size] for start in range(0, len(rows), size)]
        lengths = [len(rows) for rows in groups]
        flat = [row for rows in groups for row in rows]
        _, times, values = columns.arrays(flat)
        return pa.table(
            {
                "item_id": columns.ids.make([rows[0][0] for rows in groups]),
                "timestamp": _listed(times, lengths, kind),
                "target": _listed(values, lengths, kind),
            }
        )

    return build


def _starts(name: str, *, by_row: bool) -> Any:
    def build(columns: Columns) -> pa.Table:
        # A start says where the first value is, so the values are in the order of time.
        groups = [sorted(rows, key=lambda row: row[1]) for rows in _by_item(columns)]
        flat = [row for rows in groups for row in rows]
        _, _, values = columns.arrays(flat)
        named = {
            "item_id": columns.ids.make([rows[0][0] for rows in groups]),
            name: columns.times.make([rows[0][1] for rows in groups]),
            "target": _listed(values, [len(rows) for rows in groups], "list"),
        }
        if by_row:
            named["freq"] = pa.array([columns.panel.step.alias] * len(groups))
        return pa.table(named)

    return build


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("long", _long()),
        Layout("long, of Nixtla", _long("unique_id", "ds", "y"), target="y"),
        Layout("long, in capitals", _long("ITEM_ID", "Timestamp", "TARGET"), target="TARGET"),
        Layout("long, other names", _long("id", "date", "value"), target="value"),
        Layout("long, among others", _among_others),
        Layout("long, two columns of items", _two_columns, items=("area", "sku")),
        Layout("wide", _wide, "wide", "aligned", target=""),
        Layout("lists", _lists(), "list"),
        Layout("large lists", _lists("large"), "list"),
        Layout("lists of one size", _lists("fixed"), "list", "aligned"),
        Layout("views of lists", _lists("views"), "list"),
        Layout("large views of lists", _lists("large views"), "list"),
        Layout("several lists", _lists(parts=3), "list"),
        Layout("starts with frequencies", _starts("start", by_row=True), "list", "complete"),
    )
}

# -- orders ----------------------------------------------------------------------------------------


def _shuffled(rows: list[Row]) -> list[Row]:
    return random.Random(3).sample(rows, len(rows))


ORDERS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "by item": lambda rows: rows,
    "by time": lambda rows: sorted(rows, key=lambda row: (row[1], row[0])),
    "backwards": lambda rows: rows[::-1],
    "times backwards": lambda rows: sorted(rows, key=lambda row: row[1], reverse=True),
    "shuffled": _shuffled,
    "in blocks": lambda rows: rows[10:20] + rows[:10] + rows[20:],
}

# -- frames ----------------------------------------------------------------------------------------


class Stream:
    """A frame of a library that pyarrow does not know."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def _batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [_one_chunk(column) for column in table.columns], schema=table.schema
    )


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _index_of_ids(table: pa.Table) -> Any:
    return table.to_pandas().set_index(table.column_names[0])


def _index_of_both(table: pa.Table) -> Any:
    return table.to_pandas().set_index(table.column_names[:2])


def _arrow_types(table: pa.Table) -> Any:
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _categories(table: pa.Table) -> Any:
    name = table.column_names[0]
    return table.to_pandas().astype({name: "category"})


def _objects(table: pa.Table) -> Any:
    return table.to_pandas().astype(object)


def _nullable(table: pa.Table) -> Any:
    return table.to_pandas().convert_dtypes()


def _periods(table: pa.Table) -> Any:
    frame = table.to_pandas()
    name = table.column_names[1]
    kinds = {"YS": "Y", "QS": "Q", "MS": "M", "ME": "M", "D": "D", "h": "h", "15min": "15min"}
    alias = kinds[table.schema.metadata[b"freq"].decode()]
    return frame.assign(**{name: frame[name].dt.to_period(alias)})


def _of_duckdb(table: pa.Table) -> Any:
    import duckdb

    return duckdb.connect().from_arrow(table)


def _of_polars(table: pa.Table) -> Any:
    import polars

    return polars.from_arrow(table)


def _with_optional(frames: dict[str, Callable[[pa.Table], Any]]) -> dict[str, Any]:
    """Return the frames, with polars where it is installed: it is no dependency of the package."""
    has_polars = importlib.util.find_spec("polars") is not None
    return {**frames, **({"polars": _of_polars} if has_polars else {})}


FRAMES: dict[str, Callable[[pa.Table], Any]] = _with_optional(
    {
        "pyarrow table": lambda table: table,
        "pyarrow table in chunks": lambda table: pa.concat_tables(
            [table.slice(0, 1), table.slice(1, 6), table.slice(7)]
        ),
        "pyarrow batch": _batch,
        "pyarrow reader": lambda table: table.to_reader(max_chunksize=4),
        "Arrow stream": Stream,
        "DuckDB relation": _of_duckdb,
        "pandas": lambda table: table.to_pandas(),
        "pandas, other labels": lambda table: table.to_pandas().set_axis(
            [5] * table.num_rows, axis="index"
        ),
        "pandas, Arrow types": _arrow_types,
        "pandas, nullable": _nullable,
        "pandas, objects": _objects,
        "pandas, categories": _categories,
        "pandas, ids in the index": _index_of_ids,
        "pandas, ids and times in the index": _index_of_both,
        "pandas, periods": _periods,
    }
)
