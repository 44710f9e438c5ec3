"""The parts of a contract check that need several batches, files or modes."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Column, Contract, Mode
from gigacast.core.contract.rule import Rule

CONTRACT = Contract(
    "small",
    (
        Column("item", "string", nullable=False),
        Column("at", "timestamp[us]", nullable=False),
        Column("value", "float64", minimum=0, maximum=10),
        Column("note", "string", required=False),
    ),
    unique=(("item", "at"),),
    ordered_by=("item", "at"),
    rules=(Rule("value < 9"),),
)
SCHEMA = pa.schema({"item": pa.string(), "at": pa.timestamp("us"), "value": pa.float64()})


def rows(*triples: tuple[Any, Any, Any], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    columns = zip(*triples, strict=True)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def counts(check: ContractCheck) -> dict[tuple[str, str], int]:
    return {(v.column, v.rule): v.count for v in check.report().violations}


def test_rows_of_several_batches_are_numbered_from_the_first() -> None:
    check = ContractCheck(CONTRACT, SCHEMA)
    check.add(rows(("a", 1, 1.0), ("a", 2, -1.0)))
    check.add(rows(("a", 3, -2.0)))
    report = check.report()
    assert (report.rows, report.bad_rows) == (3, 2)
    (violation,) = report.violations
    assert (violation.rule, violation.count) == (">= 0", 2)
    assert [entry["row"] for entry in violation.sample] == [1, 2]


def test_rows_that_repeat_a_key_are_bad_and_counted_elsewhere() -> None:
    check = ContractCheck(CONTRACT, SCHEMA)
    _, good = check.add(rows(("a", 1, 1.0), ("a", 1, 1.0)), np.array([False, True]))
    assert good.tolist() == [True, False]
    assert counts(check) == {}
    check.add_duplicates(("item", "at"), np.array([1]), [{"row": 1}])
    assert counts(check) == {("item, at", "unique"): 1}
    assert check.report().bad_rows == 1


def test_no_duplicates_and_no_disorder_are_no_violation() -> None:
    check = ContractCheck(CONTRACT, SCHEMA)
    check.add_duplicates(("item", "at"), np.empty(0, np.int64), [])
    check.add_disorder(np.empty(0, np.int64), [])
    assert counts(check) == {}


def test_a_row_that_is_bad_in_several_ways_counts_once() -> None:
    check = ContractCheck(CONTRACT, SCHEMA)
    check.add(rows(("a", 1, 1.0), ("a", 2, -1.0)))
    check.add(rows(("a", 3, 1.0), ("a", 4, 1.0), ("b", 1, -1.0)))
    check.add_disorder(np.array([1, 3]), [{"row": 1}])
    check.add_duplicates(("item", "at"), np.array([3, 4, 2]), [])
    assert counts(check)["item, at", "ordered"] == 2
    # Rows 1 and 4 break a limit, 1 and 3 the order, 2, 3 and 4 the key.
    assert check.report().bad_rows == 4


def test_rows_out_of_order_are_reported_or_only_noted() -> None:
    back = rows(("b", 1, 1.0), ("a", 1, 1.0))
    reporting, noting = (
        ContractCheck(CONTRACT, SCHEMA),
        ContractCheck(CONTRACT, SCHEMA, order_later=True),
    )
    assert reporting.add(back)[1].tolist() == [True, False]
    assert noting.add(back)[1].tolist() == [True, True]
    assert (counts(reporting), counts(noting)) == ({("item, at", "ordered"): 1}, {})
    assert reporting.went_back
    assert noting.went_back
    noting.add(rows(("c", 1, 1.0)))
    assert noting.went_back, "a later batch in order changes nothing"
    ordered = ContractCheck(CONTRACT, SCHEMA)
    ordered.add(rows(("a", 1, 1.0), ("b", 1, 1.0)))
    assert not ordered.went_back


def test_each_file_has_an_order_of_its_own() -> None:
    check = ContractCheck(CONTRACT, SCHEMA)
    check.add(rows(("b", 1, 1.0)))
    check.begin_file()
    check.add(rows(("a", 1, 1.0)))
    assert counts(check) == {}
    check.add(rows(("a", 0, 1.0)))
    assert counts(check) == {("item, at", "ordered"): 1}
    unordered = ContractCheck(Contract("u", CONTRACT.columns), SCHEMA)
    unordered.begin_file()
    unordered.add(rows(("b", 1, 1.0), ("a", 1, 1.0)))
    assert (unordered.order, counts(unordered)) == ((), {})


@pytest.mark.parametrize(
    ("order", "proven"),
    [([("a", 1), ("a", 2), ("b", 1)], True), ([("a", 1), ("b", 1), ("a", 2)], True),
     ([("a", 1), ("b", 2), ("a", 2)], False), ([("b", 2), ("b", 1), ("a", 3)], False),
     ([("a", 1), ("a", 1)], False)],
)  # fmt: skip
def test_a_key_is_proven_by_the_order_of_its_columns_in_either_way(
    order: list[tuple[str, int]], proven: bool
) -> None:
    check = ContractCheck(Contract("k", CONTRACT.columns, unique=(("item", "at"),)), SCHEMA)
    for item, at in order:
        check.add(rows((item, at, 1.0)))
    assert (check.unproven == []) == proven
    assert check.keys == [("item", "at")]


def test_a_key_of_three_is_proven_by_the_order_of_the_contract() -> None:
    columns = tuple(Column(name, "int64") for name in "abc")
    contract = Contract("three", columns, unique=(("a", "b", "c"),), ordered_by=("b", "a", "c"))
    schema = pa.schema({name: pa.int64() for name in "abc"})
    check = ContractCheck(contract, schema)
    for row in ((2, 1, 3), (3, 1, 1), (1, 2, 0)):
        check.add(rows(row, schema=schema))
    assert check.unproven == []


def test_missing_columns_and_wrong_types_are_violations_and_unknown_columns_a_warning() -> None:
    schema = pa.schema({"item": pa.string(), "value": pa.list_(pa.int64()), "x": pa.int64()})
    for mode, warned in ((Mode.STRICT, True), (Mode.COERCE, False), (Mode.IGNORE, False)):
        check = ContractCheck(CONTRACT, schema, mode)
        report = check.report()
        assert {(v.column, v.rule): v.count for v in report.violations}.keys() == {
            ("at", "missing column"),
            ("value", "type"),
        }
        assert bool(report.warnings) == warned
        # What needs a faulty column is left out.
        assert (check.keys, check.order) == ([], ())
        batch = pa.RecordBatch.from_arrays(
            [pa.array(["a"]), pa.array([[1]]), pa.array([1])], schema=schema
        )
        converted, good = check.add(batch)
        assert converted.schema.names == ["item", "value", "x"]
        assert good.tolist() == [True]


def test_a_column_that_may_be_absent_is_left_out_of_its_keys() -> None:
    contract = Contract("k", CONTRACT.columns, unique=(("item", "note"),))
    assert ContractCheck(contract, SCHEMA).keys == [("item",)]


def test_ignored_types_are_reported_and_their_values_stay() -> None:
    schema = pa.schema({"item": pa.string(), "at": pa.timestamp("us"), "value": pa.string()})
    batch = rows(("a", 1, "5"), schema=schema)
    ignoring = ContractCheck(CONTRACT, schema, Mode.IGNORE)
    assert ignoring.convert(batch)[0].equals(batch)
    assert ("value", "type") in counts(ignoring)
    coercing = ContractCheck(CONTRACT, schema, Mode.COERCE)
    converted, good = coercing.add(batch)
    assert converted.column("value").to_pylist() == [5.0]
    assert (good.tolist(), counts(coercing)) == ([True], {})


def test_a_value_of_another_type_is_no_missing_value() -> None:
    contract = Contract("n", (Column("n", "int64", nullable=False),))
    schema = pa.schema({"n": pa.string()})
    check = ContractCheck(contract, schema, Mode.COERCE)
    _, good = check.add(pa.RecordBatch.from_arrays([pa.array(["1", "x", None])], schema=schema))
    assert good.tolist() == [True, False, False]
    assert counts(check) == {("n", "type"): 1, ("n", "not null"): 1}
    shown = {v.rule: v.sample for v in check.report().violations}
    assert shown["type"] == ({"row": 1, "n": "x"},)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int8()])
def test_limits_include_their_ends_in_every_type(kind: pa.DataType) -> None:
    name = {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
    contract = Contract("l", (Column("n", name, minimum=2, maximum=4),))
    schema = pa.schema({"n": kind})
    values = np.array([1, 2, 3, 4, 5]).astype(kind.to_pandas_dtype())
    check = ContractCheck(contract, schema)
    _, good = check.add(pa.RecordBatch.from_arrays([pa.array(values, kind)], schema=schema))
    assert good.tolist() == [False, True, True, True, False]
    assert counts(check) == {("n", ">= 2"): 1, ("n", "<= 4"): 1}


def test_columns_without_values_break_no_limit() -> None:
    contract = Contract("l", (Column("n", "float64", minimum=2, allowed=(2.0, 3.0)),))
    schema = pa.schema({"n": pa.float64()})
    check = ContractCheck(contract, schema)
    check.add(pa.RecordBatch.from_arrays([pa.array([None, None], pa.float64())], schema=schema))
    assert counts(check) == {}


def test_text_times_are_settled_by_the_first_rows() -> None:
    contract = Contract("t", (Column("at", "timestamp"),))
    schema = pa.schema({"at": pa.string()})
    check = ContractCheck(contract, schema, Mode.COERCE)
    for text in ("2024-01-01T00:00:00+01:00", "2024-01-02T00:00:00+01:00"):
        converted, good = check.add(pa.RecordBatch.from_arrays([pa.array([text])], schema=schema))
        assert good.all()
        assert converted.schema.field("at").type.tz is not None
    assert check.schema.field("at").type == converted.schema.field("at").type
