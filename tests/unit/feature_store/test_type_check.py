"""Expressions and operations that do not fit the types of a table are refused at their line."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import DefinitionError
from gigacast.feature_store import (
    Aggregation,
    ContextualSource,
    Derivation,
    EventSource,
    ExternalPart,
    GroupBy,
    Operation,
    select,
)
from gigacast.feature_store.compile import compile_definitions
from gigacast.feature_store.table import Tables
from gigacast.feature_store.type_check import find_type_problems
from gigacast.storage.store import StoreAddress
from tests.support.features.repository import write_repository
from tests.unit.feature_store.definition.definitions import events, group_by, join

SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("price", pa.float64()),
        ("ts", pa.int64()),
        ("city", pa.string()),
        ("cents", pa.decimal128(12, 2)),
        ("tags", pa.list_(pa.string())),
        ("born", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
TABLES = {"data.events": SCHEMA}


def messages(definition: GroupBy) -> list[str]:
    problems = find_type_problems(definition, TABLES)
    assert all(problem.place.line for problem in problems)
    assert all(problem.definition == "group-by team.purchases.v1" for problem in problems)
    return [problem.message for problem in problems]


def selecting(**selects: str) -> GroupBy:
    return group_by(sources=[events(selects=select(user_id="user_id", **selects))])


@pytest.mark.parametrize(
    "expression",
    [
        "price",
        "price * 2 + 1",
        "CAST(cents AS DOUBLE) * price",
        "IF(city = 'Oslo', 1, 0)",
        "LENGTH(city) + SIZE(tags)",
        "DATEDIFF(at, born)",
        "UNIX_MILLIS(at)",
    ],
)
def test_expressions_that_fit_the_columns_are_taken(expression: str) -> None:
    assert messages(selecting(price=expression)) == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("city * 2", "multiply does not take values of these types"),
        ("cents * 2", "decimals in an operator: CAST them AS DOUBLE"),
        ("HOUR(price)", "No function matches"),
        ("LENGTH(tags)", "length does not take values of these types"),
        ("CONCAT(city, price)", "texts of fractions differ between engines"),
        ("at - born", "a difference of times"),
        ("SUBSTR(tags, 1, 2)", "No function matches"),
    ],
)
def test_values_of_types_that_a_function_does_not_take_are_refused(
    expression: str, reason: str
) -> None:
    (message,) = messages(selecting(price=expression))
    assert message.startswith(f"price, '{expression}': ")
    assert reason in message


def test_conditions_and_times_are_checked_too() -> None:
    source = events(wheres=["city * 2 > 1"], time_column="HOUR(price)")
    first, second = messages(group_by(sources=[source]))
    assert first.startswith("where, 'city * 2 > 1': ")
    assert second.startswith("time_column, 'HOUR(price)': ")


@pytest.mark.parametrize(
    ("operation", "expression", "reason"),
    [
        (Operation.SUM, "UPPER(city)", "SUM of price"),
        (Operation.AVERAGE, "born", "AVERAGE of price"),
        (Operation.SKEW, "CONCAT(city, city)", "SKEW of price"),
    ],
)
def test_an_operation_over_an_expression_of_another_type_is_refused_at_its_line(
    operation: Operation, expression: str, reason: str
) -> None:
    part = Aggregation("price", operation)
    source = events(selects=select(user_id="user_id", price=expression))
    problems = find_type_problems(group_by(sources=[source], aggregations=[part]), TABLES)
    assert [p.message[: len(reason)] for p in problems] == [reason]
    assert problems[0].place == part.place


def test_derivations_of_joins_are_checked_over_the_left_side_and_all_features() -> None:
    part = Aggregation(input_column="city", operation=Operation.LAST)
    definition = group_by(aggregations=[part], derivations=[Derivation("town", "city_last")])
    feature = "team_purchases_v1_town"
    geo = ContextualSource(fields=[("country", "string")])
    wrong = [
        Derivation("a", f"{feature} * 2"),
        Derivation("b", "HOUR(user_id)"),
        Derivation("c", "ext_contextual_country * 2"),
    ]
    right = [
        Derivation("d", f"CONCAT({feature}, ext_contextual_country)"),
        Derivation("e", "ts - UNIX_MILLIS(CAST(ds AS TIMESTAMP))"),
        Derivation("*", "*"),
    ]
    checked = join(
        definition,
        online_external_parts=[ExternalPart(source=geo)],
        derivations=[*wrong, *right],
    )
    problems = find_type_problems(checked, TABLES)
    assert [problem.place for problem in problems] == [entry.place for entry in wrong]
    assert {problem.definition for problem in problems} == {f"join {checked.name}"}
    assert problems[0].message.startswith(f"the derivation 'a', '{feature} * 2': multiply")
    assert feature in problems[0].hint
    # Without files of the left side only what its columns are not needed for is known.
    fewer = find_type_problems(
        replace(checked, left=EventSource(table="data.unknown", query=checked.left.query)), TABLES
    )
    assert [problem.place for problem in fewer] == [wrong[0].place, wrong[2].place]


def test_derivations_are_checked_over_the_types_of_the_features() -> None:
    part = Aggregation("city", Operation.LAST)
    derivation = Derivation("twice", "city_last * 2")
    definition = group_by(aggregations=[part], derivations=[derivation])
    (problem,) = find_type_problems(definition, TABLES)
    assert problem.message.startswith("the derivation 'twice', 'city_last * 2': multiply")
    assert problem.place == derivation.place


def test_a_join_is_checked_with_its_left_side() -> None:
    left = events(selects=select("user_id", hour="HOUR(city)"))
    (problem,) = find_type_problems(join(group_by(), left=left), TABLES)
    assert problem.definition == "join team.training_set.v1"
    assert problem.message.startswith("hour, 'HOUR(city)': ")


def test_queries_with_functions_of_their_own_are_left_to_their_engine() -> None:
    setups = ["CREATE TEMPORARY FUNCTION twice(x DOUBLE) RETURNS DOUBLE RETURN x * 2"]
    source = events(selects=select(user_id="user_id", price="twice(city)"), setups=setups)
    assert messages(group_by(sources=[source])) == []


def test_compilation_refuses_types_of_tables_that_are_there_and_notes_those_that_are_not(
    tmp_path: Path,
) -> None:
    repository = write_repository(tmp_path / "repository")
    tables = Tables.at(StoreAddress(f"file://{tmp_path}/lake"))
    purchases = tmp_path / "lake/data/purchases/ds=2024-01-01/part-0.parquet"
    purchases.parent.mkdir(parents=True)
    row = {"user_id": ["5"], "purchase_price": [1.0], "ts": [1]}
    pq.write_table(pa.table(row), purchases)
    compilation = compile_definitions(repository, tables.store, tables=tables)
    notes = [warning.message for warning in compilation.warnings]
    assert "data.returns has no files yet, so its columns and types are not checked" in notes
    pq.write_table(pa.table({**row, "purchase_price": ["much"]}), purchases)
    with pytest.raises(DefinitionError, match=r"purchases\.py:\d+: group-by .* which is string"):
        compile_definitions(repository, tables.store, tables=tables)
