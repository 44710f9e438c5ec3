"""Logged answers come back as the values that were served, in the types of tables."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import DataError
from gigacast.feature_store.online.question import Request, Response
from gigacast.feature_store.trust.logged import batch_ends_of, failures_of, features_of, keys_of
from gigacast.feature_store.trust.record import record_of, table_of

MAP = pa.map_(pa.string(), pa.int64())
BIG = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 2**42).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
NAIVE_TIMES = TIMES.map(lambda time: time.replace(tzinfo=None))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
KINDS: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), BIG),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.float64(), FLOATS),
    (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pa.string(), st.text()),
    (pa.bool_(), st.booleans()),
    (pa.binary(), st.binary()),
    (pa.date32(), st.dates(date(1970, 1, 1), date(2100, 1, 1))),
    (pa.timestamp("us"), NAIVE_TIMES),
    (
        pa.timestamp("us", "UTC"),
        TIMES,
    ),
    (pa.list_(pa.int64()), st.lists(st.one_of(st.none(), BIG), max_size=3)),
    (pa.list_(pa.string()), st.lists(st.text(), max_size=3)),
    (pa.list_(pa.date32()), st.lists(st.dates(date(1970, 1, 1), date(2100, 1, 1)), max_size=3)),
    (MAP, st.dictionaries(st.text(), BIG, max_size=3)),
    (
        pa.map_(pa.string(), pa.list_(pa.int64())),
        st.dictionaries(st.text(), st.lists(BIG, max_size=2), max_size=2),
    ),
]  # fmt: skip


def logged(values: list[dict[str, Any]], keys: list[dict[str, Any]] | None = None) -> pa.Table:
    responses = [
        Response(Request("j", mine), n, answer)
        for n, (answer, mine) in enumerate(zip(values, keys or [{}] * len(values), strict=True))
    ]
    return table_of([record_of("d", response, {}, 0) for response in responses])


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@given(data=st.data())
def test_every_feature_comes_back_as_it_was_served(
    kind: pa.DataType, values: Any, data: Any
) -> None:
    rows = data.draw(st.lists(st.one_of(st.none(), values), max_size=4))
    records = logged([{"f": value, "other": "x"} for value in rows])
    column = features_of(records, {"f": kind})["f"]
    assert column.type == kind
    back = column.to_pylist()
    if pa.types.is_map(kind):
        back = [None if value is None else dict(value) for value in back]
    assert back == rows


def test_an_answer_without_a_feature_has_none() -> None:
    records = logged([{}, {"f": 1}])
    assert features_of(records, {"f": pa.int64()})["f"].to_pylist() == [None, 1]


def test_a_float_in_the_place_of_an_integer_stays_a_float() -> None:
    records = logged([{"f": 3.0, "g": 2**60 + 1}, {"f": 1, "g": 1}])
    columns = features_of(records, {"f": pa.int64(), "h": pa.string()})
    assert columns["f"].to_pylist() == [3.0, 1.0]


def test_a_value_of_another_type_is_an_error() -> None:
    with pytest.raises(DataError, match="values that cannot be read"):
        features_of(logged([{"f": "text"}]), {"f": pa.int64()})


def test_long_answers_are_read() -> None:
    text = "x" * (5 << 20)
    columns = features_of(logged([{"f": text}, {"f": "y"}]), {"f": pa.string()})
    assert columns["f"].to_pylist() == [text, "y"]


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        (pa.int64(), ["5", 5, "x", None], [5, 5, None, None]),
        (pa.string(), ["5", 5, "x", None], ["5", "5", "x", None]),
        (pa.float64(), [1.5, "1.5"], [1.5, 1.5]),
        (pa.bool_(), [True, "false"], [True, False]),
        (pa.date32(), ["2024-01-31", date(2024, 1, 31)], [date(2024, 1, 31)] * 2),
        (pa.binary(), [b"\x01", None], [b"\x01", None]),
        (pa.list_(pa.int64()), [[1, 2], None], [[1, 2], None]),
    ],
)
def test_keys_have_the_types_of_tables(
    kind: pa.DataType, texts: list[Any], expected: list[Any]
) -> None:
    records = logged([{}] * len(texts), [{"k": value} for value in texts])
    assert keys_of(records, {"k": kind})["k"].to_pylist() == expected


def test_parts_that_failed_are_found_by_row() -> None:
    request = Request("j", {})
    answers = [
        Response(request, 0),
        Response(request, 0, {}, {"a": "down"}),
        Response(request, 0, {}, {"": "all"}),
    ]
    records = table_of(
        [record_of("d", r, {"a": 7} if n == 0 else {}, 0) for n, r in enumerate(answers)]
    )
    parts, anything = failures_of(records["errors"], ["a", "b"])
    assert parts["a"].tolist() == [False, True, True]
    assert parts["b"].tolist() == [False, False, True]
    assert anything.tolist() == [False, True, True]
    assert batch_ends_of(records, ["a", "b"])["a"].to_pylist() == [7, None, None]
    assert failures_of(records["errors"].slice(0, 0), ["a"])[1].dtype == np.bool_
