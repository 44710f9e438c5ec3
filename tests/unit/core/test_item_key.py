"""Keys of several id columns: values come back as they were, and no two combinations meet."""

import datetime as dt
import decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.series.item_key import ItemKey, ids_as, item_names, items_of
from gigacast.errors import ConfigError

# Characters that the encoding treats in a special way, beside ordinary ones.
TEXTS = st.text(st.sampled_from("ab_~/01 \\é|-"), max_size=5)
KINDS: dict[pa.DataType, st.SearchStrategy[object]] = {
    pa.string(): TEXTS,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.bool_(): st.booleans(),
    pa.decimal128(8, 2): st.decimals(-9999, 9999, places=2),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.datetimes(
        dt.datetime(1, 1, 2),  # noqa: DTZ001 - the zone is drawn
        dt.datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=st.just(dt.UTC),
    ),
    pa.time64("us"): st.times(),
    pa.duration("us"): st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
}


@st.composite
def keyed_rows(draw: st.DrawFn) -> tuple[ItemKey, list[tuple[object, ...]]]:
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3))
    rows = draw(st.lists(st.tuples(*(KINDS[kind] for kind in kinds)), max_size=8))
    return ItemKey(tuple(f"c{n}" for n in range(len(kinds))), tuple(kinds)), rows


def columns_of(key: ItemKey, rows: list[tuple[object, ...]]) -> list[pa.Array]:
    return [pa.array([row[n] for row in rows], kind) for n, kind in enumerate(key.types)]


@given(keyed_rows())
def test_values_come_back_in_their_types(case: tuple[ItemKey, list[tuple[object, ...]]]) -> None:
    key, rows = case
    columns = columns_of(key, rows)
    decoded = key.decode(key.encode(columns))
    assert all(got.equals(given) for got, given in zip(decoded, columns, strict=True))


@given(keyed_rows())
def test_combinations_share_a_key_only_if_they_are_equal(
    case: tuple[ItemKey, list[tuple[object, ...]]],
) -> None:
    key, rows = case
    keys = key.encode(columns_of(key, rows)).to_pylist()
    assert len(set(keys)) == len(set(rows))


def test_the_separator_within_a_value_is_no_border() -> None:
    key = ItemKey(("x", "y"), (pa.string(), pa.string()))
    keys = key.encode([pa.array(["a/b", "a", "a~1b"]), pa.array(["c", "b/c", "c"])])
    assert keys.to_pylist() == ["a~1b/c", "a/b~1c", "a~01b/c"]


def test_a_missing_value_makes_the_key_missing() -> None:
    key = ItemKey(("x", "y"), (pa.string(), pa.int64()))
    keys = key.encode([pa.array(["a", None, "c"]), pa.array([1, 2, None])])
    assert keys.to_pylist() == ["a/1", None, None]


def stored() -> pa.Table:
    table = pa.table({"store": pa.array([1, 2]), "sku": ["a/b", "c"], "predictions": [0.5, 1.5]})
    key = ItemKey(("store", "sku"), (pa.int64(), pa.string()))
    return table.replace_schema_metadata(key.metadata)


def test_stored_outputs_say_which_columns_name_their_items() -> None:
    assert item_names(stored().schema) == ("store", "sku")
    assert items_of(stored()).to_pylist() == ["1/a~1b", "2/c"]
    plain = pa.table({"item_id": ["a"]})
    assert item_names(plain.schema) == ("item_id",)
    assert items_of(plain).to_pylist() == ["a"]


def test_callers_name_items_by_tuples_or_keys() -> None:
    given_ids: list[object] = [(1, "a/b"), ["2", "c"], "2/c"]
    assert ids_as(given_ids, stored().schema).to_pylist() == ["1/a~1b", "2/c", "2/c"]
    assert ids_as([], stored().schema).to_pylist() == []
    with pytest.raises(ConfigError, match="a value for each of store, sku"):
        ids_as([(1,)], stored().schema)


def test_decimals_keep_their_scale() -> None:
    key = ItemKey(("x",), (pa.decimal128(5, 2),))
    values = pa.array([decimal.Decimal("1.10"), decimal.Decimal("-0.05")], pa.decimal128(5, 2))
    (decoded,) = key.decode(key.encode([values]))
    assert decoded.equals(values)
