"""The partitions of a month folder in columns, where all names are plain.

Plain are the folders of almost all buckets: the standard patterns, one partition for each object,
one file format, no earlier months as context. There names are read by Arrow, without an object of
Python for each. `read_plain` leaves every other folder to `Discoverer`, which says what they mean;
both read plain folders alike (``tests/unit/lake/columns/test_plain_months.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, BoolArray, IntArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.partition.name import (
    FORMATS,
    NAMED_PATTERN,
    PANEL_PATTERN,
    Format,
    NamingPattern,
    PartitionName,
    month_of_folder,
)
from gigacast.core.time.month import Month
from gigacast.lake.layout import output_name
from gigacast.lake.plan.discovery import Selection
from gigacast.storage.listed import Listed

# The patterns of `core.partition.name` for the expressions of Arrow (RE2).
_END = rf"\.(?:{'|'.join(FORMATS)})$"
_PANEL = rf"^part[-_.][^/]+{_END}"
_HIVE_PANEL = rf"^[^/_.][^/]*{_END}"
_NAMED = r"^[^/]+_[0-9]+(?:s|min|h|d|w)_h[0-9]+_{:04d}_{:02d}_[0-9a-fA-F]+"
_NAMED_MARK = "_h"
"""Part of the names of all files of one symbol."""
_END_OF_TEXT = 2**31 - 1
"""As `binary_slice` takes it: without a stop it fails on some arrays ("negative resize")."""
_NAMED_PARTS = 5
"""Parts after the symbol: timeframe, horizon, year, month, hash."""


@dataclass(frozen=True, slots=True)
class PlainMonth:
    """The partitions of a month folder in key order, in columns of N rows, and its other objects.

    Parameters
    ----------
    month : Month
    extension : {"parquet", "csv", "json"}
        Format of all partitions.
    objects : Listed
        The input of each partition.
    partitions, output_names : StringArray [N]
        Their names, and the keys of their outputs below the folder of the spec.
    symbols, timeframes, horizon_parts : StringArray [N], optional
        Parts of the name, such as ``EURUSD``, ``1min`` and ``h15``; null for parts of panels,
        ``None`` where all are.
    is_selected : bool [N]
    unmatched, superseded : list of str
    twins : int
        As in `MonthPartitions`.
    """

    month: Month
    extension: Format
    objects: Listed
    partitions: pa.StringArray
    output_names: pa.StringArray
    symbols: pa.StringArray | None
    timeframes: pa.StringArray | None
    horizon_parts: pa.StringArray | None
    is_selected: BoolArray
    unmatched: list[str]
    superseded: list[str]
    twins: int

    def horizons(self, horizon_of: Callable[[PartitionName], int]) -> IntArray:
        """Return the horizon of each partition, [N]; names that agree are asked for once."""
        if self.symbols is None:
            name = PartitionName("", self.month, "", self.extension)
            return np.full(len(self.partitions), horizon_of(name), np.int64)
        kinds = pc.dictionary_encode(joined("_", self.timeframes, self.horizon_parts), "encode")
        by_kind = [self._horizon_of(kind, horizon_of) for kind in kinds.dictionary.to_pylist()]
        return np.array(by_kind, np.int64)[to_numpy(kinds.indices)]

    def _horizon_of(self, kind: str | None, horizon_of: Callable[[PartitionName], int]) -> int:
        name = PartitionName("", self.month, "", self.extension)
        if kind is not None:
            timeframe, _, horizon = kind.partition("_h")
            name = replace(name, timeframe=timeframe, horizon_minutes=int(horizon))
        return horizon_of(name)


def read_plain(
    place: str, month: Month, objects: Listed, pattern: NamingPattern, selection: Selection
) -> PlainMonth | None:
    """Return the partitions of a month folder; ``None`` if the folder is not plain.

    Parameters
    ----------
    place : str
        Folder with its slash: ``2014/03/``.
    month : Month
    objects : Listed
        All objects below the folder.
    pattern : NamingPattern
    selection : Selection
    """
    is_standard = (pattern.named, pattern.panel) == (NAMED_PATTERN, PANEL_PATTERN)
    if not is_standard or selection.context_partitions or selection.by_month:
        return None
    if objects.keys.type != pa.string():
        return None
    names = _Names.of(place, month, objects.keys)
    kinds = _sort_out(names, month)
    return None if kinds is None else _assemble(names, kinds, month, objects, selection)


@dataclass(frozen=True, slots=True)
class _Names:
    """The keys of a month: their folders, with or without a month of their own, and names."""

    keys: pa.StringArray
    folders: pa.StringArray
    names: pa.StringArray
    is_hive: BoolArray
    is_in_month: BoolArray

    @classmethod
    def of(cls, place: str, month: Month, keys: pa.StringArray) -> "_Names":
        names = cut(keys, len(place.encode()))
        if not to_numpy(pc.match_substring(names, "/")).any():
            folders = repeated([place[:-1]], np.zeros(len(keys), np.int64))
            is_hive = np.full(len(keys), "=" in place)
            return cls(keys, folders, names, is_hive, np.ones(len(keys), np.bool_))
        parts = pc.list_flatten(pc.split_pattern(keys, "/", max_splits=1, reverse=True))
        folders = _every(parts, 0, 2)
        codes = pc.dictionary_encode(folders)
        distinct = codes.dictionary.to_pylist()
        place_of = to_numpy(codes.indices)
        is_hive = np.array(["=" in folder for folder in distinct])[place_of]
        is_in_month = np.array([month_of_folder(folder) == month for folder in distinct])[place_of]
        return cls(keys, folders, _every(parts, 1, 2), is_hive, is_in_month)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What the objects of a month are, in masks of N rows."""

    is_named: BoolArray
    is_data: BoolArray
    is_twin: BoolArray
    extension: Format


def _sort_out(names: _Names, month: Month) -> _Kinds | None:
    """Return what each object is; ``None`` where a name may be read in several ways."""
    is_panel = _matches(names.names, _PANEL)
    if names.is_hive.any():
        is_panel = np.where(names.is_hive, _matches(names.names, _HIVE_PANEL), is_panel)
    is_marked = to_numpy(pc.match_substring(names.names, _NAMED_MARK))
    is_named = np.zeros(len(names.names), np.bool_)
    if is_marked.any():
        is_named = _matches(names.names, _NAMED.format(month.year, month.month) + _END)
        # Such a name may only begin like that of a symbol, or be that of another month.
        is_doubtful = is_marked & ~is_named & names.is_in_month
        if (is_doubtful & _matches(names.names, _END)).any():
            return None
        is_panel &= ~is_marked
    is_data = (is_panel | is_named) & names.is_in_month
    formats = {kind: is_data & to_numpy(pc.ends_with(names.names, f".{kind}")) for kind in FORMATS}
    is_twin = _twins(names.keys, formats["json"], formats["parquet"])
    formats["json"] = formats["json"] & ~is_twin
    present = [kind for kind, rows in formats.items() if rows.any()]
    # `a.parquet` beside `a.csv`: their partitions and outputs need names of their own.
    if len(present) > 1:
        return None
    return _Kinds(is_named, is_data & ~is_twin, is_twin, present[0] if present else "parquet")


def _assemble(
    names: _Names, kinds: _Kinds, month: Month, objects: Listed, selection: Selection
) -> PlainMonth:
    unmatched = objects.keys.filter(to_arrow(~(kinds.is_data | kinds.is_twin))).to_pylist()
    rows = np.flatnonzero(kinds.is_data)
    partitions, parts = _read_names(names, kinds, rows)
    superseded: list[str] = []
    if parts is not None:
        newest = _newest(partitions, kinds.is_named[rows], objects.take(rows), superseded)
        if len(newest) < len(rows):
            rows, places = rows[newest], to_arrow(newest)
            partitions = partitions.take(places)
            parts = [column.take(places) for column in parts]
    symbols, timeframes, horizon_parts = parts or (None, None, None)
    own = objects.take(rows)
    outputs = own.keys
    if kinds.extension != "parquet":
        # As `output_name`: `x.csv` is forecast into `x.csv.parquet`.
        outputs = joined("", own.keys, repeated([output_name("")], np.zeros(len(rows), np.int64)))
    return PlainMonth(
        month,
        kinds.extension,
        own,
        partitions,
        outputs,
        symbols,
        timeframes,
        horizon_parts,
        _selected(month, len(rows), symbols, timeframes, selection),
        unmatched,
        superseded,
        int(kinds.is_twin.sum()),
    )


def _read_names(
    names: _Names, kinds: _Kinds, rows: IntArray
) -> tuple[pa.StringArray, list[pa.StringArray] | None]:
    """Return the names of partitions; and their symbols, timeframes and horizons, if they have."""
    end = -len(kinds.extension) - 1
    partitions = cut(_take(names.keys, rows), 0, end)
    is_named = kinds.is_named[rows]
    if not is_named.any():
        return partitions, None
    texts = _take(names.names, rows[is_named])
    # From the end no part has an underscore of its own; that of the symbol may.
    split = pc.split_pattern(texts, "_", max_splits=_NAMED_PARTS, reverse=True)
    flat = pc.list_flatten(split)
    parts = [_every(flat, n, _NAMED_PARTS + 1) for n in range(3)]
    own = joined("/", _take(names.folders, rows[is_named]), joined("_", *parts))
    places = to_arrow(np.cumsum(is_named) - 1, ~is_named)
    partitions = pc.if_else(to_arrow(is_named), own.take(places), partitions)
    return partitions, [part.take(places) for part in parts]


def _newest(
    partitions: pa.StringArray, is_named: BoolArray, objects: Listed, superseded: list[str]
) -> IntArray:
    """Return the rows of the newest generations, and add the keys of older ones."""
    codes = to_numpy(pc.dictionary_encode(partitions).indices)
    is_rival = (np.bincount(codes)[codes] > 1) & is_named
    if not is_rival.any():
        return np.arange(len(codes))
    newest: dict[int, tuple[int, str, int]] = {}
    # As in `Discoverer`: in key order, and by the time of the last write.
    rivals = np.flatnonzero(is_rival)
    keys = _take(objects.keys, rivals).to_pylist()
    for row, key in zip(rivals.tolist(), keys, strict=True):
        own = (int(objects.modified_ns[row]), key, row)
        code = int(codes[row])
        older, newer = sorted((own, newest.get(code, own)))
        newest[code] = newer
        if older is not newer:
            superseded.append(older[1])
    is_kept = ~is_rival
    is_kept[[row for _, _, row in newest.values()]] = True
    return np.flatnonzero(is_kept)


def _selected(
    month: Month,
    count: int,
    symbols: pa.StringArray | None,
    timeframes: pa.StringArray | None,
    selection: Selection,
) -> BoolArray:
    selected = np.full(count, month in selection.months)
    for wanted, column in ((selection.symbols, symbols), (selection.timeframes, timeframes)):
        if wanted and column is None:
            selected[:] = False
        elif wanted:
            selected &= to_numpy(pc.is_in(column, value_set=text_column(sorted(wanted))))
    return selected


def _twins(keys: pa.StringArray, is_json: BoolArray, is_parquet: BoolArray) -> BoolArray:
    """Return which JSON files describe a Parquet file of the same name."""
    is_twin = np.zeros(len(keys), np.bool_)
    if is_json.any() and is_parquet.any():
        stems = cut(keys.filter(to_arrow(is_parquet)), 0, -len(".parquet"))
        described = cut(keys.filter(to_arrow(is_json)), 0, -len(".json"))
        is_twin[is_json] = to_numpy(pc.is_in(described, value_set=stems))
    return is_twin


def cut(texts: pa.StringArray, start: int, stop: int = _END_OF_TEXT) -> pa.StringArray:
    """Return the bytes of texts from ``start`` to ``stop``, which are ends of characters."""
    pieces = pc.binary_slice(texts.cast(pa.binary()), start, stop)
    return cast("pa.StringArray", pieces.view(pa.string()))


def _matches(texts: pa.StringArray, pattern: str) -> BoolArray:
    return cast("BoolArray", to_numpy(pc.match_substring_regex(texts, pattern)))


def joined(separator: str, *columns: pa.StringArray) -> pa.StringArray:
    """Return the texts of each row joined."""
    return pc.binary_join_element_wise(*columns, text_column([separator])[0])


def repeated(texts: Sequence[str], places: IntArray) -> pa.StringArray:
    """Return the text of each place."""
    return text_column(texts).take(to_arrow(places))


def _every(texts: pa.StringArray, start: int, step: int) -> pa.StringArray:
    return texts.take(to_arrow(np.arange(start, len(texts), step)))


def _take(texts: pa.StringArray, rows: AnyArray) -> pa.StringArray:
    return texts if len(rows) == len(texts) else texts.take(to_arrow(rows))
