"""Batches of series as ragged arrays, the output of readers and the input of forecasters.

`SeriesBatch.last_arrow` and `SeriesBatch.future_arrow` convert timestamps back to the input's type
and time zone: steps of a day and longer are counted in wall time, shorter ones in UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from gigacast.core.array import ByteArray, DoubleArray, FloatArray, IntArray
from gigacast.core.column import to_arrow
from gigacast.core.series.covariate import Covariates, concat_covariates
from gigacast.core.series.item_key import ItemKey
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import from_wall, to_wall, zone_of
from gigacast.errors import TimeRangeError

NO_TIME = int(np.iinfo(np.int64).min)
_NS_END_US = (2**63 - 1) // 1000


@dataclass(frozen=True, slots=True)
class SeriesBatch:
    """N series on regular time grids, trimmed to the context that a model uses.

    Parameters
    ----------
    item_ids : pa.Array [N]
        Item ids, strings or integers as in the input.
    target_names : pa.Array [N]
        Name of each series' target column; string.
    values : float32 [sum of T_n]
        Values of all series, one series after the other; NaN for missing values.
    offsets : int64 [N + 1]
        Borders of the series: series ``n`` is ``values[offsets[n]:offsets[n + 1]]``.
    last_timestamps : int64 [N]
        Time of each series' last step: microseconds since 1970 in the wall time of
        ``timestamp_type``'s zone, the number itself for plain steps, or `NO_TIME`.
    frequencies : tuple of Frequency
        Distinct frequencies of the batch.
    frequency_codes : int64 [N]
        Index into ``frequencies``; -1 if the frequency is unknown (``reasons`` then gives why).
    reasons : int8 [N]
        `Reason` why a series cannot be forecast; 0 if it can.
    timestamp_type : pa.DataType
        Type of the forecasts' timestamps, as in the input: a timestamp, a date or (for plain
        steps) an integer.
    covariates : Covariates, optional
        Covariates of the items, and the item of each series; none by default.
    item_key : ItemKey, optional
        Columns whose values ``item_ids`` stand for; by default the ids are those of one column.
    bases : float64 [N], optional
        What is to be added to the values of each series, see `gigacast.core.series.base`; nothing
        by default.
    """

    item_ids: pa.Array
    target_names: pa.Array
    values: FloatArray
    offsets: IntArray
    last_timestamps: IntArray
    frequencies: tuple[Frequency, ...]
    frequency_codes: IntArray
    reasons: ByteArray
    timestamp_type: pa.DataType
    covariates: Covariates | None = None
    item_key: ItemKey | None = None
    bases: DoubleArray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Steps of each series, int64 [N]."""
        return np.diff(self.offsets)

    def __iter__(self) -> Iterator[FloatArray]:
        """Yield the series one by one, for tests and small displays; slow for large batches."""
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.values[start:stop]

    def slice(self, start: int, stop: int) -> "SeriesBatch":
        """Return the series from ``start`` to ``stop`` without copying their values."""
        offsets = self.offsets[start : stop + 1]
        return replace(
            self,
            item_ids=self.item_ids[start:stop],
            target_names=self.target_names[start:stop],
            values=self.values[offsets[0] : offsets[-1]],
            offsets=offsets - offsets[0],
            last_timestamps=self.last_timestamps[start:stop],
            frequency_codes=self.frequency_codes[start:stop],
            reasons=self.reasons[start:stop],
            covariates=self.covariates and self.covariates.slice(start, stop),
            bases=None if self.bases is None else self.bases[start:stop],
        )

    def take(self, rows: IntArray) -> "SeriesBatch":
        """Return a copy of the series ``rows``, int64 [M], in this order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        # The position of each value within its series: one index then gathers all series.
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        chosen = to_arrow(rows)
        return replace(
            self,
            item_ids=self.item_ids.take(chosen),
            target_names=self.target_names.take(chosen),
            values=self.values[np.repeat(self.offsets[rows], lengths) + within],
            offsets=offsets,
            last_timestamps=self.last_timestamps[rows],
            frequency_codes=self.frequency_codes[rows],
            reasons=self.reasons[rows],
            covariates=self.covariates and self.covariates.take(rows),
            bases=None if self.bases is None else self.bases[rows],
        )

    def with_bases_added(self) -> "SeriesBatch":
        """Return the series as they are to be shown, rounded to float32."""
        if self.bases is None:
            return self
        values = (self.values + np.repeat(self.bases, self.lengths)).astype(np.float32)
        return replace(self, values=values, bases=None)

    def item_fields(self) -> list[pa.Field]:
        """Return the columns that name the items in an output."""
        key = self.item_key
        return [pa.field("item_id", self.item_ids.type)] if key is None else key.fields

    def item_columns(self) -> list[pa.Array]:
        """Return the values of `item_fields` [N], one array per column."""
        return [self.item_ids] if self.item_key is None else self.item_key.decode(self.item_ids)

    def last_arrow(self, kind: pa.DataType | None = None) -> pa.Array:
        """Return the last timestamps [N], by default in their type, with null for `NO_TIME`."""
        return self._to_arrow(self._to_utc(self.last_timestamps), kind or self.timestamp_type)

    def newest(self) -> datetime | None:
        """Return the time of the latest step of all series, in UTC.

        It is ``None`` if no series has a time, if times are plain steps, or after the year 9999.
        """
        times = self.last_timestamps[self.last_timestamps != NO_TIME]
        if len(times) == 0 or pa.types.is_integer(self.timestamp_type):
            return None
        last = from_wall(times[times.argmax()][None], self._zone)[0]
        # numpy returns a plain integer for times that Python's datetime cannot represent.
        moment = np.datetime64(int(last), "us").item()
        return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None

    def times_before(self, steps: int | IntArray) -> IntArray:
        """Return the wall times ``steps``, an int or [N], before each last timestamp, int64 [N].

        They are `NO_TIME` for series without a frequency.
        """
        rows = np.arange(len(self))
        return self.times_after(rows, -np.broadcast_to(np.asarray(steps, np.int64), len(self)))

    def times_after(self, rows: IntArray, steps: IntArray) -> IntArray:
        """Return the wall times ``steps`` after the last timestamps of ``rows``, int64 [R].

        They are `NO_TIME` for series without a frequency.
        """
        times = np.full(len(rows), NO_TIME, np.int64)
        for code, frequency in enumerate(self.frequencies):
            members = np.flatnonzero(self.frequency_codes[rows] == code)
            last, ahead = self.last_timestamps[rows[members]], steps[members]
            if frequency.in_wall_time:
                times[members] = frequency.shift(last, ahead)
            else:
                moved = frequency.shift(self._to_utc(last), ahead)
                times[members] = to_wall(moved, self._zone)
        return times

    def steps_since(self, times: IntArray) -> IntArray:
        """Return the steps from each wall time [N] to the last timestamp, int64 [N].

        They are -1 for series without a frequency, for `NO_TIME`, and for times after the last one.
        """
        steps = np.full(len(self), -1, np.int64)
        is_before = (times != NO_TIME) & (times <= self.last_timestamps)
        for code, frequency in enumerate(self.frequencies):
            members = np.flatnonzero((self.frequency_codes == code) & is_before)
            first, last = times[members], self.last_timestamps[members]
            if not frequency.in_wall_time:
                first, last = self._to_utc(first), self._to_utc(last)
            steps[members] = frequency.grid_index(first, last)[0]
        return steps

    def future_type(self, horizon: int) -> pa.DataType:
        """Return the type of the timestamps after each series.

        It is ``timestamp_type``, or timestamps in microseconds if that cannot hold one of them:
        nanoseconds hold the years 1677 to 2262, dates and seconds no shorter steps.
        """
        kind = self.timestamp_type
        if pa.types.is_integer(kind) or (pa.types.is_timestamp(kind) and kind.unit == "us"):
            return kind
        future = self._future_utc(horizon)
        return kind if _can_hold(kind, future[future != NO_TIME]) else wide_type(kind)

    def future_arrow(self, horizon: int, kind: pa.DataType | None = None) -> pa.Array:
        """Return the timestamps after each series, one by one [N * H], by default in their type.

        They are null for series without a frequency.

        Raises
        ------
        TimeRangeError
            If the type cannot hold one of them.
        """
        return self._to_arrow(self._future_utc(horizon).ravel(), kind or self.timestamp_type)

    @property
    def _zone(self) -> str | None:
        return zone_of(self.timestamp_type)

    def _future_utc(self, horizon: int) -> IntArray:
        future = np.full((len(self), horizon), NO_TIME, np.int64)
        for code, frequency in enumerate(self.frequencies):
            members = np.flatnonzero(self.frequency_codes == code)
            last = self.last_timestamps[members]
            if frequency.in_wall_time:
                future[members] = self._to_utc(frequency.future(last, horizon))
            else:
                future[members] = frequency.future(self._to_utc(last), horizon)
        return future

    def _to_utc(self, wall: IntArray) -> IntArray:
        if self._zone is None:
            return wall
        # `NO_TIME` is excluded: as a wall time it would be moved by the zone's offset.
        utc = np.full(wall.shape, NO_TIME, np.int64)
        has_time = wall != NO_TIME
        utc[has_time] = from_wall(wall[has_time], self._zone)
        return utc

    def _to_arrow(self, times: IntArray, kind: pa.DataType) -> pa.Array:
        absent = times == NO_TIME
        plain = to_arrow(times, absent)
        if pa.types.is_integer(kind):
            return plain.cast(kind)
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        # Arrow's casts truncate times between two dates, and unsafe ones wrap beyond the range.
        if not _can_hold(kind, times[~absent]):
            raise TimeRangeError(
                f"the timestamps are {kind}, which cannot hold those of the forecasts",
                hint="write the input's timestamps in microseconds (timestamp[us])",
            )
        return plain.cast(pa.timestamp("us", zone)).cast(kind)


def wide_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that holds the times of a type of timestamps or dates, and any others."""
    return pa.timestamp("us", kind.tz if pa.types.is_timestamp(kind) else None)


def _can_hold(kind: pa.DataType, times: IntArray) -> bool:
    unit = kind.unit if pa.types.is_timestamp(kind) else "date"
    if len(times) == 0 or unit == "us":
        return True
    if unit == "ns":
        return bool(times.max() <= _NS_END_US and times.min() >= -_NS_END_US)
    size = {"date": DAY_US, "s": 1_000_000, "ms": 1000}[unit]
    return bool((times // size * size == times).all())


def concat_batches(batches: Sequence[SeriesBatch]) -> SeriesBatch:
    """Return the series of several batches of a reader as one batch, in order."""
    if len(batches) == 1:
        return batches[0]
    frequencies = tuple(dict.fromkeys(f for batch in batches for f in batch.frequencies))
    lengths = np.concatenate([batch.lengths for batch in batches])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return SeriesBatch(
        item_ids=pa.concat_arrays([batch.item_ids for batch in batches]),
        target_names=pa.concat_arrays([batch.target_names for batch in batches]),
        values=np.concatenate([batch.values for batch in batches]),
        offsets=offsets,
        last_timestamps=np.concatenate([batch.last_timestamps for batch in batches]),
        frequencies=frequencies,
        frequency_codes=np.concatenate([_recode(batch, frequencies) for batch in batches]),
        reasons=np.concatenate([batch.reasons for batch in batches]),
        timestamp_type=batches[0].timestamp_type,
        covariates=concat_covariates([batch.covariates for batch in batches]),
        item_key=batches[0].item_key,
        bases=_joined_bases(batches),
    )


def _joined_bases(batches: Sequence[SeriesBatch]) -> DoubleArray | None:
    parts = [batch.bases for batch in batches]
    if all(part is None for part in parts):
        return None
    pairs = zip(batches, parts, strict=True)
    return np.concatenate([np.zeros(len(b)) if part is None else part for b, part in pairs])


def _recode(batch: SeriesBatch, frequencies: tuple[Frequency, ...]) -> IntArray:
    # The code -1, no frequency, indexes the last entry and stays -1.
    codes = np.array([*(frequencies.index(f) for f in batch.frequencies), -1], np.int64)
    recoded: IntArray = codes[batch.frequency_codes]
    return recoded
