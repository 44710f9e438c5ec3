"""The decoding of record batches into runs of rows.

A `Decoder` holds what all sources of a partition have in common: type of ids, clock, targets. Each
layout has a function from a record batch to `ItemRows`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray, RealArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.series.batch import NO_TIME
from gigacast.core.series.item_key import ItemKey
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import from_wall, to_wall
from gigacast.errors import ConfigError, SchemaError
from gigacast.series.columns import Layout, is_list_type
from gigacast.series.identity import read_ids
from gigacast.series.rows import (
    ItemRows,
    merge_neighbours,
    pack_frequency,
    run_starts,
    unpack_distinct,
)
from gigacast.series.segment import offsets_of, spread, take_ranges
from gigacast.series.timestamp import Clock, OffsetGuard, is_bytes, is_text
from gigacast.series.timestamp_text import UnreadTexts
from gigacast.series.value import CategoryCodes, check_digits, read_values

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Decoder:
    """The common properties of a partition's sources.

    Parameters
    ----------
    id_type : pa.DataType
        Output type of the ids.
    clock : Clock
        Clock of the timestamps.
    targets : tuple of str
        Columns of targets.
    item_id : str
        Item id for tables without an id column.
    freq : Frequency or None
        Frequency given by the settings.
    covariates : tuple of str
        Columns of covariates, those that are known ahead last.
    known_covariates : int
        Number of covariates that are known ahead.
    codes : mapping
        Codes of the categorical covariates, by column.
    item_key : ItemKey, optional
        Columns that the item ids stand for; a single one by default.
    """

    id_type: pa.DataType
    clock: Clock
    targets: tuple[str, ...]
    item_id: str
    freq: Frequency | None
    covariates: tuple[str, ...] = ()
    known_covariates: int = 0
    codes: Mapping[str, CategoryCodes] = field(default_factory=dict)
    item_key: ItemKey | None = None
    unread: UnreadTexts = field(default_factory=UnreadTexts, init=False, repr=False)
    _offsets: OffsetGuard = field(default_factory=OffsetGuard, init=False, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of values: the targets, then the covariates."""
        return (*self.targets, *self.covariates)

    @property
    def categories(self) -> tuple[tuple[str, ...] | None, ...]:
        """Texts of each covariate so far, by code; ``None`` for a covariate of numbers."""
        return tuple(
            self.codes[name].texts if name in self.codes else None for name in self.covariates
        )

    def decode(
        self,
        batch: pa.RecordBatch,
        layout: Layout,
        runs: tuple[IntArray, pa.Array] | None = None,
        *,
        primary: bool,
        name: str,
        coded: bool = False,
    ) -> tuple[ItemRows, int]:
        """Return the runs of a batch, and the number of rows dropped for their null item id.

        With ``coded``, for rows that are sorted next, ids may be a dictionary; see `find_runs`.
        With ``runs``, as `find_runs` returns them, the batch has no column of ids.
        """
        if runs is not None:
            return self._decode_rows(batch, layout, runs, name, primary=primary), 0
        ids, keep = item_column(batch, layout, self.item_id)
        dropped = 0
        if keep is not None:
            batch = batch.filter(to_arrow(keep))
            dropped = len(keep) - int(keep.sum())
        if layout.kind == "list":
            ids = read_ids(ids, self.id_type, name)
            return self._decode_lists(batch, layout, ids, name, primary=primary), dropped
        runs = find_runs(ids, self.id_type, name, coded=coded)
        return self._decode_rows(batch, layout, runs, name, primary=primary), dropped

    def _decode_rows(
        self,
        batch: pa.RecordBatch,
        layout: Layout,
        runs: tuple[IntArray, pa.Array],
        name: str,
        *,
        primary: bool,
    ) -> ItemRows:
        starts, run_ids = runs
        times = self._times(batch.column(layout.timestamp), name)
        values = tuple(self._read(column, batch.column(column), name) for column in self.columns)
        offsets = np.append(starts, len(times))
        return ItemRows(run_ids, offsets, times, values, np.full(len(starts), primary))

    def _times(self, column: pa.Array, name: str) -> IntArray:
        self._offsets.check(column, name)
        times = self.clock.read(column, name)
        texts = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        if is_text(texts.type) or is_bytes(texts.type):
            self.unread.add(texts, times)
        return times

    def _read(self, topic: str, column: pa.Array, name: str) -> RealArray:
        if (codes := self.codes.get(topic)) is not None:
            return codes.encode(column)
        values = read_values(column)
        check_digits(column, values, name, topic)
        return values

    # -- lists -------------------------------------------------------------------------------------

    def _decode_lists(
        self, batch: pa.RecordBatch, layout: Layout, ids: pa.Array, name: str, *, primary: bool
    ) -> ItemRows:
        lists = [_flatten(batch.column(target)) for target in self.columns]
        self._check_covariate_lengths([own for _, own in lists], ids, name)
        lengths = np.max([own for _, own in lists], axis=0)
        column = batch.column(layout.timestamp)
        stated: list[RealArray] = []
        if is_list_type(column.type):
            flat, own = _flatten(column)
            self._check_times([values for _, values in lists], own, ids, name)
            lengths = np.maximum(lengths, own)
            times = _padded(self._times(flat, name), own, lengths, NO_TIME)
        else:
            packed = self._packed_frequencies(batch, layout, name)
            times = self._count_from(self._times(column, name), packed, lengths)
            if layout.freq is not None:
                stated = [np.repeat(packed, lengths)]
        values = [
            _padded(self._read(target, flat, name), own, lengths, np.nan)
            for target, (flat, own) in zip(self.columns, lists, strict=True)
        ]
        rows = ItemRows(
            ids, offsets_of(lengths), times, (*values, *stated), np.full(len(lengths), primary)
        )
        # An item may have several lists, which are one series.
        return merge_neighbours(rows)

    def _check_times(
        self, lengths: Sequence[IntArray], times: IntArray, ids: pa.Array, name: str
    ) -> None:
        """Refuse rows whose lists have more times than values, or fewer.

        Which of them belong together is not known. A list without elements is that of a series
        that has no values, or no times.
        """
        for topic, values in zip(self.columns, lengths, strict=True):
            # Beside covariates that are known ahead a history ends before its times do.
            is_uneven = values > times if self.known_covariates else values != times
            is_uneven &= (values > 0) & (times > 0)
            if is_uneven.any():
                row = int(is_uneven.argmax())
                raise SchemaError(
                    f"{name}: item {ids[row].as_py()!r} has {times[row]} times and {values[row]} "
                    f"values of {topic!r} in its lists",
                    hint="write as many values as times, and null where a value is missing",
                )

    def _check_covariate_lengths(
        self, lengths: Sequence[IntArray], ids: pa.Array, name: str
    ) -> None:
        """Refuse rows in which a covariate has fewer values than a target, or two targets differ.

        Nor may there be more values unless a covariate is known ahead: nothing says whether the
        first or the last of them have no target. A list without elements is a column without
        values.
        """
        if not self.covariates:
            return  # Lists of targets from the same start may differ in length.
        history = np.max(lengths[: len(self.targets)], axis=0)
        longest = np.argmax(lengths[: len(self.targets)], axis=0)
        for topic, values in zip(self.columns, lengths, strict=True):
            is_uneven = values < history if self.known_covariates else values != history
            is_uneven &= (values > 0) & (history > 0)
            if is_uneven.any():
                row = int(is_uneven.argmax())
                raise SchemaError(
                    f"{name}: item {ids[row].as_py()!r} has {history[row]} values of "
                    f"{self.targets[longest[row]]!r} and {values[row]} of {topic!r} in its lists",
                    hint="write a value of each covariate and target for each step of the history, "
                    "and null where one is missing",
                )

    def _packed_frequencies(self, batch: pa.RecordBatch, layout: Layout, name: str) -> RealArray:
        """Return the packed frequency of each row; NaN if it is missing or unreadable."""
        common = self.freq or (Frequency.steps() if layout.freq is None else None)
        if common is not None:
            return np.full(batch.num_rows, pack_frequency(common))
        column = batch.column(layout.freq)
        packed = np.full(batch.num_rows, np.nan)
        for text in column.unique().drop_null().to_pylist():
            try:
                frequency = Frequency.parse(text)
                number = pack_frequency(frequency)
            except ConfigError:
                continue  # its rows stay without times, and the series gets NO_TIMESTAMP
            self._check_stated(frequency, layout, name)
            is_equal = pc.fill_null(pc.equal(column.cast(pa.string()), text), False)
            packed[to_numpy(is_equal)] = number
        return packed

    def _check_stated(self, frequency: Frequency, layout: Layout, name: str) -> None:
        """Refuse steps of time from starts that are plain numbers, and the reverse."""
        if (frequency.kind == "steps") != self.clock.counts_steps:
            content = "plain numbers" if self.clock.counts_steps else "times"
            raise SchemaError(
                f"{name}: column {layout.timestamp!r} holds {content}, which do not fit the "
                f"frequency {frequency} of column {layout.freq!r}",
                hint="write the starts as timestamps, or set timestamp_unit to the unit of the "
                "numbers",
            )

    def _count_from(self, starts: IntArray, packed: RealArray, lengths: IntArray) -> IntArray:
        """Return the times of lists from their starts and frequencies."""
        offsets = offsets_of(lengths)
        steps = np.arange(offsets[-1], dtype=np.int64) - spread(offsets[:-1], offsets)
        times = np.full(len(steps), NO_TIME, np.int64)
        timed = np.flatnonzero(~np.isnan(packed) & (starts != NO_TIME))
        frequencies, codes = unpack_distinct(packed[timed])
        for code, frequency in enumerate(frequencies):
            rows = timed[codes == code]
            points = take_ranges(offsets[:-1][rows], lengths[rows])
            # Days and longer steps are counted in wall time, shorter ones in UTC, as in `grid`.
            zone = self.clock.zone if frequency.in_wall_time else None
            start = frequency.start(to_wall(starts[rows], zone))
            counted = frequency.shift(np.repeat(start, lengths[rows]), steps[points])
            times[points] = from_wall(counted, zone)
        return times


def item_column(
    batch: pa.RecordBatch, layout: Layout, item_id: str
) -> tuple[pa.Array, BoolArray | None]:
    """Return the ids of a batch without nulls, and the mask of their rows (``None`` for all)."""
    if layout.item_id is None:
        return pa.repeat(pa.scalar(item_id, pa.string()), batch.num_rows), None
    ids = batch.column(layout.item_id)
    is_valid = _valid_ids(ids)
    if is_valid is None:
        return ids, None
    return ids.filter(is_valid), to_numpy(is_valid)


def _valid_ids(ids: pa.Array) -> pa.Array | None:
    # In a dictionary a null may be a missing index or a null entry; null_count sees the former.
    if pa.types.is_dictionary(ids.type) and ids.dictionary.null_count:
        return ids.dictionary.is_valid().take(ids.indices).fill_null(False)
    return ids.is_valid() if ids.null_count else None


def find_runs(
    ids: pa.Array, kind: pa.DataType, name: str, *, coded: bool = False
) -> tuple[IntArray, pa.Array]:
    """Return the starts of runs of equal ids, and the id of each as ``kind``. No nulls.

    With ``coded``, ids that are a dictionary stay one, of values of ``kind``. Then an id may be in
    it more than once, and neighbouring runs may have the same id.
    """
    if not pa.types.is_dictionary(ids.type):
        ids = read_ids(ids, kind, name)
        starts = run_starts(ids)
        return starts, ids.take(to_arrow(starts))
    starts = run_starts(ids.indices)
    if coded and not ids.dictionary.null_count:
        values = read_ids(ids.dictionary, kind, name)
        return starts, pa.DictionaryArray.from_arrays(ids.indices.take(to_arrow(starts)), values)
    run_ids = read_ids(ids.take(to_arrow(starts)), kind, name)
    # A dictionary may contain a value twice, so runs of codes may be neighbours of the same id.
    distinct = run_starts(run_ids)
    return starts[distinct], run_ids.take(to_arrow(distinct))


def _flatten(lists: pa.Array) -> tuple[pa.Array, IntArray]:
    lengths = to_numpy(pc.list_value_length(lists).fill_null(0).cast(pa.int64()))
    return lists.flatten(), lengths


def _padded(
    flat: npt.NDArray[Number], own: IntArray, lengths: IntArray, filler: float
) -> npt.NDArray[Number]:
    # Lists from the same start may differ in length. The shorter ones are padded at their end.
    if np.array_equal(own, lengths):
        return flat
    offsets = offsets_of(lengths)
    position = np.arange(offsets[-1]) - spread(offsets[:-1], offsets)
    padded = np.full(offsets[-1], filler, flat.dtype)
    padded[position < spread(own, offsets)] = flat
    return padded
