"""How expressions over aggregates of the same query are written for DuckDB."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.sql_rule import INTEGERS, write_round
from gigacast.feature_store.definition.sql_template import (
    Engine,
    Rule,
    arguments_of,
    fill,
    in_duckdb,
    shown,
)


@cache
def aggregated_rules() -> Mapping[str, Rule]:
    """Return how trees are written for DuckDB that compute over aggregates of the same query.

    It does not know the types of aggregates when it chooses among functions of one name.
    """
    day = "CAST(:{} AS DATE)"
    days = f"DATE_DIFF('DAY', {day.format('expression')}, {day.format('this')})"
    return {
        **dict.fromkeys(("Add", "Sub", "Mul", "Neg", "Abs"), lambda node, _: node),
        "Mod": in_duckdb("CASE WHEN :expression <> 0 THEN :this % :expression END"),
        "IntDiv": in_duckdb("CASE WHEN :expression <> 0 THEN :this // :expression END"),
        "Floor": in_duckdb("CAST(FLOOR(:this) AS BIGINT)"),
        "Ceil": in_duckdb("CAST(CEIL(:this) AS BIGINT)"),
        "Round": _round_aggregate,
        "Cast": _cast_aggregate,
        "TryCast": _cast_aggregate,
        "DateDiff": in_duckdb(f"CAST({days} AS INTEGER)"),
    }


def _round_aggregate(node: Any, engine: Engine) -> Any:
    tree = write_round(node, engine)
    tree.set("this", "spark_round_fraction")
    return tree


def _cast_aggregate(node: Any, engine: Engine) -> Any:
    kind = node.to.this.name
    if kind in INTEGERS:
        return fill(f"TRY_CAST(TRUNC(:this) AS {kind})", engine, arguments_of(node))
    if kind == "DOUBLE":
        return node
    raise ConfigError(
        f"{shown(node)}: a cast to {kind} of an aggregate cannot be computed",
        hint="select the aggregate in a subquery, and cast it around that",
    )
