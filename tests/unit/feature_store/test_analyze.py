"""The analysis counts what a backfill of all left days would read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from gigacast.errors import DataNotFoundError
from gigacast.feature_store import (
    Aggregation,
    EntitySource,
    EventSource,
    JoinPart,
    Operation,
    Query,
    Source,
    StagingQuery,
    select,
)
from gigacast.feature_store.analyze import Analysis, analyze
from gigacast.feature_store.table import Tables
from gigacast.storage.store import StoreAddress
from tests.unit.feature_store.definition.definitions import events, group_by, join

DAYS = [f"2024-01-{day:02d}" for day in range(1, 21)]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Return tables with twenty days of events, `n` rows on the n-th day, and two of left rows."""
    for number, day in enumerate(DAYS, 1):
        rows = pa.table(
            {"user_id": [0, *range(number)][:number], "price": [1.0] * number, "ts": [0] * number}
        )
        put(tmp_path, f"data/events/ds={day}/a.parquet", rows)
    for day in DAYS[-2:]:
        put(tmp_path, f"data/left/ds={day}/a.parquet", pa.table({"user": [1, None], "ts": [1, 2]}))
    return Tables.at(StoreAddress(f"file://{tmp_path}"))


def put(root: Path, path: str, rows: pa.Table) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, file)


def analysis_of(tables: Tables, *windows: str, **query: Any) -> Analysis:
    """Return the analysis of a join of sums of the events to the two days of left rows."""
    sums = Aggregation("price", Operation.SUM, windows=list(windows) or None)
    part = group_by(sources=[events(**query)], aggregations=[sums])
    left = EventSource(
        table="data.left", query=Query(selects=select(user_id="user"), time_column="ts")
    )
    return analyze(join(part, left=Source(events=left)), tables)


def test_windows_decide_which_days_are_read(tables: Tables) -> None:
    every_row, left_rows = sum(range(1, 21)), 4
    assert analysis_of(tables).cost.rows == every_row + left_rows
    assert analysis_of(tables, "3d").cost.rows == sum(range(16, 21)) + left_rows
    assert analysis_of(tables, "1d", "30h").cost.rows == sum(range(17, 21)) + left_rows
    assert analysis_of(tables, "3d").cost.days == 2


def test_a_query_with_bounds_reads_the_days_between_them(tables: Tables) -> None:
    bounded = analysis_of(tables, start_partition="2024-01-19", end_partition="2024-01-19")
    assert bounded.tables[1].rows_by_day == {"2024-01-19": 19}
    assert bounded.cost.rows == 19 + 4


def test_hot_keys_are_counted_over_selects_and_wheres(tables: Tables) -> None:
    doubled = analysis_of(tables, selects=select(user_id="user_id * 2"), wheres=["user_id < 2"])
    keys = [(key.key, key.rows) for key in doubled.hot_keys if key.role != "left"]
    assert keys == [(("0",), 14), (("2",), 7)]  # of the newest seven days
    left = [(key.key, key.rows, key.share) for key in doubled.hot_keys if key.role == "left"]
    assert left == [(("1",), 2, 0.5), (("",), 2, 0.5)]


def test_rows_of_a_file_without_folders_are_counted_by_their_days(
    tables: Tables, tmp_path: Path
) -> None:
    rows = pa.table({"ds": ["2024-01-19", "2024-01-20", "2024-01-20"], "user_id": [1, 1, 2]})
    pa_csv.write_csv(rows, tmp_path / "users.csv")
    places = Tables.at(tables.root, {"data.users": str(tmp_path / "users.csv")})
    users = EntitySource(snapshotTable="data.users", query=Query(selects=select("user_id", "ds")))
    facts = analyze(group_by(sources=[users], aggregations=None), places).tables[0]
    assert facts.rows_by_day == {"2024-01-19": 1, "2024-01-20": 2}


def test_a_staging_query_reads_its_tables(tables: Tables) -> None:
    sql = "SELECT user_id FROM data.events WHERE ds BETWEEN '{{start_date}}' AND '{{end_date}}'"
    query = StagingQuery(query=sql, startPartition="2024-01-11", name="team.st")
    analysis = analyze(query, tables)
    assert [fact.table for fact in analysis.tables] == ["data.events"]
    assert (analysis.cost.days, analysis.cost.rows) == (10, sum(range(11, 21)))
    assert analysis.hot_keys == ()


def test_a_table_without_files_is_named(tables: Tables) -> None:
    source = EventSource(table="data.nothing", query=Query(time_column="ts"))
    with pytest.raises(DataNotFoundError, match=r"table data\.nothing"):
        analyze(group_by(sources=[source]), tables)


def test_the_keys_of_the_left_side_follow_the_mapping(tables: Tables) -> None:
    left = EventSource(table="data.left", query=Query(selects=select("user"), time_column="ts"))
    wide = join(left=Source(events=left))
    mapped = wide.__class__(
        left=wide.left,
        right_parts=[JoinPart(group_by=group_by(), key_mapping={"user": "user_id"})],
        name="team.mapped.v1",
    )
    assert analyze(mapped, tables).hot_keys[0].key == ("1",)
