"""Hive levels above and below the month are columns, from planning to evaluation."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.core.partition.name import hive_levels, lineage_of, month_of_folder, month_place
from gigacast.core.time.month import Month
from gigacast.errors import SchemaError

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}
BOTH: dict[str, Any] = {**OPTIONS, "item_columns": "store,sku"}
FORMS = {
    "above": "store={store}/year=2024/month={month:02d}/part-0.parquet",
    "above plain months": "store={store}/2024/{month:02d}/part-0.parquet",
    "below": "year=2024/month={month:02d}/store={store}/part-0.parquet",
    "below, not padded": "year=2024/month={month}/store={store}/data.parquet",
    "both sides": "region=n/year=2024/month={month:02d}/store={store}/part-0.parquet",
    "two above": "region=n/store={store}/year=2024/month={month:02d}/part-0.parquet",
}


def sales(month: int, store: str, days: int = 28) -> pd.DataFrame:
    times = pd.date_range(f"2024-{month:02d}-01", periods=days)
    parts = [
        pd.DataFrame(
            {
                "sku": sku,
                "timestamp": times,
                "target": [100.0 * len(store) + 10 * month + len(sku) + n % 7 for n in range(days)],
            }
        )
        for sku in ("a", "bb")
    ]
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, form: str, month: int, days: int = 28) -> str:
    for store in ("7", "07%2Fx"):
        path = folder / FORMS[form].format(store=store, month=month)
        path.parent.mkdir(parents=True, exist_ok=True)
        sales(month, store, days).to_parquet(path, index=False)
    return f"file://{folder}"


def by_id(forecasts: pd.DataFrame) -> pd.DataFrame:
    ids = forecasts["store"] + "|" + forecasts["sku"]
    plain = forecasts.drop(columns=["store", "sku"]).assign(item_id=ids)
    return plain.sort_values(["item_id", "timestamp"])[["item_id", "timestamp", "predictions"]]


def expected(*months: int) -> pd.DataFrame:
    """Return the forecasts of the last month from a frame with one column of ids."""
    parts = [
        sales(month, store).assign(item_id=lambda f, name=name: name + "|" + f["sku"])
        for month in months
        for store, name in (("7", "7"), ("07%2Fx", "07/x"))
    ]
    frame = pd.concat(parts, ignore_index=True).drop(columns="sku")
    forecasts = gigacast.forecast(frame, **OPTIONS)
    return forecasts.sort_values(["item_id", "timestamp"])[["item_id", "timestamp", "predictions"]]


@pytest.mark.parametrize("partition_by", ["object", "month"])
@pytest.mark.parametrize("form", FORMS)
def test_levels_name_items_as_columns_would(form: str, partition_by: str, tmp_path: Path) -> None:
    url = write(tmp_path, form, 1)
    options = {**BOTH, "partition_by": partition_by}
    result = gigacast.forecast(url, **options)
    assert (result.failures, result.totals.series) == ([], 4)
    forecasts = gigacast.read_forecasts(url)
    assert set(forecasts["store"]) == {"7", "07/x"}
    pd.testing.assert_frame_equal(
        by_id(forecasts).reset_index(drop=True), expected(1).reset_index(drop=True)
    )
    assert gigacast.plan(url, **options).plan.tasks == []


@pytest.mark.parametrize("form", FORMS)
def test_earlier_months_are_context_of_the_same_level_only(form: str, tmp_path: Path) -> None:
    url = write(tmp_path, form, 9)
    write(tmp_path, form, 10)
    result = gigacast.forecast(url, context_partitions=1, months="10", **BOTH)
    assert (result.failures, result.totals.partitions) == ([], 2)
    forecasts = gigacast.read_forecasts(url)
    pd.testing.assert_frame_equal(
        by_id(forecasts).reset_index(drop=True), expected(9, 10).reset_index(drop=True)
    )


@pytest.mark.parametrize("form", ["above", "below", "both sides"])
@pytest.mark.parametrize("items", [["store", "sku"], ["sku"]])
def test_evaluations_compare_with_the_actuals_of_the_same_level(
    form: str, items: list[str], tmp_path: Path
) -> None:
    url = write(tmp_path, form, 1, days=20)
    warned = pytest.warns(UserWarning, match='item_columns="sku,store"')
    with warned if items == ["sku"] else nullcontext():
        gigacast.forecast(url, item_columns=items, **OPTIONS)
    write(tmp_path, form, 1, days=28)
    evaluated = gigacast.evaluate(url)
    assert (evaluated.failures, evaluated.matched, evaluated.conflicts) == ([], 12, 0)


@pytest.mark.parametrize("form", ["above plain months", "below", "both sides"])
def test_forecasts_of_whole_months_are_evaluated(form: str, tmp_path: Path) -> None:
    url = write(tmp_path, form, 1, days=20)
    gigacast.forecast(url, partition_by="month", **BOTH)
    write(tmp_path, form, 1, days=28)
    evaluated = gigacast.evaluate(url, partition_by="month")
    assert (evaluated.failures, evaluated.matched, evaluated.conflicts) == ([], 12, 0)


def test_a_merged_month_is_refused_with_the_level_that_tells_its_items_apart(
    tmp_path: Path,
) -> None:
    url = write(tmp_path, "below", 1)
    result = gigacast.forecast(url, item_column="sku", partition_by="month", **OPTIONS)
    ((_, failure),) = result.failures
    assert "the column 'store' tells them apart" in failure.message
    assert "--item_columns sku,store" in str(failure.hint)


def test_a_level_that_no_file_has_is_refused_by_name(tmp_path: Path) -> None:
    url = write(tmp_path, "below", 1)
    result = gigacast.forecast(url, item_columns="shop,sku", **OPTIONS)
    assert {failure.error for _, failure in result.failures} == {"SchemaError"}
    assert "no column 'shop'" in result.failures[0][1].message


def doubled(folder: Path, level: str, **columns: object) -> str:
    path = folder / f"year=2024/month=01/{level}/part-0.parquet"
    path.parent.mkdir(parents=True)
    sales(1, "7").assign(**columns).to_parquet(path, index=False)
    return f"file://{folder}"


def test_a_column_that_says_what_its_folder_says_keeps_its_type(tmp_path: Path) -> None:
    bucket = doubled(tmp_path, "store=07", store=7)
    assert gigacast.forecast(bucket, **BOTH).failures == []
    assert set(gigacast.read_forecasts(bucket)["store"]) == {7}


@pytest.mark.parametrize(
    ("level", "options", "columns"),
    [
        ("store=7", BOTH, {"store": 8}),
        ("store=7", BOTH, {"store": "7a"}),
        ("store=__HIVE_DEFAULT_PARTITION__", BOTH, {"store": 8}),
        ("item_id=z", OPTIONS, {"item_id": "y"}),
    ],
)
def test_a_column_that_contradicts_its_folder_is_refused(
    tmp_path: Path, level: str, options: dict[str, Any], columns: dict[str, object]
) -> None:
    bucket = doubled(tmp_path, level, **columns)
    ((_, failure),) = gigacast.forecast(bucket, **options).failures
    value = next(iter(columns.values()))
    assert (
        f"the folder '{level.replace('__HIVE_DEFAULT_PARTITION__', '(none)')}'" in failure.message
    )
    assert f"contradict each other: a row has '{value}'" in failure.message


def test_columns_that_are_no_ids_may_have_the_name_of_a_level(tmp_path: Path) -> None:
    bucket = doubled(tmp_path, "sku=other/target=sold/bucket=03", bucket="b")
    options = {**OPTIONS, "item_columns": "bucket", "duplicates": "sum"}
    assert gigacast.forecast(bucket, **options).failures == []


def test_a_level_of_dates_is_no_second_column_of_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "year=2024/month=01/date=2024-01-31/part-0.parquet"
    path.parent.mkdir(parents=True)
    frame = sales(1, "7").rename(columns={"timestamp": "datetime"})
    frame.to_parquet(path, index=False)
    result = gigacast.forecast(f"file://{tmp_path}", item_column="sku", **OPTIONS)
    assert result.failures == []


def test_names_of_folders_are_read() -> None:
    assert month_of_folder("store=1/year=2024/month=3/shelf=2") == Month(2024, 3)
    assert month_of_folder("year=2024/month=03/year=2024") is None
    assert month_of_folder("store=1/year=2024") is None
    assert lineage_of("store=1/2024/03/part-0") == "store=1/part-0"
    assert lineage_of("year=2024/month=03/a=1/b=2/part-0") == "a=1/b=2/part-0"
    assert lineage_of("2024/03/part-0") == "part-0"
    assert month_place("store=1/year=2024/month=3/a=1/x.parquet") == "store=1/year=2024/month=3/"
    assert month_place("store=1/year=2024/x.parquet") == "store=1/year=2024/x.parquet"
    assert month_place("2024/03.txt") == "2024/03.txt"
    levels = hive_levels("a=1/year=2024/month=03/b%20c=x%2Fy/d=__HIVE_DEFAULT_PARTITION__/f.csv")
    assert levels == {"a": "1", "b c": "x/y", "d": None}


def test_items_at_hives_missing_value_have_no_id(tmp_path: Path) -> None:
    url = write(tmp_path, "below", 1)
    (tmp_path / "year=2024/month=01/store=7").rename(
        tmp_path / "year=2024/month=01/store=__HIVE_DEFAULT_PARTITION__"
    )
    result = gigacast.forecast(url, **BOTH)
    ((_, failure),) = result.failures
    assert failure.error == SchemaError.__name__
    assert result.totals.series == 2
