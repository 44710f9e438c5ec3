"""Backfills of the vectors: their rows in, their expected rows out."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gigacast.errors import DefinitionError
from gigacast.feature_store import (
    Accuracy,
    Aggregation,
    BootstrapPart,
    ContextualSource,
    Derivation,
    EntitySource,
    EventSource,
    ExternalPart,
    GroupBy,
    Join,
    JoinPart,
    JoinSource,
    LabelPart,
    Operation,
    Query,
    Source,
    TimeUnit,
    Window,
    select,
)
from gigacast.feature_store.definition.check import check
from gigacast.feature_store.definition.name import join_columns
from gigacast.feature_store.offline.label_run import label_days
from gigacast.feature_store.offline.stage import Backfill
from tests.support.features.lake import Lake, rows_of
from tests.support.features.vectors import read_vector


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def events(table: str, *columns: str, time: str = "ts", **expressions: str) -> EventSource:
    return EventSource(
        table=table, query=Query(selects=select(*columns, **expressions), time_column=time)
    )


def sorted_rows(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row[name] for name in names) for row in rows), key=repr)


@pytest.mark.parametrize(
    "name",
    ["simplest_case", "update_value_case", "decayed_window_case", "no_snapshot_just_mutation"],
)
def test_entities_are_seen_as_their_mutations_left_them(lake: Lake, name: str) -> None:
    vector = read_vector(f"mutations_{name}")
    for table in ("left", "snapshot", "mutations"):
        rows = vector[table]
        if rows["rows"]:
            lake.put(f"data.{table}", rows_of(rows["columns"], rows["rows"]))
        else:
            types = dict.fromkeys(rows["columns"], pa.int64())
            lake.put_day(f"data.{table}", vector["query"]["start_partition"], [], types=types)
    written = vector["aggregation"]
    ratings = GroupBy(
        name="test.ratings",
        sources=[
            EntitySource(
                snapshotTable="data.snapshot",
                mutationTable="data.mutations",
                query=Query(
                    selects=select("listing_id", "rating"), time_column="ts", **vector["query"]
                ),
            )
        ],
        keys=[vector["key"]],
        accuracy=Accuracy.TEMPORAL,
        aggregations=[
            Aggregation(
                input_column=written["input_column"],
                operation=Operation.AVERAGE,
                windows=written["windows"],
            )
        ],
    )
    join = Join(
        name="test.events",
        left=events("data.left", "listing_id", "event"),
        right_parts=[JoinPart(group_by=ratings)],
    )
    lake.backfill(join)
    expected = rows_of(vector["expected"]["columns"], vector["expected"]["rows"])
    feature = next(name for name in expected[0] if name.startswith("rating_"))
    (column,) = join_columns(join)
    rows = [{**row, feature: row[column]} for row in lake.read(join)]
    names = vector["expected"]["columns"]
    assert sorted_rows(rows, *names) == sorted_rows(expected, *names)


def test_a_join_feeds_a_group_by(lake: Lake) -> None:
    vector = read_vector("chaining")
    for table in ("views", "ratings"):
        lake.put(f"data.{table}", rows_of(vector[table]["columns"], vector[table]["rows"]))
    search = rows_of(vector["search"]["columns"], vector["search"]["rows"])
    lake.put("data.search", [{**row, "ds": "2021-04-18"} for row in search])
    parent_group_by = GroupBy(
        name="fetcher_parent_gb",
        sources=[events("data.ratings", "listing", "rating")],
        keys=["listing"],
        accuracy=Accuracy.TEMPORAL,
        aggregations=[Aggregation(input_column="rating", operation=Operation.LAST)],
    )
    left = EventSource(
        table="data.views",
        topic="views",
        query=Query(selects=select("user", "listing"), time_column="ts"),
    )
    parent = Join(
        name="fetcher_parent_join", left=left, right_parts=[JoinPart(group_by=parent_group_by)]
    )
    chained = GroupBy(
        name="chaining_gb",
        sources=[
            JoinSource(
                join=parent,
                query=Query(
                    selects=select("user", "fetcher_parent_gb_rating_last"), time_column="ts"
                ),
            )
        ],
        keys=["user"],
        accuracy=Accuracy.TEMPORAL,
        aggregations=[
            Aggregation(
                input_column="fetcher_parent_gb_rating_last",
                operation=Operation.LAST_K(10),
                windows=["7d"],
            )
        ],
    )
    join = Join(
        name="chained",
        left=events("data.search", "user", "listing"),
        right_parts=[JoinPart(group_by=chained)],
    )
    result = lake.backfill(join)
    assert [parent.name for parent in result.parents] == ["fetcher_parent_join"]
    for definition, expected in ((parent, "expected_parent"), (join, "expected_chained")):
        names = vector[expected]["columns"]
        expected_rows = rows_of(names, vector[expected]["rows"])
        assert sorted_rows(lake.read(definition), *names) == sorted_rows(expected_rows, *names)


def test_bootstrapped_values_come_in_order_before_computed_ones(lake: Lake) -> None:
    vector = read_vector("bootstrap_fixed")
    day = {"ds": "2024-01-02"}
    left = rows_of(vector["left_columns"], vector["left"])
    lake.put("data.left", [{**row, "ts": 1_704_200_000_000, **day} for row in left])
    for n, table in enumerate(vector["bootstrap"]):
        rows = [{**row, **day} for row in rows_of(table["columns"], table["rows"])]
        lake.put(f"data.boot{n}", rows)
    # One event for each request, so that its features are the computed values of the vector.
    computed = vector["computed"]
    lake.put(
        "data.events",
        [
            {
                "request_id": row["request_id"],
                "a": a,
                "b": b,
                "ts": 1_704_100_000_000,
                "ds": "2024-01-01",
            }
            for row, a, b in zip(left, computed["a"], computed["b"], strict=True)
        ],
    )
    values = GroupBy(
        name="v",
        sources=[events("data.events", "request_id", "a", "b")],
        keys=["request_id"],
        aggregations=[
            Aggregation(input_column=name, operation=Operation.LAST) for name in ("a", "b")
        ],
    )
    join = Join(
        name="booted",
        left=events("data.left", "request_id", "user"),
        right_parts=[JoinPart(group_by=values)],
        row_ids=vector["row_ids"],
        bootstrap_parts=[
            BootstrapPart(
                table=f"data.boot{n}", query=Query(selects=select("request_id", v_a_last="a"))
            )
            for n in range(len(vector["bootstrap"]))
        ],
    )
    lake.backfill(join)
    rows = lake.read(join)
    assert [row["v_a_last"] for row in rows] == vector["expected"]["a"]
    assert [row["v_b_last"] for row in rows] == vector["expected"]["b"]


def test_contextual_columns_are_those_that_derivations_leave(lake: Lake) -> None:
    vector = read_vector("derivations_contextual")
    lake.put("data.left", [{"user": 1, "ts": 1_704_200_000_000, "ds": "2024-01-02"}])
    context = ContextualSource(fields=[("context_1", "long"), ("context_2", "long")])
    for n, case in enumerate(vector["cases"]):
        join = Join(
            name=f"context{n}",
            left=events("data.left", "user"),
            right_parts=[],
            online_external_parts=[ExternalPart(source=context)],
            derivations=[Derivation(name, text) for name, text in case["derivations"]] or None,
        )
        lake.backfill(join)
        columns = set(lake.read(join)[0])
        assert set(case["has"]) <= columns
        assert not set(case["has_not"]) & columns


def test_derivations_without_star_leave_the_key_the_day_and_what_they_name(lake: Lake) -> None:
    vector = read_vector("derivations_group_by_no_star")
    day = {"ts": 1_704_100_000_000, "ds": "2024-01-01"}
    lake.put("data.events", [{"user": 1, "value": value, **day} for value in (1, 2)])
    group_by = GroupBy(
        name="values",
        sources=[events("data.events", "user", "value")],
        keys=[vector["key"]],
        aggregations=[
            Aggregation(input_column=column, operation=operation)
            for column, operation in vector["aggregations"]
        ],
        derivations=[Derivation(name, text) for name, text in vector["derivations"]],
    )
    lake.backfill(group_by)
    assert lake.read(group_by) == [{"user": 1, "total": 3, "avg": 1.5, "ds": "2024-01-01"}]
    assert sorted(lake.read(group_by)[0]) == sorted(vector["expected_backfill_columns"])


LEFT_QUERY = {
    "select": {"listing": "listing_id", "m_views": "m_views"},
    "time_column": "UNIX_TIMESTAMP(ts) * 1000",
}


def label_left(vector: Any) -> Source:
    written = vector.get("left_query", LEFT_QUERY)
    return Source(
        events=EventSource(
            table="data.left",
            query=Query(selects=written["select"], time_column=written["time_column"]),
        )
    )


def put_left(lake: Lake, vector: Any) -> None:
    columns = ["listing_id", "m_views", "ts", "ds"]
    lake.put("data.left", rows_of(columns, vector["left"]))


def label_group_by(name: str, column: str) -> GroupBy:
    return GroupBy(
        name=name,
        sources=[
            EntitySource(
                snapshotTable=f"data.{name}",
                query=Query(selects={"listing": "listing_id", column: column}),
            )
        ],
        keys=["listing"],
        aggregations=None,
    )


def label_join(vector: Any, name: str, parts: list[GroupBy], start: int, end: int) -> Join:
    return Join(
        name=name,
        left=label_left(vector),
        right_parts=[JoinPart(group_by=parts[0])],
        label_part=LabelPart(
            labels=[JoinPart(group_by=part) for part in parts],
            left_start_offset=start,
            left_end_offset=end,
        ),
    )


def make_labels(lake: Lake, join: Join, day: str) -> None:
    for result in label_days(Backfill(join, lake.address), day):
        assert result.all_failures == []


def test_labels_of_a_day_are_those_of_the_left_partitions_before_it(lake: Lake) -> None:
    vector = read_vector("label_join")
    put_left(lake, vector)
    for case in vector["cases"]:
        parts = []
        for label in case["labels"]:
            table = vector["label_tables"][label["table"]]
            lake.put(f"data.{label['name']}", rows_of(table["columns"], table["rows"]))
            parts.append(label_group_by(label["name"], table["columns"][1]))
        offsets = case["left_start_offset"], case["left_end_offset"]
        join = label_join(vector, case["test"], parts, *offsets)
        make_labels(lake, join, case["label_ds"])
        rows = lake.read(join, "labels")
        if "expected" in case:
            names = case["expected_columns"]
            expected = rows_of(names, case["expected"])
            assert sorted_rows(rows, *names) == sorted_rows(expected, *names)
        if "expected_first" in case:
            assert rows
            assert all({**row, **case["expected_first"]} == row for row in rows)
        if "expected_count" in case:
            assert len(rows) == case["expected_count"]
            lake.drop_day(f"feature_store.tables.default.{case['test']}_labels", "2022-10-02")
            make_labels(lake, join, case["label_ds"])
            assert lake.read(join, "labels") == rows


def test_an_aggregated_label_is_of_the_days_from_the_left_partition_on(lake: Lake) -> None:
    vector = read_vector("label_aggregation")
    put_left(lake, vector)
    label = vector["label"]
    lake.put("data.labels", rows_of(label["columns"], label["rows"]))
    group_by = GroupBy(
        name=label["name"],
        sources=[
            EventSource(
                table="data.labels",
                query=Query(
                    selects={"listing": "listing_id", "is_active": "is_active"},
                    time_column=vector["left_query"]["time_column"],
                ),
            )
        ],
        keys=["listing"],
        accuracy=Accuracy.SNAPSHOT,
        aggregations=[
            Aggregation(
                input_column=label["input_column"],
                operation=Operation.MAX,
                windows=[Window(5, TimeUnit.DAYS)],
            )
        ],
    )
    offsets = vector["left_start_offset"], vector["left_end_offset"]
    join = label_join(vector, "labeled", [group_by], *offsets)
    make_labels(lake, join, vector["label_ds"])
    names = vector["expected_columns"]
    expected = rows_of(names, vector["expected"])
    assert sorted_rows(lake.read(join, "labels"), *names) == sorted_rows(expected, *names)


def test_labels_that_cannot_be_joined_are_refused() -> None:
    for case in read_vector("label_refused")["cases"]:
        windows = ["5d", "10d"] if "MAX" in case["labels"] else None
        source = EntitySource(snapshotTable="d.t", query=Query(selects=select("k", "x")))
        labels = GroupBy(
            name="labels",
            sources=[source],
            keys=["k"],
            aggregations=windows
            and [Aggregation(input_column="x", operation=Operation.MAX, windows=windows)],
        )
        is_events = case["left"] == "events"
        left = events("d.left", "k") if is_events else source
        join = Join(
            name="join",
            left=left,
            right_parts=[JoinPart(group_by=labels)],
            label_part=LabelPart(
                labels=[JoinPart(group_by=labels)],
                left_start_offset=case["left_start_offset"],
                left_end_offset=case["left_end_offset"],
            ),
        )
        with pytest.raises(DefinitionError) as error:
            check(join)
        assert any(case["refused"] in str(problem) for problem in error.value.problems)


def test_features_stand_beside_all_versions_of_their_labels_and_beside_the_newest(
    lake: Lake,
) -> None:
    vector = read_vector("label_views")
    put_left(lake, vector)
    columns = ["listing_id", "dim_room_type", "ds"]
    lake.put("data.listing_labels", rows_of(columns, vector["label_table"]))
    labels = label_group_by("listing_labels", "dim_room_type")
    offsets = vector["left_start_offset"], vector["left_end_offset"]
    join = label_join(vector, "viewed", [labels], *offsets)
    features = rows_of(vector["features"]["columns"], vector["features"]["rows"])
    # The features of the vector stand for the output of the join.
    lake.put("feature_store.tables.default.viewed", features)
    for day in vector["run_label_ds"]:
        make_labels(lake, join, day)
    view = lake.read(join, "labeled")
    column = f"{vector['column_prefix']}listing_labels_dim_room_type"
    newest = [row for row in view if row["label_ds"] == "2022-11-11"]
    assert [row[column] for row in newest if row["listing"] == 4] == [None]
    assert len(newest) == len([row for row in view if row["label_ds"] == "2022-10-30"]) > 0
    assert [row["label_ds"] for row in view if row["listing"] == 5] == [None]
    latest = lake.read(join, "labeled_latest")
    assert {row["label_ds"] for row in latest} == {"2022-11-11"}
