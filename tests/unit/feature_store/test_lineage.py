"""Lineage names the columns of tables that a column is computed of, and what is done to them."""

from typing import Any

from gigacast.feature_store import (
    Aggregation,
    Derivation,
    EventSource,
    GroupBy,
    JoinSource,
    Operation,
    Query,
    Source,
    StagingQuery,
    select,
)
from gigacast.feature_store.definition.expression import tables_in
from gigacast.feature_store.definition.name import group_by_columns
from gigacast.feature_store.lineage import Origin, outputs_of, trace, trace_query
from tests.support.features.vectors import read_vector
from tests.unit.feature_store.definition.definitions import group_by, join, read_aggregation


def test_lineage_of_queries_is_that_of_the_vectors() -> None:
    vector = read_vector("lineage_sql")
    for case in vector["cases"]:
        lineage = trace_query(case["sql"], case.get("schema"))
        expected = {
            column: {Origin(table, name, tuple(steps)) for table, name, steps in origins}
            for column, origins in case["expected"].items()
        }
        assert {column: set(origins) for column, origins in lineage.items()} == expected
    assert list(tables_in(vector["tables"]["sql"])) == vector["tables"]["expected"]


def vector_group_by(content: dict[str, Any]) -> GroupBy:
    source = content["source"]
    query = Query(selects=source["selects"], time_column=source["time_column"])
    return GroupBy(
        sources=[Source(events=EventSource(table=source["table"], query=query))],
        keys=content["keys"],
        aggregations=[read_aggregation(entry) for entry in content["aggregations"]],
        derivations=[Derivation(*pair) for pair in content["derivations"]],
        output_namespace=content["namespace"],
        name=content["name"],
    )


def test_lineage_of_a_group_by_is_that_of_the_vectors() -> None:
    vector = read_vector("lineage_group_by")
    group = vector_group_by(vector["group_by"])
    assert sorted(group_by_columns(group)) == vector["features"]
    lines = {
        (origin.table, origin.column, name, origin.transforms)
        for name, origins in trace(group).items()
        for origin in origins
    }
    assert lines == {(t, c, name, tuple(steps)) for t, c, name, steps in vector["expected"]}


def test_fields_of_structures_and_counts_of_rows_are_traced() -> None:
    lineage = trace_query("SELECT a.b.c AS x, COUNT(*) AS n, MAX(p) + q AS y FROM db.t GROUP BY 1")
    assert lineage["x"] == (Origin("db.t", "a.b.c", ("Dot", "Dot")),)
    assert lineage["n"] == ()
    assert lineage["y"] == (Origin("db.t", "p", ("Max", "Add")), Origin("db.t", "q", ("Add",)))


def test_subqueries_common_tables_and_unions_are_followed() -> None:
    lineage = trace_query(
        "WITH w AS (SELECT id, x * 2 AS d FROM t1) "
        "SELECT w.id AS k, s.v AS v FROM w JOIN (SELECT id, y AS v FROM t2) s ON w.id = s.id "
        "UNION ALL SELECT a, b FROM t3"
    )
    assert set(lineage["k"]) == {Origin("t1", "id"), Origin("t3", "a")}
    assert set(lineage["v"]) == {Origin("t2", "y"), Origin("t3", "b")}


def test_selects_and_derivations_are_traced_through_a_join_and_its_child() -> None:
    source = Source(
        events=EventSource(
            table="data.views/country=NO",
            topic="views",
            query=Query(selects=select("user_id", price="amount / 100"), time_column="ts"),
        )
    )
    parent_part = group_by(sources=[source], name="team.prices.v1")
    parent = join(parent_part, left=source, name="team.parent.v1")
    column = "team_prices_v1_price_sum"
    child = group_by(
        sources=[JoinSource(join=parent, query=Query(selects=select("user_id", total=column)))],
        aggregations=[Aggregation("total", Operation.LAST)],
        derivations=[Derivation("half", "total_last / 2")],
        name="team.child.v1",
    )
    outer = trace(join(child))
    assert outer["team_child_v1_half"] == (
        Origin("data.views", "amount", ("Div", "AGG_SUM", "AGG_LAST", "Div")),
    )


def test_a_table_that_another_definition_makes_is_followed_to_its_own_tables() -> None:
    staged = StagingQuery(query="SELECT id AS user_id, a - b AS price FROM raw.t", name="team.st")
    reader = group_by(sources=[EventSource(table="default.team_st", query=Query(time_column="ts"))])
    assert trace(reader)["price_sum"] == (Origin("default.team_st", "price", ("AGG_SUM",)),)
    assert trace(reader, outputs_of([staged]))["price_sum"] == (
        Origin("raw.t", "a", ("Sub", "AGG_SUM")),
        Origin("raw.t", "b", ("Sub", "AGG_SUM")),
    )
