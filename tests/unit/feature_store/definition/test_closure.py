"""Expressions as functions of a row give what the SQL engine gives."""

import pyarrow as pa
import pytest

from gigacast.errors import ConfigError
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.definition.closure import find_refused, make_function
from gigacast.feature_store.definition.number_kind import NumberKind
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.online.typed import kinds_of
from tests.support.features.expressions import make_values, read_expected

EXPRESSIONS = [
    "a + b", "a - b", "a * b", "a / b", "a % 2", "-a", "x / y", "x - y", "x * 2", "1.0e0 * a / b",
    "a = b", "a <> b", "a < b", "a >= b", "a <=> b", "x > y", "t = 'x'",
    "a > 0 AND b > 0", "a > 0 OR b > 0", "NOT (a > 0 AND NULL)", "a IS NULL", "a IS NOT NULL",
    "a IN (1, 2, b)", "a NOT IN (1, NULL)", "a BETWEEN b AND 5", "a NOT BETWEEN b AND 5",
    "IF(a > b, 'more', 'less')", "IF(a > b, a)", "COALESCE(a, b, 0)", "NVL(t, 'none')",
    "NULLIF(a, b)", "CASE WHEN a > 1 THEN 'x' WHEN a > 0 THEN 'y' ELSE t END",
    "CASE a WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", "CONCAT(t, '-', a)", "t || 'z'",
    "LOWER(t)", "UPPER(t)", "ABS(a)", "CAST(a AS DOUBLE)", "CAST(a AS STRING)", "CAST(x AS FLOAT)",
    "CAST(t AS BIGINT)", "CAST(a AS BOOLEAN)", "`a` + (b)",
]  # fmt: skip
SCHEMA = pa.schema(
    [
        ("a", pa.int64()),
        ("b", pa.int64()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("t", pa.string()),
    ]
)
SMALL = [None, -3, -1, 0, 1, 2]
TEXTS = [None, "", "x", "AB", "12", "1.5", "-7", "no"]
FLOATS = [None, 0.0, 0.1, -2.5, 1e6, 3.5]
ROWS = [
    {"a": a, "b": b, "x": FLOATS[(n + m) % 6], "y": FLOATS[(n * m) % 6], "t": TEXTS[(n + m) % 8]}
    for n, a in enumerate(SMALL)
    for m, b in enumerate(SMALL)
]


def test_functions_of_rows_equal_the_engine() -> None:
    columns = {f"c{n}": text for n, text in enumerate(EXPRESSIONS)}

    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    answers = LocalEngine(Limits(1 << 28)).project(table, columns, "test")

    for name, text in columns.items():
        function = make_function(text)
        assert [function(row) for row in ROWS] == answers[name].to_pylist(), text


def test_functions_of_rows_give_the_values_of_spark_or_none_at_all() -> None:
    values = make_values()
    rows, kinds = values.to_pylist(), kinds_of(values.schema)
    exact, given_up = 0, 0
    for text, (type_, expected) in read_expected().items():
        try:
            function = make_function(text, kinds)
        except ConfigError:
            continue
        try:
            answers = [function(row) for row in rows]
        except TypeError:
            given_up += 1  # an answer that fails by name, and no other value
            continue
        if type_ != "date32[day]":  # spelled as numbers
            assert [repr(answer) for answer in answers] == expected, text
            exact += 1
    assert exact > 220
    assert given_up < 30


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("a + 1", "int32", None),
        ("a + 1", "int64", 2**31),
        ("a + b", None, 2**31 + 2),
        ("CAST(a AS BIGINT) + 1", "int32", 2**31),
        ("IF(a > 0, a, 1L) + 1", "int32", 2**31),
        ("COALESCE(NULL, a) * 2", "int32", None),
        ("-(-a - 1) - 1", "int32", None),
    ],
)
def test_whole_numbers_that_do_not_fit_their_type_are_null(
    text: str, kind: NumberKind | None, value: int | None
) -> None:
    function = make_function(text, {"a": kind} if kind else None)
    assert function({"a": 2**31 - 1, "b": 3}) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("percentile_approx(x, 0.5)", "APPROXQUANTILE"),
        ("from_unixtime(a, 'yyyy')", "UNIXTOSTR"),
        ("my_function(a)", "MY_FUNCTION"),
        ("a + SUM(b) OVER ()", "WINDOW"),
        ("CAST(a AS DATE)", "DATE"),
    ],
)
def test_what_a_function_of_a_row_cannot_compute_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_function(text)
    assert named in caught.value.message.upper()
    assert find_refused(text) is not None
    assert find_refused("a + 1") is None


def test_a_field_of_a_structure_is_found_and_null_of_null() -> None:
    function = make_function("address.city")

    assert function({"address": {"city": "Oslo"}}) == "Oslo"
    assert function({"address": None}) is None
