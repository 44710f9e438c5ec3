"""The label of each item from a column of its rows, such as its sector or region."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.errors import SchemaError
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches
from gigacast.series.source import MEBIBYTE, ColumnNames, SeriesSource

SEVERAL = "(several)"
NONE = "(none)"
_LIMITS = Limits(1 << 16, 512 * MEBIBYTE)


def read_attribute(
    sources: Sequence[SeriesSource],
    columns: ColumnNames,
    column: str,
    *,
    item_id: str,
    csv: CsvOptions | None = None,
) -> pa.Table:
    """Return the label of each item, which a column gives as text.

    Parameters
    ----------
    sources : sequence of SeriesSource
        Sources of one partition.
    columns : ColumnNames
        Columns named by the settings.
    column : str
        Column of the labels.
    item_id : str
        Item id for tables without an id column.
    csv : CsvOptions, optional
        Parts of the dialect of CSV that are named; all are found for each file by default.

    Returns
    -------
    pa.Table
        Columns ``item`` and ``label``. The label is `SEVERAL` if the rows of an item differ and
        `NONE` if all are null; other nulls are ignored.

    Raises
    ------
    CorruptedFileError
        If a source is not of its format.
    SchemaError
        If a source lacks the column, or the column cannot be read as text.
    """
    opened = [open_table(source, columns, _LIMITS, csv) for source in sources]
    tables = [table for table in opened if table is not None]
    parts = [part for table in tables for part in _pairs(table, column, item_id)]
    if not parts:
        return pa.table({"item": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    pairs = pa.concat_tables(parts).group_by(["item", "label"]).aggregate([])
    counted = pairs.group_by("item", use_threads=False).aggregate(
        [("label", "count"), ("label", "max")]
    )
    # The maximum of a single label is this label; of nulls only it is null.
    single = pc.fill_null(counted["label_max"], NONE)
    label = pc.if_else(pc.greater(counted["label_count"], 1), SEVERAL, single)
    return pa.table({"item": counted["item"], "label": label})


def _pairs(table: OpenTable, column: str, item_id: str) -> Iterator[pa.Table]:
    """Yield the distinct pairs of item and label of each batch."""
    names = list(dict.fromkeys(filter(None, (table.layout.item_id, column))))
    _check_column(table, column)
    if table.csv is not None and column in table.csv.marked:
        # Arrow reads no numbers with decimal commas. A label needs none.
        place = table.schema.get_field_index(column)
        table = replace(table, schema=table.schema.set(place, pa.field(column, pa.string())))
    for batch in read_batches(table, names, _LIMITS):
        rows = pa.Table.from_batches([batch])
        label = _as_text(table.source, column, rows[column])
        id_column = table.layout.item_id
        item = _plain(rows[id_column]) if id_column else pa.repeat(item_id, len(label))
        # Only distinct pairs are kept, so memory grows with the items and not with the rows.
        pairs = pa.table({"item": item, "label": label})
        yield pairs.filter(pc.is_valid(pairs["item"])).group_by(["item", "label"]).aggregate([])


def _check_column(table: OpenTable, column: str) -> None:
    if column not in {*table.schema.names, *table.levels}:
        raise SchemaError(
            f"{table.source.name}: there is no column {column!r}",
            hint=f"it has {', '.join(table.schema.names[:20])}",
        )


def _as_text(source: SeriesSource, column: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return _plain(values).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(
            f"{source.name}: column {column!r} of type {values.type} can't be read as text",
            hint="name a column of text, numbers, booleans or dates",
        ) from error


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    is_dictionary = pa.types.is_dictionary(values.type)
    return values.cast(values.type.value_type) if is_dictionary else values
