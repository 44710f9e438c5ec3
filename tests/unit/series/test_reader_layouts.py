"""Wide tables, several targets, lists, CSV and JSON."""

import json

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import CorruptedFileError, SchemaError
from tests.unit.series.reading import One, days, moment, panel, parquet, read, source_of

LAST = moment("2024-01-04")
TIMES = pa.array(days("2024-01-01", 4).to_numpy("datetime64[us]"))


def wide(**columns) -> pa.Table:
    return pa.table({"ds": TIMES, **columns})


def test_every_target_of_a_wide_table_is_a_series_of_its_symbol():
    table = wide(target_bid=[1.0, 2, 3, 4], target_ask=[None, 6.0, None, None], gold=[0, 0, 0, 0])
    assert read(table, item_id="EURUSD") == {
        ("EURUSD", "target_bid"): One((1, 2, 3, 4), LAST, "D", "ok"),
        ("EURUSD", "target_ask"): One((6, None, None), LAST, "D", "ok"),
    }


def test_a_table_without_ids_or_symbol_is_one_series():
    assert list(read(wide(y=[1, 2, 3, 4]))) == [("series", "y")]


def test_items_and_targets_multiply():
    table = panel(a=(days("2024-01-01", 4), [1, 2, 3, 4]), b=(days("2024-01-01", 4), [5, 6, 7, 8]))
    table = table.rename_columns({"target": "target_x"})
    table = table.append_column("target_y", pa.array([np.inf, 1, 1, 1, None, None, None, None]))
    series = read(table, batch_series=3)
    assert {key: (values.values, values.reason) for key, values in series.items()} == {
        ("a", "target_x"): ((1, 2, 3, 4), "ok"),
        ("a", "target_y"): ((None, 1, 1, 1)[1:], "not_finite"),
        ("b", "target_x"): ((5, 6, 7, 8), "ok"),
        ("b", "target_y"): ((), "all_null"),
    }


def lists(**columns) -> pa.Table:
    base = {"item_id": ["a", "b", "c"], "target": [[1.0, 2, None, 4], [5.0, 6, 7], []]}
    return pa.table(base | columns)


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_lists_of_values_and_timestamps_are_series(batch_rows):
    table = lists(timestamp=[TIMES.to_pylist(), TIMES.to_pylist()[1:], []])
    for content in (table, parquet(table)):
        assert read(content, batch_rows=batch_rows) == {
            ("a", "target"): One((1, 2, None, 4), LAST, "D", "ok"),
            ("b", "target"): One((5, 6, 7), LAST, "D", "ok"),
            ("c", "target"): One((), None, None, "empty"),
        }


def test_a_start_and_a_stated_frequency_make_timestamps():
    starts = [moment("2024-01-01"), moment("2024-02-29"), moment("2024-01-01")]
    table = lists(start=starts, freq=["D", "ME", "h"])
    assert read(table) == {
        ("a", "target"): One((1, 2, None, 4), LAST, "D", "ok"),
        ("b", "target"): One((5, 6, 7), moment("2024-04-30"), "ME", "ok"),
        ("c", "target"): One((), None, None, "empty"),
    }


def test_a_stated_frequency_needs_no_three_points_and_survives_sorting():
    table = pa.table({
        "item_id": ["b", "a", "b"], "target": [[1.0], [2.0, 3.0], [4.0]], "freq": ["W", "B", "W"],
        "start": [moment("2024-01-01"), moment("2024-01-05"), moment("2024-01-15")],
    })  # fmt: skip
    expected = {
        ("a", "target"): One((2, 3), moment("2024-01-08"), "B", "ok"),
        ("b", "target"): One((1, None, 4), moment("2024-01-15"), "W", "ok"),
    }
    assert read(table) == expected
    assert read(table, memory_limit_bytes=1, batch_rows=1) == expected


def test_a_start_in_a_zone_counts_days_on_the_wall():
    start = pa.array([moment("2024-03-29 23:00")], pa.timestamp("us", "Europe/Berlin"))
    table = pa.table({"item_id": ["a"], "start": start, "target": [[1.0, 2, 3, 4]]})
    series = read(table, freq="D")["a", "target"]
    assert (series.values, series.last.hour, series.last.day) == ((1, 2, 3, 4), 0, 2)


def test_a_frequency_that_cannot_be_read_leaves_no_timestamps():
    table = lists(start=[LAST] * 3, freq=["D", "often", None])
    assert read(table)["b", "target"].reason == "no_timestamp"


def test_a_start_without_a_frequency_is_refused_unless_it_is_a_number():
    with pytest.raises(SchemaError, match="no frequency"):
        read(lists(start=[LAST] * 3))
    assert read(lists(start=[LAST] * 3), freq="D")["b", "target"].freq == "D"
    assert read(lists(start=[0, 10, 0]))["b", "target"].last == 12


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
def test_lists_with_more_times_than_values_or_fewer_are_refused(values):
    table = lists(timestamp=[TIMES.to_pylist()] * 3, target=[[1.0, 2.0, 3.0, 4.0], values, None])
    with pytest.raises(SchemaError, match=f"'b' has 4 times and {len(values)} values of 'target'"):
        read(table)


def test_a_missing_or_empty_list_is_a_series_without_values():
    table = lists(timestamp=[TIMES.to_pylist(), TIMES.to_pylist(), []], target=[[], None, [1.0]])
    series = read(table)
    assert [series[item, "target"].reason for item in "bac"] == ["all_null"] * 2 + ["no_timestamp"]


# -- CSV -------------------------------------------------------------------------------------------


def csv(*lines: str):
    return source_of("\n".join(lines).encode(), "csv")


def test_csv_is_read_with_ids_as_written():
    rows = [
        f"2024-01-0{day},{value},{item}"
        for item in ("001", "A")
        for day, value in ((1, 1), (2, ""), (3, "2.5"))
    ]
    series = read(csv("timestamp,value,item_id", *rows))
    last = moment("2024-01-03")
    assert series == {
        (item, "value"): One((1, None, 2.5), last, "D", "ok") for item in ("001", "A")
    }


@pytest.mark.parametrize("memory", [1 << 20, 1 << 29])
def test_csv_types_do_not_depend_on_its_first_block(memory):
    rows = [f"{n // 3},{n % 3},{n}" for n in range(9_000)] + ["x,0,1.5", "x,1,inf", "x,2,3"]
    series = read(csv("item_id,timestamp,value", *rows), memory_limit_bytes=memory)
    assert len(series) == 3_001
    assert series["x", "value"].reason == "not_finite"
    assert series["2999", "value"].values == (8997, 8998, 8999)


def test_csv_rows_with_unreadable_times_are_dropped():
    series = read(csv("item_id,timestamp,value", "a,2024-01-01,1", "a,soon,2", "a,,3", "b,never,1"))
    assert series["a", "value"].values == (1,)
    assert series["b", "value"].reason == "no_timestamp"


def test_a_csv_value_that_is_not_a_number_is_an_error_with_its_object():
    rows = [f"a,{n},{n}" for n in range(20_000)]
    with pytest.raises(SchemaError, match=r"part\.csv: .*value: string"):
        read(csv("item_id,timestamp,value", *rows[:5], "a,6,abc"))
    with pytest.raises(CorruptedFileError, match=r"part\.csv.*abc"):
        read(csv("item_id,timestamp,value", *rows, "a,6,abc"), memory_limit_bytes=1 << 20)


def test_a_csv_with_only_a_header_has_no_series():
    assert read(csv("item_id,timestamp,value")) == {}
    assert read(csv("item_id,timestamp,value", "")) == {}


# -- JSON ------------------------------------------------------------------------------------------

RECORDS = [{"item_id": "a", "timestamp": f"2024-01-0{day}", "target": day} for day in (1, 2, 3)]
COLUMNS = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
JSONS = {
    "lines": "\n".join(json.dumps(record) for record in RECORDS),
    "records": json.dumps(RECORDS),
    "columns": json.dumps(COLUMNS),
    "labelled": json.dumps({name: dict(enumerate(column)) for name, column in COLUMNS.items()}),
}


@pytest.mark.parametrize("form", JSONS)
def test_json_of_every_form_is_read(form):
    series = read(source_of(JSONS[form].encode(), "json"))
    assert series == {("a", "target"): One((1, 2, 3), moment("2024-01-03"), "D", "ok")}


def test_json_records_need_not_all_have_every_field():
    records = [
        {"item_id": "a", "timestamp": 1},
        *({"item_id": "a", "timestamp": n, "target": n} for n in (2, 3)),
    ]
    series = read(source_of(json.dumps(records).encode(), "json"))
    assert series["a", "target"].values == (2, 3)


def test_json_beyond_the_memory_limit_is_an_error_with_a_hint():
    with pytest.raises(SchemaError, match=r"part\.json.*Parquet"):
        read(source_of(JSONS["records"].encode(), "json"), memory_limit_bytes=200)


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_empty_json_has_no_series(text):
    assert read(source_of(text.encode(), "json")) == {}
