"""Contracts: their form, their rules, and an engine that agrees with a slow loop over rows."""

import random
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.contract.cast import cast_column
from gigacast.core.contract.definition import (
    Column,
    Contract,
    Mode,
    format_contract,
    parse_contract,
    parse_type,
)
from gigacast.core.contract.drift import drift_of_contracts, needed_change
from gigacast.core.contract.inference import infer_contract
from gigacast.core.contract.order import OrderWatch
from gigacast.core.contract.predefined import OHLCV_SCHEMA, PREDEFINED
from gigacast.core.contract.rule import Rule
from gigacast.core.contract.sample import sample_rows
from gigacast.core.dataset.version import Change
from gigacast.datasets.check import RowSource, check_rows, filter_table
from gigacast.errors import ConfigError

CONTRACT = Contract(
    "small",
    (
        Column("id", "int64", nullable=False),
        Column("side", "string", allowed=("buy", "sell")),
        Column("bid", "float64", minimum=0),
        Column("ask", "float64", maximum=100),
    ),
    unique=(("id", "side"),),
    ordered_by=("id",),
    rules=(Rule("ask >= bid"), Rule("ask < 50 or bid > 5")),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | st.integers(0, 5),
            "side": st.none() | st.sampled_from(["buy", "sell", "hold"]),
            "bid": st.none() | st.sampled_from([-1.0, 0.0, 4.0, 60.0, float("nan")]),
            "ask": st.none() | st.sampled_from([0.0, 4.0, 70.0, 101.0]),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    {"id": pa.int64(), "side": pa.string(), "bid": pa.float64(), "ask": pa.float64()}
)


def slow(rows: list[dict[str, Any]]) -> tuple[dict[str, int], list[bool]]:  # noqa: C901
    """What breaks, rule by rule, and which rows are good: one row after the other."""
    counts: dict[str, int] = {}
    good = []
    seen_keys: set[tuple[object, ...]] = set()
    greatest: int | None = None
    for row in rows:
        present = {k: v for k, v in row.items() if v is not None and str(v) != "nan"}
        broken = []
        if "id" not in present:
            broken.append("not null")
        if "side" in present and present["side"] not in {"buy", "sell"}:
            broken.append("allowed")
        if present.get("bid", 0) < 0:
            broken.append(">= 0")
        if present.get("ask", 0) > 100:
            broken.append("<= 100")
        if {"ask", "bid"} <= set(present) and present["ask"] < present["bid"]:
            broken.append("ask >= bid")
        low = present["ask"] < 50 if "ask" in present else None
        high = present["bid"] > 5 if "bid" in present else None
        if low is False and high is False:
            broken.append("ask < 50 or bid > 5")
        if "id" in present:
            if greatest is not None and present["id"] < greatest:
                broken.append("ordered")
            greatest = max(present["id"], greatest if greatest is not None else present["id"])
        if {"id", "side"} <= set(present):
            if (present["id"], present["side"]) in seen_keys:
                broken.append("unique")
            seen_keys.add((present["id"], present["side"]))
        for rule in broken:
            counts[rule] = counts.get(rule, 0) + 1
        good.append(not broken)
    return counts, good


@given(ROWS, st.integers(1, 5))
def test_violations_equal_those_of_a_slow_loop_for_any_batches(
    rows: list[dict[str, Any]], size: int
) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    source = RowSource(
        SCHEMA, lambda columns: table.select(columns or SCHEMA.names).to_batches(size)
    )
    counts, good = slow(rows)
    report = check_rows(source, CONTRACT)
    assert {violation.rule: violation.count for violation in report.violations} == counts
    assert (report.rows, report.bad_rows) == (len(rows), good.count(False))
    kept_rows, filtered = filter_table(table, CONTRACT)
    assert kept_rows.num_rows == good.count(True)
    expected = [row for row, ok in zip(rows, good, strict=True) if ok]
    assert str(kept_rows.to_pylist()) == str(pa.Table.from_pylist(expected, SCHEMA).to_pylist())
    assert filtered.bad_rows == report.bad_rows


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=15), st.integers(1, 4))
def test_a_row_is_out_of_order_if_it_is_below_any_earlier_row(
    rows: list[tuple[int, int]], size: int
) -> None:
    watch, problems = OrderWatch(["a", "b"]), []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        batch = pa.record_batch({"a": [a for a, _ in part], "b": [b for _, b in part]})
        back = watch.add(batch)
        problems += [False] * len(part) if back is None else back.tolist()
    assert problems == [any(row < before for before in rows[:n]) for n, row in enumerate(rows)]
    assert watch.strictly == all(a < b for a, b in pairwise(rows))


def test_every_violation_has_its_column_rule_count_and_first_rows() -> None:
    rows = [{"id": n, "side": "buy", "bid": -1.0 if n % 2 else 1.0, "ask": 2.0} for n in range(40)]
    (report,) = check_rows(
        RowSource.of_table(pa.Table.from_pylist(rows, SCHEMA)), CONTRACT
    ).violations
    assert (report.column, report.rule, report.count) == ("bid", ">= 0", 20)
    assert report.sample == tuple({"row": n, "bid": -1.0} for n in (1, 3, 5, 7, 9))
    assert str(report) == "bid: >= 0 in 20 rows (first: row 1, bid -1.0)"


@pytest.mark.parametrize(
    ("values", "kind", "mode", "given_back", "bad"),
    [
        (["1", " 2", "x", "", None], "int64", Mode.COERCE, [1, 2, None, None, None], [2]),
        (["2024-01-02", "never"], "timestamp[us]", Mode.COERCE, None, [1]),
        ([1.0, 2.5], "int64", Mode.STRICT, [1, None], [1]),
        ([1, 2**60 + 1], "float64", Mode.STRICT, [1.0, None], [1]),
        ([0.5, 0.1], "float32", Mode.STRICT, [0.5, None], [1]),
        ([0.5, 0.25], "float32", Mode.COERCE, [0.5, 0.25], []),
        ([1, 300], "int8", Mode.STRICT, [1, None], [1]),
        ([True, False], "string", Mode.COERCE, ["true", "false"], []),
    ],
)
def test_values_are_converted_or_named_one_by_one(
    values: list[Any], kind: str, mode: Mode, given_back: list[Any] | None, bad: list[int]
) -> None:
    converted, mask = cast_column(pa.array(values), parse_type(kind), mode)
    assert [
        n for n, is_bad in enumerate(mask.to_pylist() if mask is not None else []) if is_bad
    ] == bad
    if given_back is not None:
        assert converted.to_pylist() == given_back


def test_timestamps_as_text_keep_the_zone_they_say() -> None:
    contract = Contract("times", (Column("timestamp", "timestamp"),))
    table = pa.table({"timestamp": ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00"]})
    good, report = filter_table(table, contract, Mode.COERCE)
    assert report.ok
    assert good.schema.field("timestamp").type == pa.timestamp("us", "UTC")
    assert len(set(good["timestamp"].to_pylist())) == 1


# -- rules -----------------------------------------------------------------------------------------


def test_a_rule_may_use_arithmetic_and_unusual_names() -> None:
    rule = Rule("`my high` - low <= 2 * (close + 1) and not low < 0")
    rows = pa.table(
        {"my high": [5.0, 9.0, None], "low": [1.0, -1.0, -1.0], "close": [1.0, 9.0, 1.0]}
    )
    assert rule.columns == ("my high", "low", "close")
    assert rule.holds(rows).to_pylist() == [True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "high",
        "high >=",
        "high = low",
        "__import__('os')",
        "high.real > 1",
        "f(high) > 1",
        "high > [1]",
        "high > low if low else 1",
        "(high > low) > 1",
        "high in low",
        "high > True and 1",
    ],
)
def test_text_that_is_not_a_rule_is_never_evaluated(text: str) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        Rule(text)


# -- their form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", [*PREDEFINED, CONTRACT])
def test_a_contract_survives_yaml(contract: Contract) -> None:
    assert parse_contract(format_contract(contract), "here") == contract


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "here: not a contract: expected a mapping, got a list"),
        ("name: x", "not a contract: columns: missing"),
        ("name: x\ncolumns: [{name: a}]", r"columns\[0\]\.type: missing"),
        ("name: x\ncolumns: [{name: a, type: floot}]", "no column type 'floot'"),
        (
            "name: x\ncolumns: [{name: a, type: int64, minimun: 1}]",
            r"minimun: unknown key",
        ),
        ("name: x\ncolumns: [{name: a, type: int64, minimum: b}]", "minimum 'b' is no int64"),
        ("name: x\ncolumns: []\nrules: [a >= b]", "names 'a', which is no column"),
        ("name: x\ncolumns: []\nunique: [a]", "unique names 'a'"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("a: [", "not valid YAML"),
        ("name: x\ncolumns: [{name: [a], type: int64}]", r"columns\[0\]\.name: expected text"),
        ("name: x\ncolumns: {a: int64}", "columns: expected a list, got a mapping"),
        ("name: x\ncolumns: []\nunique: [1]", r"unique\[0\]: expected text or a list, got 1"),
    ],
)
def test_errors_in_a_contract_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_contract(text, "here")


# -- their own data, inference, drift --------------------------------------------------------------


@pytest.mark.parametrize("contract", [*PREDEFINED, CONTRACT])
@pytest.mark.parametrize("rows", [0, 1, 300])
def test_data_generated_from_a_contract_satisfies_it(contract: Contract, rows: int) -> None:
    fixed = (
        contract
        if contract is not CONTRACT
        else Contract("small", contract.columns, rules=contract.rules, ordered_by=("id",))
    )
    table = sample_rows(fixed, rows, seed=5)
    assert len(table) == rows
    assert check_rows(RowSource.of_table(table), fixed).ok


def test_contradictory_rules_generate_no_data() -> None:
    columns = (Column("a", "float64", nullable=False), Column("b", "float64", nullable=False))
    with pytest.raises(ConfigError, match="no rows found"):
        sample_rows(Contract("no", columns, rules=(Rule("a > b"), Rule("b > a"))), 5)


def test_an_inferred_contract_holds_for_its_rows_and_not_for_worse_ones() -> None:
    table = sample_rows(OHLCV_SCHEMA, 400).drop_columns(["symbol"]).sort_by("timestamp")
    inferred = infer_contract("bars", table.schema, table.to_batches(max_chunksize=50))
    assert check_rows(RowSource.of_table(table), inferred).ok
    assert {rule.text for rule in inferred.rules} == {
        "high >= low",
        "high >= open",
        "high >= close",
        "open >= low",
        "close >= low",
    }
    assert (inferred.unique, inferred.ordered_by) == ((("timestamp",),), ("timestamp",))
    assert (inferred.column("low").minimum, inferred.column("volume").nullable) == (0, True)  # type: ignore[union-attr]
    worse = pa.concat_tables([table, table.slice(0, 1)])
    assert {
        violation.rule for violation in check_rows(RowSource.of_table(worse), inferred).violations
    } == {
        "unique",
        "ordered",
    }


def test_dropped_promises_are_major_changes_and_added_ones_minor() -> None:
    def change(old: Contract, new: Contract) -> tuple[list[tuple[str, str]], Change]:
        changes = drift_of_contracts(old, new)
        return [(difference.field, difference.kind) for difference in changes], needed_change(
            changes
        )

    base = Contract("x", (Column("a", "int32", minimum=0), Column("b", "string", nullable=False)))
    tighter = Contract(
        "x",
        (Column("a", "int64", minimum=1), Column("b", "string", nullable=False)),
        unique=(("a",),),
    )
    assert change(base, base) == ([], Change.PATCH)
    assert change(base, tighter) == (
        [("a", "type"), ("a", "minimum"), ("a", "key added")],
        Change.MINOR,
    )
    assert change(tighter, base)[1] is Change.MAJOR
    looser = Contract("x", (Column("a", "int32", minimum=0),))
    assert change(base, looser) == ([("b", "removed")], Change.MAJOR)


def test_a_contract_without_an_order_accepts_rows_in_any_order() -> None:
    rows = [{"id": n % 7, "side": "buy", "bid": 1.0, "ask": 2.0} for n in range(50)]
    free = Contract("free", CONTRACT.columns, unique=CONTRACT.unique, rules=CONTRACT.rules)
    counts = set()
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        report = check_rows(RowSource.of_table(pa.Table.from_pylist(rows, SCHEMA)), free)
        counts.add((report.bad_rows, report.describe().partition(" (")[0]))
    assert counts == {(43, "id, side: unique in 43 rows")}


def test_a_rule_without_a_column_holds_for_every_row_or_for_none() -> None:
    rows = pa.record_batch({"n": [1, 2]})
    assert Rule("1 < 2").holds(rows).as_py() is True
    assert Rule("2 < 1").holds(rows).as_py() is False
