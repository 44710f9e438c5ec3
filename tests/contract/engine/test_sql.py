"""Queries and keys: what every engine computes alike, and what none of them runs."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import ConfigError
from gigacast.feature_store.aggregation.kernel import Queries
from gigacast.feature_store.aggregation.operation import Call
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.engine.engine import TIME, Engine, Scan
from gigacast.storage.store import Store
from tests.support.features.engines import DAY, FIRST, make, read
from tests.support.features.spark import needs_spark

pytestmark = pytest.mark.timeout(900)  # Java starts with the first test


def test_a_query_reads_the_tables_that_it_names_and_no_other(engine: Engine, store: Store) -> None:
    reading = read(store, pa.table({"user": [2, 1, 2], "price": [1.5, 2.0, 3.0]}))
    query = (
        "WITH big AS (SELECT r.user, r.price FROM db.rows r WHERE price > 1.6) "
        "SELECT user, MAX(price) AS top FROM big GROUP BY user ORDER BY user"
    )
    rows = engine.sql(query, {"db.rows": reading}, (), "staging query team.q")
    assert rows.to_pydict() == {"user": [1, 2], "top": [2.0, 3.0]}
    with pytest.raises(ConfigError, match=r"staging query team\.q"):
        engine.sql("SELECT * FROM db.other", {"db.rows": reading}, (), "staging query team.q")
    with pytest.raises(ConfigError, match=r"staging query team\.q"):
        engine.sql("SELECT nothing FROM db.rows", {"db.rows": reading}, (), "staging query team.q")


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([0.0, -0.0, 0.5, None, float("nan")] * 4),
        pa.array([0, 5, None, -5, 5] * 4).cast(pa.decimal128(20, 0)),
        pa.array([0, 5, None, -5, 5] * 4, pa.int32()).cast(pa.date32()),
        pa.array([True, False, None, True, True] * 4),
    ],
    ids=["fractions", "decimals", "days", "booleans"],
)
def test_keys_may_be_of_any_type(engine: Engine, store: Store, keys: pa.Array) -> None:
    table = pa.table({"user": keys, "amount": range(20), "at": [FIRST] * 20})
    reading = read(store, table, columns={"user": "user", "amount": "amount"}, times={TIME: "at"})
    scan = Scan(("user",), engine.schema(reading), (), (reading,))
    queries = Queries([keys.slice(0, 5)], np.full(5, FIRST + DAY))
    features = engine.aggregate(queries, scan, [Part("sum", "amount", Call("SUM"))])
    groups: dict[str, int] = {}
    for key, amount in zip(keys.to_pylist(), range(20), strict=True):
        groups[spelled(key)] = groups.get(spelled(key), 0) + amount
    expected = [None if k is None else groups[spelled(k)] for k in keys.slice(0, 5).to_pylist()]
    assert features["sum"].to_pylist() == expected


def spelled(key: object) -> str:
    """Return a key as a text; both zeros are one key."""
    return repr(key + 0.0) if isinstance(key, float) else repr(key)


def test_aggregates_and_windows_of_a_query_have_the_values_of_spark(
    engine: Engine, store: Store
) -> None:
    table = pa.table(
        {
            "user": [1, 1, 2, 2, None],
            "n": pa.array([2**31 - 1, 1, None, 5, 7], pa.int32()),
            "x": [0.5, None, 2.0, 4.0, 1.0],
            "ok": [True, False, None, True, True],
        }
    )
    query = (
        "SELECT user, SUM(n) AS total, SUM(x) AS sum, AVG(n) AS mean, COUNT(n) AS count, "
        "COUNT(DISTINCT ok) AS kinds, MAX(x) AS top, COUNT_IF(ok) AS right, "
        "BOOL_OR(ok) AS any, SUM(n) * 2 AS double, ROUND(SUM(x) / 3, 2) AS part, "
        "CAST(SUM(x) AS INT) AS cut, SUM(n) % 4 AS rest FROM db.rows GROUP BY user ORDER BY user"
    )
    rows = engine.sql(query, {"db.rows": read(store, table)}, (), "staging query team.q")
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        (None, 7, 1.0, 7.0, 1, 1, 1.0, 1, True, 14, 0.33, 1, 3),
        (1, 2**31, 0.5, 2.0**30, 2, 2, 0.5, 1, True, 2**32, 0.17, 0, 0),
        (2, 5, 6.0, 5.0, 1, 1, 4.0, 1, True, 10, 2.0, 6, 1),
    ]
    assert rows.schema.field("total").type == pa.int64()
    windows = (
        "SELECT n, ROW_NUMBER() OVER (ORDER BY n) AS place, LAG(n) OVER (ORDER BY n) AS before, "
        "SUM(n) OVER (ORDER BY n) AS running FROM db.rows ORDER BY n DESC"
    )
    rows = engine.sql(windows, {"db.rows": read(store, table)}, (), "staging query team.q")
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        (2**31 - 1, 5, 7, 2**31 + 12),
        (7, 4, 5, 13),
        (5, 3, 1, 6),
        (1, 2, None, 1),
        (None, 1, None, None),
    ]


@pytest.mark.parametrize(
    "expression", ["reflect('java.lang.System', 'nanoTime')", "java_method('java.lang.Math', 'x')"]
)
def test_calls_of_java_are_refused(engine: Engine, store: Store, expression: str) -> None:
    reading = read(store, pa.table({"a": [1]}), columns={"b": expression})
    with pytest.raises(ConfigError, match="calls Java"):
        engine.rows(reading)
    with pytest.raises(ConfigError, match="calls Java"):
        engine.project(pa.table({"a": [1]}), {"b": expression}, "join team.x")
    query = f"SELECT {expression} AS x FROM db.rows"
    with pytest.raises(ConfigError, match="calls Java"):
        engine.sql(query, {"db.rows": replace(reading, columns=None)}, (), "staging query team.q")


@needs_spark
@pytest.mark.parametrize(
    "setup",
    [
        "CREATE TEMPORARY FUNCTION f AS 'a.b.C' USING JAR 'hdfs://x/y.jar'",
        "CREATE TEMPORARY FUNCTION f AS 'a.b.C' USING FILE '/etc/passwd'",
        "ADD JAR 'http://127.0.0.1/x.jar'",
        "CREATE FUNCTION f AS 'a.b.C'",
        "SET spark.sql.ansi.enabled = true",
        "DROP TABLE x",
    ],
)
def test_statements_that_load_code_or_change_the_session_are_refused(
    store: Store, setup: str
) -> None:
    reading = read(store, pa.table({"a": [1]}), columns={"b": "a"}, setups=(setup,))
    with pytest.raises(ConfigError, match=r"is none that engine=.spark. runs"):
        make("spark").rows(reading)


@needs_spark
@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM parquet.`/etc`",
        "SELECT * FROM csv.`/etc/passwd`",
        "SELECT * FROM db.rows UNION SELECT * FROM text.`/etc/passwd`",
    ],
)
def test_a_query_reads_no_files_by_their_paths(store: Store, query: str) -> None:
    tables = {"db.rows": read(store, pa.table({"a": [1]}))}
    with pytest.raises(ConfigError, match="there is no table"):
        make("spark").sql(query, tables, (), "staging query team.q")
