"""What a refusal says of rows: which columns tell them apart, which time is not readable."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import CodeArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.errors import GigacastError, SchemaError
from gigacast.series.columns import is_list_type
from gigacast.series.decode import Decoder, item_column
from gigacast.series.formats import Limits, OpenTable, read_batches
from gigacast.series.identity import id_type, is_id_type, read_ids
from gigacast.series.source import MEBIBYTE, ConflictSample
from gigacast.series.timestamp import is_text

MAX_CANDIDATES = 6
LEAST_ROWS_EACH = 4
"""A column with fewer rows per value names no items."""
_TIMES_OF_DAY = frozenset(
    {"time", "time_of_day", "clock", "hour", "hours", "hh", "minute", "uhrzeit"}
)
"""Names of columns that hold a time of day beside a column of dates."""
_YEARS = frozenset({"year", "yyyy", "yr", "jahr"})
_PARTS_OF_YEARS = frozenset({"month", "mm", "monat", "quarter", "quartal", "week", "woche"})
_WEEK = re.compile(r"\d{4}-?W\d{1,2}")
_FEW = Limits(1000, 64 * MEBIBYTE)
_LONGEST = 40  # characters of a text that is shown
_STILL_TOGETHER = 0.1  # share of repeated keys that may remain
_MAX_ROWS = 20_000  # rows of the sample's keys to look at


def columns_apart(
    candidates: Mapping[str, CodeArray | IntArray], keys: IntArray
) -> tuple[str, ...]:
    """Return the column, or up to three columns, with which few rows still share their key.

    Columns with the fewest values are tried first.

    Parameters
    ----------
    candidates : mapping of str to int [R]
        Codes of the columns' values, from 0.
    keys : int64 [R]
        Codes of the rows' keys.
    """
    together = len(keys) - len(np.unique(keys))
    fewest = sorted(candidates, key=lambda name: int(candidates[name].max()))[:MAX_CANDIDATES]
    for columns in chain.from_iterable(combinations(fewest, count) for count in (1, 2, 3)):
        joined = keys
        for name in columns:
            codes = candidates[name].astype(np.int64)
            joined = np.unique(joined * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
        if len(keys) - len(np.unique(joined)) <= together * _STILL_TOGETHER:
            return columns
    return ()


def find_apart(
    tables: Sequence[OpenTable], decoder: Decoder, limits: Limits, sample: ConflictSample | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that tell the rows of conflicting keys apart, and the columns of ids.

    Only rows of the sample's keys are looked at, so memory is bounded. The first is empty if there
    are no such columns, or the search fails.
    """
    ids = tables[0].layout.id_names if tables else ()
    return _search(tables, decoder, limits, sample), ids


def time_of_day(tables: Sequence[OpenTable], sample: ConflictSample | None) -> tuple[str, ...]:
    """Return the columns of dates and of times of day, if a time is written in both; else none."""
    if not tables or sample is None or not len(sample.times):
        return ()
    table = tables[0]
    if rest := _rest_of_year(table):
        return (table.layout.timestamp, rest)
    if (sample.times % DAY_US).any():
        return ()
    for field in table.schema:
        is_time = pa.types.is_time(field.type) or field.name.strip().lower() in _TIMES_OF_DAY
        if is_time and field.name not in {*table.layout.columns, *table.layout.items}:
            return (table.layout.timestamp, field.name)
    return ()


def _rest_of_year(table: OpenTable) -> str | None:
    """Return the column of months, weeks or quarters beside one of years, or that of years."""
    plain = {name.strip().lower(): name for name in table.schema.names}
    own = table.layout.timestamp.strip().lower()
    if own not in _YEARS | _PARTS_OF_YEARS:
        return None
    others = _PARTS_OF_YEARS if own in _YEARS else _YEARS
    used = {*table.layout.columns, *table.layout.items}
    return next((n for key, n in plain.items() if key in others and n not in used), None)


def no_times(table: OpenTable, rows: int) -> SchemaError:
    """Return the refusal of rows none of which has a readable time; it shows one of them."""
    layout = table.layout
    columns = repr(layout.timestamp) + (f" and {layout.freq!r}" if layout.freq else "")
    text = _first_text(table)
    shown = f", such as {text[:_LONGEST]!r}" if text else ""
    remedy = "write dates as 2024-01-31"
    if text and _WEEK.fullmatch(text.strip()):
        remedy = "write the first day of each week, as 2024-01-29"
    return SchemaError(
        f"{table.source.name}: no row of {rows} has a readable timestamp in {columns}{shown}",
        hint=f"{remedy}, or name the column by --timestamp_column (schema.datetime_column)",
    )


def _first_text(table: OpenTable) -> str | None:
    """Return the first time that is a text; ``None`` without one, or if it can't be read again."""
    column = table.layout.timestamp
    try:
        batch = next(read_batches(table, [column], _FEW), None)
    # The text only adds to a refusal, which must not be lost when a source cannot be read again.
    except (GigacastError, pa.ArrowException, OSError):
        return None
    times = None if batch is None else batch.column(column)
    if times is None or not is_text(times.type):
        return None
    return next((text for text in times.to_pylist() if text and text.strip()), None)


def _search(
    tables: Sequence[OpenTable], decoder: Decoder, limits: Limits, sample: ConflictSample | None
) -> tuple[str, ...]:
    names = set.intersection(*(_candidates(table) for table in tables)) if tables else set()
    if sample is None or not names:
        return ()
    columns = sorted(names)
    try:
        parts = list(_rows_of(tables, columns, decoder, sample, limits))
    # The search only adds to a refusal, which must not be lost when a source cannot be read again.
    except (GigacastError, pa.ArrowException, OSError):
        return ()
    if not parts:
        return ()
    keys = np.concatenate([keys for keys, _ in parts])
    codes = {
        name: _codes([values[place] for _, values in parts]) for place, name in enumerate(columns)
    }
    apart = columns_apart(
        {n: c for n, c in codes.items() if 1 <= c.max() < len(c) // LEAST_ROWS_EACH}, keys
    )
    # In the order of the source, in which people name columns.
    order = [*tables[0].schema.names, *tables[0].levels]
    return tuple(sorted(apart, key=order.index))


def _candidates(table: OpenTable) -> set[str]:
    used = {*table.layout.columns, *table.layout.items}
    names = table.schema.names
    stored = {
        field.name
        for field in table.schema
        if names.count(field.name) == 1 and _may_name_items(field.type)
    }
    return (stored | table.levels.keys()) - used


def _may_name_items(kind: pa.DataType) -> bool:
    return is_id_type(kind) and not pa.types.is_null(kind)


def _rows_of(
    tables: Sequence[OpenTable],
    columns: Sequence[str],
    decoder: Decoder,
    sample: ConflictSample,
    limits: Limits,
) -> Iterator[tuple[IntArray, list[pa.Array]]]:
    """Yield the keys and the columns, as text, of the rows that have a key of the sample."""
    rows = 0
    for table in tables:
        layout = table.layout
        keys = [name for name in (layout.item_id, layout.timestamp) if name is not None]
        # Arrow gives CSV columns the type of their first block; as text all later ones fit.
        if table.source.format == "csv":
            fields = [f.with_type(pa.string()) if f.name in columns else f for f in table.schema]
            table = replace(table, schema=pa.schema(fields))  # noqa: PLW2901
        for batch in read_batches(table, [*keys, *columns], limits):
            ids, keep = item_column(batch, layout, decoder.item_id)
            part = batch if keep is None else batch.filter(to_arrow(keep))
            codes = _key_codes(read_ids(ids, decoder.id_type, ""), part, table, decoder, sample)
            chosen = np.flatnonzero(codes >= 0)
            picked = [part.column(name).take(to_arrow(chosen)) for name in columns]
            texts = [read_ids(column, id_type(column.type), "") for column in picked]
            yield codes[chosen], [column.cast(pa.string()) for column in texts]
            rows += len(chosen)
            if rows >= _MAX_ROWS:
                return


def _key_codes(
    ids: pa.Array, batch: pa.RecordBatch, table: OpenTable, decoder: Decoder, sample: ConflictSample
) -> IntArray:
    """Return the code of each row's key, -1 for those not in the sample."""
    items = pc.unique(sample.items)
    codes = to_numpy(pc.fill_null(pc.index_in(ids, value_set=items), -1)).astype(np.int64)
    column = batch.column(table.layout.timestamp)
    # The times of lists are not those of rows: the rows of an item are compared as wholes.
    if table.layout.kind == "list" or is_list_type(column.type):
        return codes
    times = np.unique(sample.times)
    own = decoder.clock.read(column)
    places = np.minimum(np.searchsorted(times, own), len(times) - 1)
    is_known = (codes >= 0) & (times[places] == own)
    return np.where(is_known, codes * len(times) + places, -1)


def _codes(parts: Sequence[pa.Array]) -> IntArray:
    encoded = pa.concat_arrays(parts).dictionary_encode(null_encoding="encode")
    return to_numpy(encoded.indices).astype(np.int64)
