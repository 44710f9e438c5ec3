"""Expressions give the values of Spark on this machine, or are refused by name."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from sqlglot import exp

from gigacast.errors import ConfigError
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.definition.dialect import (
    SAME,
    check_sql,
    functions_in,
    spark_sql,
    translate,
)
from gigacast.feature_store.definition.expression import parse_expression
from gigacast.feature_store.definition.pattern import common_pattern
from gigacast.feature_store.definition.sql_rule import CALLS, rules
from gigacast.feature_store.engine.local import LocalEngine
from tests.support.features.expressions import make_values, read_expected, spell

EXPECTED = read_expected()


def project(expressions: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    columns = {f"c{n}": text for n, text in enumerate(expressions)}
    table = LocalEngine(Limits(1 << 28)).project(make_values(), columns, "test")
    return {text: spell(table[name]) for name, text in columns.items()}


@pytest.mark.parametrize("start", range(0, len(EXPECTED), 50))
def test_this_machine_gives_the_stored_values_of_spark(start: int) -> None:
    some = [*EXPECTED][start : start + 50]
    answers = project(some)
    assert {text: answers[text] for text in some} == {text: EXPECTED[text] for text in some}


AGGREGATES = """
    Count Min Max CountIf LogicalAnd LogicalOr RowNumber Rank DenseRank Lag Lead Ntile FirstValue
    LastValue Filter Sum Avg Window
"""
OF_QUERIES = "Distinct Explode Unnest Inline Posexplode Alias Exists Kwarg"


def test_every_operator_that_is_taken_is_compared_with_spark() -> None:
    trees = [parse_expression(text) for text in EXPECTED]
    seen = {type(node).__name__ for tree in trees for node in tree.walk()}
    called = {node.name.lower() for tree in trees for node in tree.find_all(exp.Anonymous)}
    assert (SAME | {*rules()}) - seen - {*AGGREGATES.split(), *OF_QUERIES.split()} == set()
    assert {*CALLS} - called == set()


@pytest.mark.parametrize(
    "expression",
    [
        *("LN(x)", "EXP(x)", "POWER(x, 2)", "SIN(x)", "LOG10(x)", "CBRT(x)"),
        *("HASH(u)", "INITCAP(u)", "NEXT_DAY(dt, 'MON')", "MONTHS_BETWEEN(dt, du)"),
        *("TO_DATE(u, 'dd.MM.yyyy')", "DATE_FORMAT(ts, 'E')", "EXTRACT(SECOND FROM ts)"),
        *("CAST(u AS BINARY)", "u ILIKE 'a'", "ARRAY_DISTINCT(l)", "l[i]", "ROUND(x, -1)"),
        *("EXISTS(l, v -> v > 1)", "PERCENTILE(x, 0.5)", "TO_UTC_TIMESTAMP(ts, 'Europe/Oslo')"),
        *("u RLIKE 'a(?=b)'", "u RLIKE '\\\\bx'", "u RLIKE t", "REGEXP_REPLACE(u, 'x*', '-')"),
        *("REGEXP_REPLACE(u, '(a)', '$1')", "SPLIT(u, ',', 2)", "ts AT TIME ZONE 'UTC'"),
    ],
)
def test_what_the_engines_compute_differently_is_refused(expression: str) -> None:
    for write in (translate, spark_sql, check_sql):
        with pytest.raises(ConfigError):
            write(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("RAND()", "RAND has another value in each run"),
        ("now()", "NOW has another value in each run"),
        ("reflect('java.lang.System', 'exit', 1)", "reflect calls Java"),
        ("a + java_method('java.lang.Runtime', 'x')", "java_method calls Java"),
        ("uper(a)", "there is no function UPER"),
        ("LN(a)", "LN differs between the engines"),
        ("PMOD(a)", "pmod takes 2 arguments"),
    ],
)
def test_refusals_name_the_function(expression: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(expression)
    assert message.lower() in caught.value.message.lower()
    with pytest.raises(ConfigError):
        check_sql(f"SELECT {expression} AS x FROM t", is_query=True)


def test_the_nearest_function_is_proposed() -> None:
    with pytest.raises(ConfigError) as caught:
        translate("uper(a)")
    assert "upper" in str(caught.value.hint)


def test_functions_of_setups_are_taken_by_the_names_they_are_created_with() -> None:
    setups = [
        "CREATE TEMPORARY FUNCTION Twice(x DOUBLE) RETURNS DOUBLE RETURN x * 2",
        "create or replace macro half(x) as x / 2",
    ]
    assert functions_in(setups) == ("twice", "half")
    assert translate("twice(a) + half(b)", functions_in(setups))
    with pytest.raises(ConfigError, match="TWICE"):
        translate("twice(a)")


def test_patterns_mean_the_same_at_the_ends_of_lines() -> None:
    assert common_pattern("^a.b$") == "\\Aa[^\\n\\r\u0085\u2028\u2029]b\\z"
    assert common_pattern("[0-9]{2,4}(?:x|y)+?") == "[0-9]{2,4}(?:x|y)+?"
    with pytest.raises(ConfigError, match="from place 2 on"):
        common_pattern("a\\Bc")


@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/Los_Angeles"])
def test_the_zone_of_the_machine_changes_no_value(zone: str) -> None:
    texts = [t for t in EXPECTED if "ts" in t or "CAST(n" in t or "unix" in t][:40]
    program = (
        "from tests.unit.feature_store.definition.test_dialect import project\n"
        f"print(repr(project({texts!r})))"
    )
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": os.pathsep.join([*sys.path, "."])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == repr({text: EXPECTED[text] for text in texts})
