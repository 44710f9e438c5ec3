"""Definitions whose tables lack a column, or have one of another type, are refused."""

import pytest

from gigacast.feature_store import Aggregation, Operation, select
from gigacast.feature_store.definition.check_schema import find_schema_problems
from tests.unit.feature_store.definition.definitions import events, group_by, join

COLUMNS = {"user_id": "int64", "price": "double", "ts": "int64", "city": "string", "tags": "list"}


def messages(definition: object, columns: dict[str, str] | None = None) -> list[str]:
    schemas = {"data.events": COLUMNS if columns is None else columns}
    return [p.message for p in find_schema_problems(definition, schemas)]  # type: ignore[arg-type]


def test_a_definition_that_fits_its_table_is_not_refused() -> None:
    assert messages(group_by()) == []
    assert messages(join()) == []
    assert messages(group_by(aggregations=[Aggregation("tags", Operation.SUM)])) == []
    assert messages(group_by(aggregations=[Aggregation("city", Operation.COUNT)])) == []


def test_a_table_that_is_not_known_is_not_checked() -> None:
    assert find_schema_problems(group_by(), {}) == []


def test_missing_columns_are_named_once_each() -> None:
    source = events(selects=select(price="prize * rate"), wheres=["prize > 0", "zone = 'a'"])
    assert messages(group_by(sources=[source])) == [
        "data.events has no column prize",
        "data.events has no column rate",
        "data.events has no column zone",
    ]
    assert messages(group_by(), {"user_id": "int64", "price": "double"}) == [
        "data.events has no column ts"
    ]


def test_a_join_is_checked_with_its_group_bys() -> None:
    left = events(selects=select("user_id", extra="nothing"))
    part = group_by(sources=[events(selects=select(price="prize"))])
    problems = find_schema_problems(join(part, part, left=left), {"data.events": COLUMNS})
    assert [(p.definition, p.message) for p in problems] == [
        ("join team.training_set.v1", "data.events has no column nothing"),
        ("group-by team.purchases.v1", "data.events has no column prize"),
    ]


@pytest.mark.parametrize("operation", ["SUM", "AVERAGE", "VARIANCE", "APPROX_PERCENTILE"])
def test_texts_are_not_summed(operation: str) -> None:
    part = Aggregation("city", getattr(Operation, operation))
    problems = find_schema_problems(group_by(aggregations=[part]), {"data.events": COLUMNS})
    assert [p.message for p in problems] == [f"{operation} of city, which is string and no number"]
    assert problems[0].place == part.place
