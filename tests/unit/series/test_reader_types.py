"""Every type a column may have."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.errors import SchemaError
from tests.unit.series.reading import days, moment, parquet, read, reader_of

TIMES = pa.array(days("2024-01-01", 4).to_numpy("datetime64[us]"))
IDS = pa.array(["a"] * 4)


def table(ids=IDS, times=TIMES, values=(1.0, 2.0, 3.0, 4.0)) -> pa.Table:
    return pa.table({"item_id": ids, "timestamp": times, "target": values})


VALUE_TYPES = [
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
    pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(10, 2),
    pa.decimal256(50, 10), pa.dictionary(pa.int8(), pa.int64()),
    pa.dictionary(pa.int32(), pa.float64()),
]  # fmt: skip


@pytest.mark.parametrize("kind", VALUE_TYPES, ids=str)
@pytest.mark.parametrize("stored", [True, False], ids=["parquet", "memory"])
def test_targets_of_any_number_type_are_read(kind, stored):
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    scale = Decimal if pa.types.is_decimal(plain) else np.float16 if plain == pa.float16() else int
    array = pa.array([scale(1), None, scale(3), scale(7)], plain)
    content = table(values=array.dictionary_encode() if plain != kind else array)
    series = read(parquet(content) if stored else content)
    assert series["a", "target"].values == (1, None, 3, 7)


def test_booleans_are_numbers_and_columns_of_nulls_are_all_null():
    assert read(table(values=pa.array([True, False, None, True])))["a", "target"].values == (
        1,
        0,
        None,
        1,
    )
    assert read(table(values=pa.nulls(4)))["a", "target"].reason == "all_null"


@pytest.mark.parametrize(
    ("ids", "kind", "item"),
    [
        (IDS, pa.string(), "a"), (IDS, pa.large_string(), "a"), (IDS, pa.string_view(), "a"),
        (IDS, pa.binary(), "a"), (IDS, pa.large_binary(), "a"),
        (pa.array(["äöü"] * 4), pa.binary(), "äöü"),
        (pa.array(["ab"] * 4), pa.binary(2), "ab"), (pa.array([""] * 4), pa.string(), ""),
        (pa.array([7] * 4), pa.int8(), 7), (pa.array([-7] * 4), pa.int64(), -7),
        (pa.array([2**64 - 1] * 4, pa.uint64()), pa.uint64(), 2**64 - 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("coded", [True, False])
def test_ids_may_be_text_bytes_or_numbers(ids, kind, item, coded):
    array = ids.cast(kind)
    if coded and kind != pa.string_view():
        array = array.dictionary_encode()
    assert [key for key, _ in read(table(ids=array))] == [item]


def test_a_dictionary_with_a_repeated_or_null_id_is_read():
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 1]), pa.array(["a", "a"]))
    assert read(table(ids=twice))["a", "target"].values == (1, 2, 3, 4)
    null = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 0]), pa.array(["a", None]))
    reader = reader_of(table(ids=null))
    assert [batch.values.tolist()[0] for batch in reader] == [1]
    assert reader.stats.null_items == 1


def test_bytes_that_are_not_utf8_are_refused():
    with pytest.raises(SchemaError, match="item id"):
        read(table(ids=pa.array([b"\xff"] * 4)))


TIME_TYPES = [
    (pa.timestamp("s"), moment("2024-01-04")), (pa.timestamp("ns"), pd.Timestamp("2024-01-04")),
    (pa.timestamp("ms", "UTC"), dt.datetime(2024, 1, 4, tzinfo=dt.UTC)),
    (pa.date32(), dt.date(2024, 1, 4)), (pa.date64(), dt.date(2024, 1, 4)),
    (pa.string(), moment("2024-01-04")), (pa.large_string(), moment("2024-01-04")),
    (pa.dictionary(pa.int32(), pa.string()), moment("2024-01-04")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "last"), TIME_TYPES, ids=str)
@pytest.mark.parametrize("stored", [True, False], ids=["parquet", "memory"])
def test_timestamps_of_any_type_give_one_daily_series(kind, last, stored):
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    times = TIMES.cast(plain)
    content = table(times=times.dictionary_encode() if plain != kind else times)
    series = read(parquet(content) if stored else content)["a", "target"]
    assert (series.values, series.freq, series.last) == ((1, 2, 3, 4), "D", last)


@pytest.mark.parametrize(
    ("unit", "per_day"), [("s", 86_400), ("ms", 86_400_000), ("us", 86_400 * 10**6)]
)
@pytest.mark.parametrize("forced", [True, False])
def test_numbers_since_1970_are_timestamps_of_their_unit(unit, per_day, forced):
    start = 19_723 * per_day
    times = pa.array([start + day * per_day for day in range(4)])
    options = {"timestamp_unit": unit} if forced else {}
    (batch,) = reader_of(table(times=times), **options)
    assert batch.timestamp_type == pa.timestamp(unit)
    assert batch.future_arrow(1).to_pylist() == [moment("2024-01-05")]


@pytest.mark.parametrize("year", [1066, 1677, 2024, 2262, 3000])
def test_int96_timestamps_of_any_year_are_read(year):
    times = [moment(f"{year}-05-01") + dt.timedelta(days=n) for n in range(4)]
    content = parquet(
        table(times=pa.array(times, pa.timestamp("us"))), use_deprecated_int96_timestamps=True
    )
    (batch,) = reader_of(content)
    assert batch.timestamp_type == pa.timestamp("us")
    assert batch.future_arrow(1).to_pylist() == [moment(f"{year}-05-05")]


def test_times_in_nanoseconds_are_returned_in_microseconds_if_set():
    (batch,) = reader_of(table(times=TIMES.cast(pa.timestamp("ns", "UTC"))), wide_times=True)
    assert batch.timestamp_type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64(), pa.timestamp("s")])
def test_a_frequency_finer_than_the_type_widens_it(kind):
    rows = table(times=TIMES.cast(kind))
    (batch,) = reader_of(rows, freq="100ms" if kind == pa.timestamp("s") else "12h")
    assert batch.timestamp_type == pa.timestamp("us")
    assert len(set(batch.future_arrow(5).to_pylist())) == 5


def test_plain_numbers_are_steps():
    series = read(table(times=pa.array([3, 1, 2, 6], pa.int32())))["a", "target"]
    assert (series.values, series.freq, series.last) == ((2, 3, 1, None, None, 4), "1", 6)


def test_the_greatest_number_decides_the_unit_wherever_it_is():
    times = pa.array([0, 86_400, 172_800, 20_000 * 86_400])
    series = read(table(times=times), context_length=2, batch_rows=1)["a", "target"]
    assert series.last == moment("1970-01-01") + dt.timedelta(days=20_000)


def test_a_frequency_in_time_does_not_fit_plain_numbers():
    with pytest.raises(SchemaError, match="timestamp_unit"):
        read(table(times=pa.array([1, 2, 3, 4])), freq="D")
    with pytest.raises(SchemaError, match="do not fit"):
        read(table(), freq="5")


# -- zones and summer time -------------------------------------------------------------------------


def zoned(freq: str, start: str, periods: int) -> pa.Table:
    grid = pd.date_range(start, periods=periods, freq=freq, tz="Europe/Berlin")
    times = pa.array(grid.tz_convert(None).to_numpy("datetime64[us]")).cast(
        pa.timestamp("us", "Europe/Berlin")
    )
    return pa.table(
        {"item_id": ["a"] * periods, "timestamp": times, "target": np.arange(periods) * 1.0}
    )


@pytest.mark.parametrize("freq", ["D", "B", "MS", "W"])
@pytest.mark.parametrize("options", [True, False])
def test_days_are_regular_across_summer_time(freq, options):
    series = read(zoned(freq, "2024-02-26", 60), freq=freq if options else None)["a", "target"]
    assert (series.freq, series.reason, series.values) == (freq, "ok", tuple(range(60)))


@pytest.mark.parametrize("start", ["2024-03-30 12:00", "2024-10-26 12:00"])
@pytest.mark.parametrize("options", [True, False])
def test_every_hour_has_its_value_across_clock_changes(start, options):
    reader = reader_of(zoned("h", start, 40), freq="h" if options else None)
    (batch,) = reader
    assert batch.values.tolist() == list(range(40))
    assert (reader.stats.duplicates, reader.stats.gaps) == (0, 0)


@pytest.mark.parametrize(
    ("freq", "start", "periods"),
    [("D", "2024-03-20", 10), ("D", "2024-10-20", 6), ("h", "2024-03-30 00:00", 20),
     ("h", "2024-10-26 00:00", 24), ("MS", "2024-01-01", 8), ("B", "2024-03-18", 9)],
)  # fmt: skip
def test_future_times_in_a_zone_equal_those_of_pandas(freq, start, periods):
    (batch,) = reader_of(zoned(freq, start, periods))
    expected = pd.date_range(start, periods=periods + 30, freq=freq, tz="Europe/Berlin")[periods:]
    assert batch.future_arrow(30).type == pa.timestamp("us", "Europe/Berlin")
    assert batch.future_arrow(30).to_pylist() == expected.to_pydatetime().tolist()


def test_wall_times_that_fall_back_stay_in_order():
    times = [moment("2024-10-26 00:30"), moment("2024-10-27 00:30"), moment("2024-10-27 01:10"),
             moment("2024-10-28 01:30")]  # fmt: skip
    column = pa.array(times, pa.timestamp("us", "Europe/Berlin"))
    assert read(table(times=column), freq="D")["a", "target"].values == (1, 2.5, 4)
