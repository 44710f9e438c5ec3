"""Segments: the groups of forecasts for which a leaderboard gives figures.

A segment key is one of `SEGMENTS`, or ``column:NAME`` for the value that each item has in a column
of the input.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.leaderboard.attribute import NONE, read_attribute
from gigacast.core.array import IntArray
from gigacast.core.column import to_numpy
from gigacast.core.partition.task import Task
from gigacast.core.series.item_key import items_of
from gigacast.errors import ConfigError
from gigacast.forecasting.worker import sources_of
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import ColumnNames
from gigacast.settings.command.backtest import SEGMENTS
from gigacast.storage.store import Store

COLUMN = "column:"
_LENGTHS = (32, 128, 512, 2048)


def check_segment(segment: str) -> None:
    """Refuse an unknown segment key.

    Raises
    ------
    ConfigError
    """
    is_column = segment.startswith(COLUMN) and len(segment) > len(COLUMN)
    if segment not in SEGMENTS and not is_column:
        raise ConfigError(
            f"segment: {segment!r} is unknown",
            hint=f"use one of {', '.join(SEGMENTS)}, or {COLUMN}NAME for a column of the input",
        )


@dataclass(frozen=True)
class Segmenter:
    """Assigns each row of a partition's losses to a segment.

    Parameters
    ----------
    segment : str
    inputs : Store
        Input root, from which the column of ``column:NAME`` is read.
    columns : ColumnNames
    csv : CsvOptions
        Parts of the dialect of CSV files that are named.
    """

    segment: str
    inputs: Store
    columns: ColumnNames
    csv: CsvOptions = field(default_factory=CsvOptions)

    def label(self, losses: pa.Table, task: Task) -> tuple[list[str], IntArray]:
        """Return the labels of a partition's segments, and the index of each row's label.

        Raises
        ------
        SchemaError
            When the input has no such column.
        DataError, StorageError
        """
        only_label = np.zeros(losses.num_rows, np.int64)
        match self.segment:
            case "partition":
                return [task.partition], only_label
            case "symbol" | "timeframe" | "month":
                return [getattr(task, self.segment) or NONE], only_label
            case "length":
                return _by_length(losses)
            case "target" | "frequency" | "window":
                name = "target_name" if self.segment == "target" else self.segment
                return _encode(losses[name])
        return _encode(self._column_of(items_of(losses), task))

    def _column_of(self, items: pa.ChunkedArray, task: Task) -> pa.ChunkedArray:
        """Return the value of the column for each item."""
        name = self.segment.removeprefix(COLUMN)
        # Without the context partitions, which may have other values for an item.
        own = sources_of(task, self.inputs)[len(task.inputs) - task.own :]
        item_id = task.symbol or task.partition.rpartition("/")[2]
        labels = read_attribute(own, self.columns, name, item_id=item_id, csv=self.csv)
        place = pc.index_in(items, value_set=labels["item"].cast(items.type).combine_chunks())
        return pc.fill_null(labels["label"].combine_chunks().take(place), NONE)


def _by_length(losses: pa.Table) -> tuple[list[str], IntArray]:
    lowest = [1, *(upper + 1 for upper in _LENGTHS)]
    # One lower bound more than upper bounds: the last class is open.
    labels = [f"{a} to {b}" for a, b in zip(lowest, _LENGTHS, strict=False)]
    labels += [f"{lowest[-1]} and more"]
    codes = np.searchsorted(_LENGTHS, to_numpy(losses["length"]))
    present, rows = np.unique(codes, return_inverse=True)
    return [labels[code] for code in present], rows.astype(np.int64)


def _encode(column: pa.ChunkedArray) -> tuple[list[str], IntArray]:
    is_dictionary = pa.types.is_dictionary(column.type)
    plain = column.cast(column.type.value_type) if is_dictionary else column
    values = plain.combine_chunks() if isinstance(plain, pa.ChunkedArray) else plain
    encoded = values.dictionary_encode()
    labels = [str(value) for value in encoded.dictionary.to_pylist()]
    return labels, to_numpy(encoded.indices).astype(np.int64)
