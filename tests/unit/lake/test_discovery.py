"""Partitions of a month: names of their own, generations, twins and context."""

from dataclasses import replace

import pytest

from gigacast.core.partition.name import NamingPattern
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.lake.plan.discovery import Discoverer, MonthPartitions, Selection
from gigacast.storage.store import ObjectMeta


def objects(folder: str, *names: str, first_ns: int = 0) -> list[ObjectMeta]:
    """Listed objects, each written after the one before."""
    return [ObjectMeta(f"{folder}/{n}", f"e-{n}", 5, first_ns + k) for k, n in enumerate(names)]


def discover(
    *names: str, folder: str = "2024/03", selection: Selection | None = None
) -> MonthPartitions:
    month = Discoverer(NamingPattern(), selection or Selection())
    return month.discover(folder, objects(folder, *names))


def outputs(month: MonthPartitions) -> dict[str, str]:
    return {p.name.partition.rpartition("/")[2]: p.output_name for p in month.partitions}


def test_a_partition_holds_its_objects_and_the_name_of_its_output() -> None:
    (partition,) = discover("part-0.parquet").partitions
    assert [tuple(entry) for entry in partition.inputs] == [
        ("2024/03/part-0.parquet", "e-part-0.parquet", 5, "parquet")
    ]
    assert (partition.context, partition.output_name) == (0, "2024/03/part-0.parquet")
    assert partition.is_selected


def test_files_of_one_stem_have_names_of_their_own() -> None:
    month = discover("part-0.csv", "part-0.parquet")
    assert outputs(month) == {
        "part-0": "2024/03/part-0.parquet",
        "part-0.csv": "2024/03/part-0.csv.parquet",
    }
    assert outputs(discover("part-0.csv")) == {"part-0": "2024/03/part-0.csv.parquet"}


def test_a_json_beside_a_csv_is_a_partition_of_its_own() -> None:
    month = discover("part-0.csv", "part-0.json", "part-1.json")
    assert outputs(month) == {
        "part-0": "2024/03/part-0.csv.parquet",
        "part-0.json": "2024/03/part-0.json.parquet",
        "part-1": "2024/03/part-1.json.parquet",
    }
    assert month.twins == 0


def test_a_json_beside_a_parquet_file_is_counted_as_its_description() -> None:
    month = discover("part-0.json", "part-0.parquet", "part-1.json", "part-1.parquet")
    assert (list(outputs(month)), month.twins) == (["part-0", "part-1"], 2)


def test_outputs_that_would_have_one_key_are_numbered() -> None:
    month = discover("part-0.csv", "part-0.csv.parquet", "part-0.csv.2.parquet")
    assert {p.inputs[0].key: p.output_name for p in month.partitions} == {
        "2024/03/part-0.csv": "2024/03/part-0.csv.parquet",
        "2024/03/part-0.csv.2.parquet": "2024/03/part-0.csv.2.parquet",
        "2024/03/part-0.csv.parquet": "2024/03/part-0.csv.3.parquet",
    }
    free = discover("part-0.csv", "part-0.csv.parquet")
    assert sorted(p.output_name for p in free.partitions) == [
        "2024/03/part-0.csv.2.parquet",
        "2024/03/part-0.csv.parquet",
    ]


SYMBOL = "EURUSD_1min_h15_2024_03_{}.parquet"


def test_the_generation_that_was_written_last_counts_whatever_its_hash() -> None:
    month = discover(*(SYMBOL.format(h) for h in ("bb", "cc", "aa")), "part-0.parquet")
    assert [p.inputs[0].key[-10:] for p in month.partitions] == ["aa.parquet", "-0.parquet"]
    assert sorted(month.superseded) == [f"2024/03/{SYMBOL.format(h)}" for h in ("bb", "cc")]


def test_of_generations_written_at_the_same_time_the_last_by_name_counts() -> None:
    listed = [
        entry._replace(modified_ns=9)
        for entry in objects("2024/03", SYMBOL.format("bb"), SYMBOL.format("aa"))
    ]
    month = Discoverer(NamingPattern(), Selection()).discover("2024/03", listed)
    assert [p.inputs[0].key for p in month.partitions] == [f"2024/03/{SYMBOL.format('bb')}"]


def test_other_objects_are_named_and_are_no_partitions() -> None:
    month = discover("notes.txt", "part-0.parquet", "_SUCCESS")
    assert month.unmatched == ["2024/03/notes.txt", "2024/03/_SUCCESS"]
    assert len(month.partitions) == 1


def test_a_month_as_a_whole_is_one_partition_of_its_parts() -> None:
    by_month = Selection(by_month=True)
    month = discover("part-1.parquet", "part-0.parquet", SYMBOL.format("aa"), selection=by_month)
    parts, symbol = month.partitions
    assert (parts.name.series_name, parts.name.symbol) == ("month", None)
    assert [entry.key[-9:] for entry in parts.inputs] == ["0.parquet", "1.parquet"]
    assert symbol.output_name == f"2024/03/{SYMBOL.format('aa')}"
    assert parts.output_name not in {"2024/03/part-0.parquet", "2024/03/part-1.parquet"}
    (alone,) = discover(SYMBOL.format("aa"), selection=by_month).partitions
    assert alone.name.symbol == "EURUSD"
    only_parts = discover("part-0.parquet", selection=by_month).partitions
    assert [p.name.series_name for p in only_parts] == ["month"]


@pytest.mark.parametrize(
    ("changes", "selected"),
    [
        ({}, True),
        ({"symbols": frozenset({"EURUSD"})}, True),
        ({"symbols": frozenset({"GBPUSD"})}, False),
        ({"timeframes": frozenset({"1min"})}, True),
        ({"timeframes": frozenset({"5min"})}, False),
        ({"symbols": frozenset({"EURUSD"}), "timeframes": frozenset({"5min"})}, False),
        ({"symbols": frozenset({"GBPUSD"}), "timeframes": frozenset({"1min"})}, False),
        ({"months": MonthFilter(IntRange(2024, 2024), IntRange(3, 3))}, True),
        ({"months": MonthFilter(IntRange(2024, 2024), IntRange(4, 4))}, False),
    ],
)
def test_a_partition_is_selected_if_month_symbol_and_timeframe_are(
    changes: dict[str, object], selected: bool
) -> None:
    selection = replace(Selection(), **changes)  # type: ignore[arg-type]
    (partition,) = discover(SYMBOL.format("aa"), selection=selection).partitions
    assert partition.is_selected == selected


@pytest.mark.parametrize("context", [0, 1, 2])
def test_a_month_is_needed_as_far_back_as_context_reaches(context: int) -> None:
    march = MonthFilter(IntRange(2024, 2024), IntRange(3, 3))
    selection = Selection(months=march, context_partitions=context)
    needed = [m for m in range(1, 13) if selection.needs(Month(2024, m))]
    assert needed == list(range(3 - context, 4))


def contexts(count: int, *months: tuple[str, str]) -> list[list[str]]:
    """The months of the inputs of each partition, of months that come in this order."""
    month = Discoverer(NamingPattern(), Selection(context_partitions=count))
    return [
        [entry.key[:7] for entry in partition.inputs]
        for folder, name in months
        for partition in month.discover(folder, objects(folder, name)).partitions
    ]


def test_context_is_the_months_before_of_the_same_part_up_to_a_number() -> None:
    part = [(f"2024/{month:02d}", "part-0.parquet") for month in (1, 2, 3, 4)]
    assert contexts(2, *part) == [
        ["2024/01"],
        ["2024/01", "2024/02"],
        ["2024/01", "2024/02", "2024/03"],
        ["2024/02", "2024/03", "2024/04"],
    ]
    assert contexts(0, *part) == [[f"2024/{month:02d}"] for month in (1, 2, 3, 4)]
    other = [part[0], ("2024/02", "part-1.parquet")]
    assert contexts(2, *other) == [["2024/01"], ["2024/02"]]


def test_months_too_far_back_are_no_context() -> None:
    part = [(f"2024/{month:02d}", "part-0.parquet") for month in (1, 2, 4, 7)]
    assert contexts(2, *part) == [
        ["2024/01"],
        ["2024/01", "2024/02"],
        ["2024/02", "2024/04"],
        ["2024/07"],
    ]


def test_the_same_month_in_another_folder_is_no_context() -> None:
    """A month may be spelled in two ways; its own values are no history."""
    spelled = [("year=2024/month=01", "part-0.parquet"), ("year=2024/month=1", "part-0.parquet")]
    assert contexts(1, *spelled) == [["year=20"], ["year=20"]]
    month = Discoverer(NamingPattern(), Selection(context_partitions=1))
    for folder, _ in spelled:
        (partition,) = month.discover(folder, objects(folder, "part-0.parquet")).partitions
        assert (partition.context, len(partition.inputs)) == (0, 1)


@pytest.mark.parametrize("by_bucket", [True, False])
def test_the_parts_of_each_folder_below_a_month_are_a_partition_of_a_bucket(
    by_bucket: bool,
) -> None:
    names = ["bucket=00/part-0.parquet", "bucket=00/part-1.parquet", "bucket=01/part-0.parquet"]
    selection = Selection(by_month=True, by_bucket=by_bucket)
    month = discover(*names, SYMBOL.format("aa"), selection=selection)
    *buckets, symbol = month.partitions
    assert symbol.name.symbol == "EURUSD"
    found = {p.name.folder: [entry.key[8:] for entry in p.inputs] for p in buckets}
    whole = {"2024/03": names}
    each = {"2024/03/bucket=00": names[:2], "2024/03/bucket=01": names[2:]}
    assert found == (each if by_bucket else whole)
    assert len({p.output_name for p in month.partitions}) == len(month.partitions)
    assert {p.name.month for p in month.partitions} == {Month(2024, 3)}


@pytest.mark.parametrize(
    ("by_month", "by_bucket", "name"),
    [
        (False, False, "object"),
        (False, True, "object"),
        (True, False, "month"),
        (True, True, "bucket"),
    ],
)
def test_a_selection_names_what_a_partition_is(by_month: bool, by_bucket: bool, name: str) -> None:
    assert Selection(by_month=by_month, by_bucket=by_bucket).partitioning == name
