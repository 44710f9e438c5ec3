"""Backfills of every kind of definition, and the errors of wrong ones."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError, DefinitionError
from gigacast.feature_store import (
    Accuracy,
    BootstrapPart,
    Derivation,
    EventSource,
    ExternalPart,
    ExternalSource,
    GroupBy,
    JoinPart,
    Query,
    StagingQuery,
    backfill,
    read_table,
    select,
)
from gigacast.feature_store.definition.name import Definition
from gigacast.feature_store.offline.result import BackfillResult, Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from tests.flow.feature_store.shop import DAY, DAYS, FIRST, purchases, put_shop, training_set, users
from tests.support.features.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    put_shop(lake)
    return lake


def attempt(lake: Lake, definition: Definition, first: str = DAYS[0]) -> BackfillResult:
    return backfill_days(Backfill(definition, lake.address), Days(first))


def test_a_group_by_has_a_row_for_each_key_as_of_the_end_of_each_day(lake: Lake) -> None:
    group_by = replace(
        purchases(("2d",)),
        backfill_start_date=DAYS[2],
        derivations=[Derivation("*", "*"), Derivation("half", "price_sum_2d / 2")],
    )
    lake.backfill(group_by)
    rows = [row for row in lake.read(group_by) if row["ds"] == DAYS[3]]
    assert [row["user"] for row in rows] == [1, 2, 3]
    assert [row["price_sum_2d"] for row in rows] == [52, 54, 56]
    assert [row["half"] for row in rows] == [26, 27, 28]
    assert min(row["ds"] for row in lake.read(group_by)) == DAYS[2]


def test_a_group_by_of_entities_is_the_snapshot_of_the_day(lake: Lake) -> None:
    lake.backfill(users(), DAYS[1], DAYS[1])
    # A key without any feature has no row.
    assert lake.read(users()) == [{"user": 1, "country": "NO", "ds": DAYS[1]}]


def test_skewed_keys_get_no_features(lake: Lake) -> None:
    join = training_set(purchases(("2d",)), skew_keys={"user": ["2", "3"]})
    lake.backfill(join, DAYS[4], DAYS[4])
    sums = [row["shop_purchases_price_sum_2d"] for row in lake.read(join)]
    assert sums == [52, None, None, None]


def test_a_derivation_that_divides_by_zero_is_null(lake: Lake) -> None:
    join = training_set(
        purchases(("2d",)),
        derivations=[Derivation("ratio", "shop_purchases_price_sum_2d / (user - 1)")],
    )
    lake.backfill(join, DAYS[4], DAYS[4])
    assert [row["ratio"] for row in lake.read(join)] == [None, 54.0, 28.0, None]


def test_an_external_part_is_backfilled_by_its_offline_group_by(lake: Lake) -> None:
    source = ExternalSource(
        name="scores",
        key_fields=[("user", "long")],
        value_fields=[("price_sum_1d", "long")],
        offline_group_by=purchases(("1d",), "shop.offline"),
    )
    service = replace(source, name="remote", offline_group_by=None)
    parts = [ExternalPart(source=source), ExternalPart(source=service)]
    join = training_set(purchases(("2d",)), online_external_parts=parts)
    lake.backfill(join, DAYS[4], DAYS[4])
    rows = lake.read(join)
    assert [row["ext_scores_price_sum_1d"] for row in rows] == [31, 32, 33, None]
    assert {row["ext_remote_price_sum_1d"] for row in rows} == {None}


def test_logged_values_come_after_tables_and_before_computed_ones(lake: Lake) -> None:
    feature = "shop_purchases_price_sum_2d"
    join = training_set(
        purchases(("2d",)),
        row_ids=["user"],
        bootstrap_from_log=True,
        bootstrap_parts=[BootstrapPart(table="data.manual")],
    )
    lake.put_day("data.manual", DAYS[4], [{"user": 1, feature: -1}])
    logged = [{"user": 1, feature: -2}, {"user": 2, feature: -3}, {"user": 2, feature: -4}]
    lake.put_day("feature_store.tables.default.shop_training_set_logged", DAYS[4], logged)
    lake.backfill(join, DAYS[4], DAYS[4])
    # Of two logged rows of a request the last counts.
    assert [row[feature] for row in lake.read(join)] == [-1, -4, 56, None]


def test_a_cumulative_source_is_read_from_the_first_partition_that_holds_all(lake: Lake) -> None:
    everything = [{"user": 1, "price": 10 * n, "ts": FIRST + n * DAY} for n in range(len(DAYS))]
    lake.put_day("data.all", DAYS[-1], everything)
    source = EventSource(
        table="data.all",
        isCumulative=True,
        query=Query(selects=select("user", "price"), time_column="ts"),
    )
    group_by = replace(purchases(("2d",)), sources=[source])
    join = training_set(group_by)
    lake.backfill(join, DAYS[4], DAYS[4])
    assert lake.read(join)[0]["shop_purchases_price_sum_2d"] == 50


def test_a_left_day_without_rows_is_an_empty_partition(lake: Lake) -> None:
    types = {"user": pa.int64(), "ts": pa.int64()}
    lake.put_day("data.checkouts", "2024-01-09", [], types=types)
    result = lake.backfill(training_set(), "2024-01-09")
    assert (result.totals.partitions, result.totals.rows_written) == (1, 0)
    assert lake.backfill(training_set(), "2024-01-09").pending == 0


STAGING = """
SELECT a.user, COUNT(*) AS n, '{{ latest_date }}' AS newest,
       '{{ max_date(table=data.users) }}' AS users_day
FROM data.purchases a
WHERE a.ds BETWEEN '{{ start_date }}' AND '{{ end_date }}' AND user <> 3
GROUP BY a.user
ORDER BY a.user
"""


def test_a_staging_query_fills_the_missing_days_and_reads_only_theirs(lake: Lake) -> None:
    query = StagingQuery(name="shop.counts", query=STAGING, startPartition=DAYS[5])
    lake.backfill(query)
    rows = lake.read(query)
    assert [(row["user"], row["n"], row["ds"]) for row in rows] == [
        (user, 1, day) for day in DAYS[5:] for user in (1, 2)
    ]
    assert {row["users_day"] for row in rows} == {DAYS[-1]}
    more = [{"user": 1, "price": 1, "ts": FIRST}]
    lake.put_day("data.purchases", DAYS[6], more, part=1)
    # max_date is no reason to read the users: their partitions are an input of no day.
    assert lake.backfill(query).pending == 1


def test_a_staging_query_is_a_table_of_further_definitions(lake: Lake) -> None:
    text = (
        "SELECT user, price * 2 AS price, ts, ds FROM data.purchases WHERE ds = '{{ start_date }}'"
    )
    query = StagingQuery(name="shop.doubled", query=text)
    lake.backfill(query)
    source = EventSource(
        table="default.shop_doubled",
        query=Query(selects=select("user", "price"), time_column="ts"),
    )
    join = training_set(replace(purchases(("2d",)), sources=[source]))
    lake.backfill(join, DAYS[4], DAYS[4])
    sums = [row["shop_purchases_price_sum_2d"] for row in lake.read(join)]
    assert sums == [104, 108, 112, None]


def test_python_backfills_and_reads_a_table(lake: Lake) -> None:
    bucket = f"file://{lake.root}"
    result = backfill(training_set(), bucket=bucket, start_ds=DAYS[2])
    assert result.days == tuple(DAYS[2:])
    frame = read_table(result.tables[0], bucket=bucket, start_ds=DAYS[3], ds=DAYS[3])
    assert list(frame.columns)[:2] == ["user", "ts"]
    assert frame["ds"].tolist() == [DAYS[3]] * 4
    with pytest.raises(ConfigError, match="definition: expected GroupBy"):
        backfill(42, bucket=bucket)  # type: ignore[arg-type]


# -- wrong definitions, tables and days ------------------------------------------------------------


def place_of(definition: GroupBy) -> str:
    return str(definition.sources[0].query.place)


def test_an_unknown_column_is_refused_with_the_line_of_the_query(lake: Lake) -> None:
    wrong = purchases(("2d",), amount="pryce")
    with pytest.raises(DefinitionError, match=r"data\.purchases has no column pryce") as error:
        attempt(lake, training_set(wrong))
    assert place_of(wrong) in str(error.value)
    assert not (lake.root / "feature_store/tables").exists()


def test_a_type_that_cannot_be_summed_is_refused(lake: Lake) -> None:
    for day in DAYS:
        lake.put_day("data.purchases", day, [{"user": 1, "price": "a", "ts": FIRST}])
    with pytest.raises(DefinitionError, match="SUM of price, which is string and no number"):
        attempt(lake, training_set(purchases()))


BEYOND_ALL_DAYS = "DATEDIFF(DATE_ADD(DATE '2024-01-01', user * 2000000000), DATE '2024-01-01')"
"""An expression whose types fit, and whose values do not."""


def test_functions_that_do_not_exist_are_refused_before_any_day(lake: Lake) -> None:
    wrong = purchases(("2d",), price="nonsense(price)")
    with pytest.raises(DefinitionError, match="there is no function NONSENSE"):
        attempt(lake, training_set(wrong))
    assert not (lake.root / "feature_store/tables").exists()


def test_sql_that_cannot_be_run_fails_its_days_with_definition_and_line(lake: Lake) -> None:
    wrong = purchases(("2d",), price=BEYOND_ALL_DAYS)
    result = attempt(lake, training_set(wrong))
    _, failure = result.failures[0]
    assert failure.error == "ConfigError"
    assert f"{place_of(wrong)}: group-by shop.purchases on table data.purchases" in failure.message
    assert "out of range" in failure.message
    # The first day sees no purchases, and so no value is computed.
    written = {path.parent.name for path in (lake.root / "feature_store/tables").rglob("*.parquet")}
    assert written == {f"ds={DAYS[0]}"}


def test_a_table_without_files_is_named_with_its_definition(lake: Lake) -> None:
    source = EventSource(
        table="data.nowhere", query=Query(selects=select("user", "price"), time_column="ts")
    )
    with pytest.raises(DataNotFoundError, match=r"join shop\.training_set: table data\.nowhere"):
        attempt(lake, training_set(replace(purchases(), sources=[source])))


def test_days_that_the_left_side_does_not_have_are_refused(lake: Lake) -> None:
    with pytest.raises(DataNotFoundError, match="there is no day from 2030-01-01"):
        attempt(lake, training_set(), "2030-01-01")


def test_a_changed_type_fails_the_days_that_see_both_types_and_no_other(lake: Lake) -> None:
    texts = [{"user": 1, "price": 1.5, "ts": FIRST + 4 * DAY}]
    lake.put_day("data.purchases", DAYS[4], texts)
    result = attempt(lake, training_set(purchases(("1d",))))
    failed = sorted(task.partition[-10:] for task, _ in result.failures)
    assert failed == DAYS[6:8]
    assert "price is double in some partitions and int64 in later ones" in (
        result.failures[0][1].message
    )
    assert result.totals.partitions == 6


def test_a_key_that_the_left_side_lacks_is_refused(lake: Lake) -> None:
    join = training_set(purchases())
    part = JoinPart(group_by=purchases(), key_mapping={"buyer": "user"})
    with pytest.raises(DefinitionError, match="the left side selects no buyer"):
        attempt(lake, replace(join, right_parts=[part]))


def test_a_definition_that_reads_its_own_output_is_refused(lake: Lake) -> None:
    query = StagingQuery(name="shop.self", query="SELECT * FROM default.shop_self")
    with pytest.raises(DefinitionError, match="reads its own output"):
        attempt(lake, query)


def test_temporal_features_see_the_row_before_and_not_the_row_at_their_time(lake: Lake) -> None:
    left = [{"user": 1, "ts": FIRST + 3_600_000}, {"user": 1, "ts": FIRST + 3_600_001}]
    lake.put_day("data.checkouts", DAYS[0], left)
    join = training_set(replace(purchases(("1d",)), accuracy=Accuracy.TEMPORAL))
    lake.backfill(join, DAYS[0], DAYS[0])
    assert [row["shop_purchases_price_sum_1d"] for row in lake.read(join)] == [None, 1]


def test_the_command_reports_failed_days_and_exits_with_one(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "joins/shop/sets.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "from gigacast.feature_store import *\n"
        "part = GroupBy(name='shop.part', keys=['user'], sources=[EventSource("
        f'table="data.purchases", query=Query(selects=select("user", price="{BEYOND_ALL_DAYS}"), '
        "time_column='ts'))], aggregations=[Aggregation(input_column='price')])\n"
        "v1 = Join(left=EventSource(table='data.checkouts', query=Query("
        "selects=select('user'), time_column='ts')), right_parts=[JoinPart(group_by=part)])\n"
    )
    bucket = ["--bucket", f"file://{lake.root}"]
    assert run(["feature-store", "compile", str(file), *bucket]) == 0
    capsys.readouterr()
    assert run(["feature-store", "backfill", "shop.sets.v1", "--json", *bucket]) == 1
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert len(content["failures"]) == 7  # the first day sees no purchases
    assert "7 failed" in captured.err
    assert "joins/shop/sets.py:2" in content["failures"][0]["message"]
    days = ["--start_ds", "2024-02-01", "--ds", "2024-01-01"]
    assert run(["feature-store", "backfill", "shop.sets.v1", *days, *bucket]) == 2
    assert "--start_ds 2024-02-01 is after --ds 2024-01-01" in capsys.readouterr().err
    assert run(["feature-store", "label", "shop.sets.v1", "--ds", "soon", *bucket]) == 2
    assert "--ds: 'soon' is no day" in capsys.readouterr().err
    assert run(["feature-store", "label", "shop.sets.v1", "--ds", "2024-01-05", *bucket]) == 2
    assert "has no labels" in capsys.readouterr().err
