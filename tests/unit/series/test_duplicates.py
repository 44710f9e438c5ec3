"""Rows that share a series and a time: which conflict, what becomes of them, and the refusal."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import SchemaError
from gigacast.series.duplicates import item_flag, warn_of_conflicts
from tests.unit.series.reading import days, panel, parquet, read, reader_of, source_of

NAN = np.nan


def doubled(values, **options):
    """Return the values of a series whose second day has several rows."""
    dates = days("2024-01-01", 3).repeat([1, len(values) - 2, 1])
    return read(panel(a=(dates, values)), **options)["a", "target"].values


def merged(count=20, **columns) -> pa.Table:
    """Return two stores' rows whose id column says only the product."""
    dates = [*days("2024-01-01", count)] * 2
    table = panel(product=(dates, [*range(count), *range(100, 100 + count)]))
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


@pytest.mark.parametrize(
    ("policy", "expected"), [("mean", 5), ("sum", 15), ("last", 2), ("first", 9)]
)
def test_a_policy_decides_how_rows_of_one_time_are_combined(policy, expected):
    assert doubled([1, 9, 4, 2, 7], duplicates=policy) == (1, expected, 7)


@pytest.mark.parametrize("policy", ["mean", "sum", "last", "first"])
def test_a_missing_value_never_wins(policy):
    assert doubled([1, NAN, 4, NAN, 7], duplicates=policy) == (1, 4, 7)
    assert doubled([1, NAN, NAN, 7], duplicates=policy) == (1, None, 7)


@pytest.mark.parametrize("values", [[1, 4, 4, 4, 7], [1, NAN, 4, 7], [1, NAN, NAN, 7]])
def test_equal_rows_do_not_conflict(values):
    reader = reader_of(panel(a=(days("2024-01-01", 3).repeat([1, len(values) - 2, 1]), values)),
                       duplicates="error")  # fmt: skip
    assert len(list(reader)) == 1
    assert reader.stats.conflicts == 0


def test_a_single_conflict_is_refused_if_the_settings_say_so():
    dates = days("2024-01-01", 500).repeat([1, 2, *[1] * 498])
    table = panel(a=(dates, range(501)))
    with pytest.raises(SchemaError, match="1 of 501 rows"):
        read(table, duplicates="error")


def test_conflicts_up_to_the_share_are_counted_and_averaged():
    dates = days("2024-01-01", 199).repeat([1, 3, *[1] * 197])
    reader = reader_of(panel(a=(dates, range(201))))
    (batch,) = reader
    assert batch.values[1] == 2
    assert (reader.stats.conflicts, reader.stats.compared) == (2, 201)
    with pytest.raises(SchemaError, match="2 of 201 rows"):
        read(panel(a=(dates, range(201))), duplicate_share=0.005)


def test_merged_items_are_refused_with_the_column_that_distinguishes_them():
    table = merged(store=[*["north"] * 20, *["south"] * 20], row=range(40), open=[True] * 40)
    with pytest.raises(SchemaError, match="the column 'store' tells them apart") as caught:
        read(table)
    assert "such as 'product'" in caught.value.message
    assert "--item_columns item_id,store" in caught.value.hint
    assert "--duplicates mean, sum, last or first" in caught.value.hint


def test_two_columns_that_distinguish_rows_only_together_are_named():
    dates = [*days("2024-01-01", 20)] * 4
    table = panel(a=(dates, range(80)))
    table = table.append_column("store", pa.array([*["n"] * 40, *["s"] * 40]))
    table = table.append_column("sku", pa.array([*[1] * 20, *[2] * 20] * 2))
    with pytest.raises(SchemaError, match=r"the columns 's.+' and 's.+' tell them apart"):
        read(table)


@pytest.mark.parametrize("fmt", ["csv", "json", "parquet"])
def test_columns_are_found_in_every_format(fmt):
    frame = merged(store=[*["north"] * 20, *["south"] * 20]).to_pandas()
    frame["timestamp"] = frame["timestamp"].astype(str)
    contents = {
        "csv": lambda: frame.to_csv(index=False).encode(),
        "json": lambda: frame.to_json(orient="records").encode(),
        "parquet": lambda: parquet(pa.Table.from_pandas(frame)),
    }
    with pytest.raises(SchemaError, match="'store' tells them apart"):
        read(source_of(contents[fmt](), fmt))


def test_a_file_without_an_id_column_names_the_column_it_could_be():
    table = merged(ticker=[*["x"] * 20, *["y"] * 20]).drop_columns(["item_id"])
    with pytest.raises(SchemaError, match="'ticker' tells them apart"):
        read(table)


def test_lists_of_one_item_that_overlap_are_refused():
    starts = [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-04")] * 2
    rows = pa.table(
        {
            "item_id": ["a"] * 4,
            "start": starts,
            "freq": ["D"] * 4,
            "target": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [1.0, 2.0, 3.0], [4.0, 5.0, 7.0]],
        }
    )
    assert read(rows.slice(0, 2))["a", "target"].values == (1, 2, 3, 4, 5, 6)
    with pytest.raises(SchemaError, match="1 of 12 rows"):
        read(rows)


def test_the_hour_that_clocks_repeat_is_no_conflict():
    instants = pd.date_range("2024-10-26", periods=60, freq="h", tz="Europe/Berlin")
    table = pa.table({"item_id": ["a"] * 60, "target": [float(n) for n in range(60)],
                      "timestamp": pa.array(instants)})  # fmt: skip
    assert len(read(table, duplicates="error")["a", "target"].values) == 60


@st.composite
def panels(draw):
    keys = st.tuples(st.sampled_from("abc"), st.integers(0, 9))
    rows = draw(st.lists(st.tuples(keys, st.sampled_from([1.0, 2.0, 5.0, NAN])), min_size=1))
    return pd.DataFrame([(item, day, value) for (item, day), value in rows],
                        columns=["item", "day", "value"])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(panels(), st.data())
def test_counts_and_policies_equal_those_of_pandas_over_any_border(frame, data):
    table = pa.table({"item_id": frame["item"].to_list(), "target": frame["value"].to_list(),
                      "timestamp": frame["day"].to_list()})  # fmt: skip
    groups = frame.groupby(["item", "day"])["value"]
    spread = groups.agg(["min", "max", "size"])
    expected = (spread["size"] - 1)[spread["min"] < spread["max"]].sum()
    policy = data.draw(st.sampled_from(["sum", "last", "first"]))
    reader = reader_of(
        parquet(table, row_group_size=data.draw(st.integers(1, 7))),
        batch_rows=data.draw(st.integers(1, 5)),
        memory_limit_bytes=data.draw(st.sampled_from([1, 2_000, 2**29])),
        duplicates=policy,
        freq="1",
        timestamp_unit="step",
    )
    batches = list(reader)
    assert (reader.stats.conflicts, reader.stats.compared) == (expected, len(frame))
    filled_groups = groups.sum(min_count=1) if policy == "sum" else getattr(groups, policy)()
    for batch in batches:
        for n, item in enumerate(batch.item_ids.to_pylist()):
            own = filled_groups[item]
            regular = own.reindex(range(own.index.min(), own.index.max() + 1))
            values = batch.values[batch.offsets[n] : batch.offsets[n + 1]]
            np.testing.assert_array_equal(values, regular.loc[regular.first_valid_index() :]
                                          if regular.notna().any() else [])  # fmt: skip


@pytest.mark.parametrize("order", ["contiguous", "mixed"])
@pytest.mark.parametrize("policy", [None, "error"])
def test_merged_items_that_do_not_fit_the_memory_are_refused_before_the_end(order, policy):
    # Ten thousand items of eight days, which their id says are one: no row is too old to matter.
    items, count = 10_000, 8
    dates = np.tile(days("2024-01-01", count), items)
    table = panel(product=(dates, range(items * count)), other=(days("2024-01-01", 1), [1.0]))
    if order == "mixed":
        head = table.slice(table.num_rows - 1)
        table = pa.concat_tables([table.slice(0, 1), head, table.slice(1)])
    limits = {"memory_limit_bytes": 1 << 19, "batch_rows": 4096}
    reader = reader_of(table, duplicates=policy, **limits)
    with pytest.raises(SchemaError, match="have the series"):
        list(reader)
    assert reader.stats.compared < table.num_rows / 2
    # A policy that says what becomes of the rows reads them all.
    (batch,) = reader_of(table, duplicates="last", **limits)
    assert len(batch) == 2


def test_one_long_series_with_few_conflicts_is_read_whatever_the_memory():
    count = 40_000
    dates = days("1901-01-01", count).repeat([1, 2, *[1] * (count - 2)])
    table = panel(a=(dates, range(count + 1)))
    reader = reader_of(table, context_length=count, memory_limit_bytes=1 << 18, batch_rows=1024)
    (batch,) = reader
    assert len(batch.values) == count
    assert reader.stats.conflicts == 1


@pytest.mark.parametrize(("values", "names_items"), [(10, True), (11, False)])
def test_a_column_with_few_rows_for_each_value_names_no_items(values, names_items):
    lots = [*(n % 5 for n in range(20)), *(5 + n % (values - 5) for n in range(20))]
    with pytest.raises(SchemaError, match="rows") as caught:
        read(merged(lot=[f"lot {n}" for n in lots]))
    assert ("'lot' tells them apart" in str(caught.value)) == names_items


def test_averaged_rows_are_warned_of_unless_the_settings_say_what_becomes_of_them():
    for policy in ("mean", "last"):
        warn_of_conflicts(3, policy)  # a warning is an error in the tests
    warn_of_conflicts(0, None)
    with pytest.warns(UserWarning, match="^3 rows"):
        warn_of_conflicts(3, None)


def test_the_sample_of_conflicts_is_of_the_first_ones():
    dates = days("2024-01-01", 3).repeat([1, 2, 1])
    calm = panel(b=(days("2024-01-01", 4), range(4)))
    rows = pa.concat_tables([panel(a=(dates, range(4))), calm, panel(c=(dates, range(4)))])
    reader = reader_of(rows, batch_rows=4, duplicate_share=1)
    list(reader)
    assert reader.stats.conflicts == 2
    assert reader.stats.sample.items.to_pylist() == ["a"]
    reader = reader_of(calm)
    list(reader)
    assert reader.stats.sample is None


@pytest.mark.parametrize(
    ("apart", "ids", "flag"),
    [
        ((), ("item",), "--item_column"),
        (("store",), (), "--item_column store"),
        (("store",), ("item",), "--item_columns item,store"),
        (("item", "my store"), ("item",), "--item_columns 'item,my store'"),
    ],
)
def test_the_flag_names_all_columns_of_the_items(apart, ids, flag):
    assert item_flag(apart, ids) == flag
