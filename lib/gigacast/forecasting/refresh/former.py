"""The former forecast of a partition, of which the numbers of some series are kept."""

from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.array import BoolArray, ByteArray, FloatArray, IntArray, UintArray
from gigacast.core.column import to_floats
from gigacast.core.series.reason import Reason
from gigacast.errors import DataError, ObjectNotFoundError, PreconditionFailedError
from gigacast.forecasting.prediction import MEAN, is_wide, level_name
from gigacast.forecasting.refresh.note import Note
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.store import Store

_GROUPS_HELD = 4
"""Row groups of the former forecast that are held in memory."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of the numbers of a forecast.

    Parameters
    ----------
    horizon : int
        H steps.
    levels : tuple of float
    fallback : str
        With ``drop``, series that the model did not forecast have no rows.
    mean : bool
        Whether rows have the mean.
    """

    horizon: int
    levels: tuple[float, ...]
    fallback: str
    mean: bool = False

    @property
    def columns(self) -> list[str]:
        """Columns of numbers, C: the median, the quantiles, and the mean if there is one."""
        names = ["predictions", *(level_name(level) for level in self.levels)]
        return [*names, MEAN] if self.mean else names


class FormerForecast:
    """The forecast that a note is about, open for reading; close it with `close`.

    It is read row group by row group. If it turns out to be damaged or replaced, nothing more is
    found in it.

    Parameters
    ----------
    store : Store
    output_key : str
    note : Note
    form : Form
    """

    def __init__(self, store: Store, output_key: str, note: Note, form: Form) -> None:
        self._store = store
        self._key = output_key
        self._note = note
        self._form = form
        # Rows of each series in the file come after those of the series before it that have rows.
        has_rows = (note.reasons == Reason.OK) | (form.fallback != "drop")
        self._has_rows: BoolArray = has_rows
        self._ranks = np.cumsum(has_rows) - has_rows
        self._groups: OrderedDict[int, FloatArray] = OrderedDict()
        self._stack = ExitStack()
        self._file: pq.ParquetFile | None = None
        self._borders = np.zeros(1, np.int64)
        # Doubles where the file has series with bases.
        self._kind: type[np.floating] = np.float32
        self._rows_each = 1
        self._try_to_open()

    def close(self) -> None:
        """Close the file."""
        self._file = None
        self._groups.clear()
        self._stack.close()

    def find(self, digests: UintArray) -> tuple[IntArray, FloatArray]:
        """Return which series are as they were, and their numbers.

        Parameters
        ----------
        digests : uint64 [N, 2]

        Returns
        -------
        places : int64 [N]
            Place of each series in the note; -1 for those to compute.
        numbers : float32 or float64 [K, H, C]
            Columns of the form of the K other ones, in order; NaN for those without rows.
        """
        places = self._note.find(digests)
        if self._file is None:
            places[:] = -1
        self._spare_far_reads(places)
        unchanged = places[places >= 0]
        shape = (len(unchanged), self._form.horizon, len(self._form.columns))
        numbers: FloatArray = np.full(shape, np.nan, self._kind)
        has_rows = self._has_rows[unchanged]
        try:
            numbers[has_rows] = self._read(self._ranks[unchanged[has_rows]])
        except (ObjectNotFoundError, PreconditionFailedError, DataError):
            self.close()
            places[:] = -1
            return places, numbers[:0]
        return places, numbers

    def reasons(self, places: IntArray) -> ByteArray:
        """Return the reasons of the series at some places, int8 [K]."""
        return self._note.reasons[places]

    # -- the file ------------------------------------------------------------------------------

    def _try_to_open(self) -> None:
        try:
            opened = open_parquet(self._store, self._key, if_match=self._note.output_etag)
            file = self._stack.enter_context(opened)
        except (ObjectNotFoundError, PreconditionFailedError, DataError):
            return
        with translated_parquet(self._store, self._key):
            schema, metadata = file.schema_arrow, file.metadata
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        if not set(self._form.columns) <= set(schema.names):
            return
        number = schema.field(self._form.columns[0]).type
        number = number.value_type if pa.types.is_list(number) else number
        self._kind = np.float64 if pa.types.is_float64(number) else np.float32
        self._borders = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._rows_each = 1 if is_wide(schema) else self._form.horizon
        if self._borders[-1] == self._has_rows.sum() * self._rows_each:
            self._file = file

    def _groups_of(self, ranks: IntArray) -> tuple[IntArray, IntArray]:
        """Return the first and the last row group of each series, int64 [K] both."""
        first = ranks * self._rows_each
        last = first + self._rows_each - 1
        return (
            np.searchsorted(self._borders, first, "right") - 1,
            np.searchsorted(self._borders, last, "right") - 1,
        )

    def _spare_far_reads(self, places: IntArray) -> None:
        """Leave series out whose rows are too far apart to be worth the reading, in place.

        Inputs keep their order, mostly. If one was shuffled, the series of a batch are all over the
        former forecast, and each batch would read the whole of it.
        """
        unchanged = np.flatnonzero(places >= 0)
        unchanged = unchanged[self._has_rows[places[unchanged]]]
        if self._file is None or not len(unchanged):
            return
        first, last = self._groups_of(self._ranks[places[unchanged]])
        needed = np.unique(np.concatenate([first, last]))
        rows = len(places) * self._rows_each
        largest = max(1, int(np.diff(self._borders).max()))
        allowed = needed[: 2 * (-(-rows // largest)) + _GROUPS_HELD]
        places[unchanged[~(np.isin(first, allowed) & np.isin(last, allowed))]] = -1

    def _read(self, ranks: IntArray) -> FloatArray:
        """Return the numbers of series, [K, H, C]."""
        steps = self._form.horizon
        width = len(self._form.columns)
        rows = (ranks[:, None] * self._rows_each + np.arange(self._rows_each)).ravel()
        each = steps // self._rows_each
        numbers = np.empty((len(rows), each * width), self._kind)
        groups = np.searchsorted(self._borders, rows, "right") - 1
        for group in np.unique(groups):
            in_group = groups == group
            numbers[in_group] = self._group(int(group))[rows[in_group] - self._borders[group]]
        return numbers.reshape(len(ranks), steps, width)

    def _group(self, group: int) -> FloatArray:
        """Return the numbers of a row group, [rows, steps in a row * C]."""
        if group in self._groups:
            self._groups.move_to_end(group)
            return self._groups[group]
        assert self._file is not None  # noqa: S101 - the caller has looked
        with translated_parquet(self._store, self._key):
            columns = self._form.columns
            table = self._file.read_row_groups([group], columns=columns, use_threads=False)
        rows = table.num_rows
        numbers = [_flat(table[name], self._key, self._kind) for name in columns]
        if len({len(column) for column in numbers}) > 1 or len(numbers[0]) % max(1, rows):
            raise DataError(f"{self._key}: lists of several lengths")
        block = np.stack([column.reshape(rows, -1) for column in numbers], axis=-1)
        if block.shape[1] * self._rows_each != self._form.horizon:
            raise DataError(f"{self._key}: forecasts of {block.shape[1]} steps")
        self._groups[group] = block.reshape(rows, -1)
        if len(self._groups) > _GROUPS_HELD:
            self._groups.popitem(last=False)
        return self._groups[group]


def _flat(column: pa.ChunkedArray, key: str, kind: type[np.floating]) -> FloatArray:
    is_list = pa.types.is_list(column.type)
    values = pa.chunked_array([chunk.flatten() for chunk in column.chunks]) if is_list else column
    if values.type != pa.from_numpy_dtype(kind):
        raise DataError(f"{key}: numbers of type {values.type}")
    flat: FloatArray = to_floats(values)
    return flat
