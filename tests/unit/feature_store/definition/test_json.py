"""Definitions are the same after a way through JSON, and their digest follows their values."""

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import ConfigError
from gigacast.feature_store import (
    Aggregation,
    Derivation,
    ExternalPart,
    ExternalSource,
    GroupBy,
    JoinSource,
    Operation,
    StagingQuery,
    Window,
    select,
)
from gigacast.feature_store.definition.aggregation import OPERATIONS
from gigacast.feature_store.definition.json import (
    changed_fields,
    decode,
    encode,
    from_json,
    semantic_digest,
    to_json,
)
from gigacast.feature_store.definition.staging_query import replace_macro, replace_macros
from tests.unit.feature_store.definition.definitions import events, group_by, join

names = st.sampled_from(["kind", "name", "a", "b", "user_id", "Definition", "größe"])
# No text of a definition may hold the character zero.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
operations = st.sampled_from([getattr(Operation, name) for name in OPERATIONS]) | st.builds(
    Operation.LAST_K, st.integers(1, 99)
)
windows = st.builds(Window, st.integers(1, 99), st.sampled_from(["HOURS", "DAYS"]))
aggregations = st.builds(
    Aggregation,
    names,
    operations,
    windows=st.none() | st.lists(windows, max_size=2),
    buckets=st.none() | st.lists(names, max_size=2),
    element_wise=st.booleans(),
    tags=st.none() | st.dictionaries(names, texts, max_size=2),
)
group_bys = st.builds(
    group_by,
    sources=st.lists(
        st.builds(
            events,
            st.none() | texts,
            selects=st.none() | st.dictionaries(names, texts, max_size=3),
            wheres=st.none() | st.lists(texts, max_size=2),
        ),
        max_size=2,
    ),
    keys=st.lists(names, max_size=2),
    aggregations=st.none() | st.lists(aggregations, max_size=3),
    accuracy=st.sampled_from([None, "TEMPORAL", "SNAPSHOT"]),
    derivations=st.none() | st.lists(st.builds(Derivation, names, texts), max_size=2),
    env=st.none() | st.just({"backfill": {"kind": "1"}}),
    online=st.booleans(),
)


@given(group_bys)
def test_a_group_by_comes_back_from_json_as_it_was(group: GroupBy) -> None:
    content = encode(group, {"columns": ["x"]})
    assert decode(content, "key") == group
    assert encode(decode(content, "key"), {"columns": ["x"]}) == content
    assert pickle.loads(pickle.dumps(group)) == group


@given(group_bys)
def test_a_join_with_external_parts_and_a_parent_comes_back_as_it_was(group: GroupBy) -> None:
    service = ExternalSource(
        name="risk",
        key_fields=[("user_id", "long")],
        value_fields=[("kind", "double")],
        factory_config={"kind": "Join"},
        offline_group_by=group,
    )
    parent = join(group, online_external_parts=[ExternalPart(source=service)])
    child = join(group_by(sources=[JoinSource(join=parent)]), skew_keys={"user_id": ["1", "2"]})
    assert decode(encode(child, {}), "key") == child


def test_the_lines_of_all_parts_are_kept_with_short_names_of_their_files() -> None:
    group = group_by()
    restored = decode(encode(group, {}, lambda file: file.rpartition("/")[2]), "key")
    assert restored == group
    for before, after in (
        (group, restored),
        (group.sources[0].query, restored.sources[0].query),  # type: ignore[union-attr]
        (group.aggregations[0], restored.aggregations[0]),  # type: ignore[index, union-attr]
    ):
        assert (after.place.file, after.place.line) == ("definitions.py", before.place.line)
    assert decode(encode(group, {}), "key").place.file == "key"


def test_the_order_of_selects_stays() -> None:
    group = group_by(sources=[events(selects=select("z", "a", m="1"))])
    restored = decode(encode(group, {}), "key")
    assert list(restored.sources[0].query.selects) == ["z", "a", "m"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"description": "other"},
        {"tags": {"a": "b"}},
        {"offline_schedule": "@weekly"},
        {"deprecation_date": "2030-01-01"},
        {"backfill_start_date": "2020-01-01"},
        {"online": True},
        {"production": True},
        {"env": {"backfill": {"CORES": "2"}}},
        {"table_properties": {"a": "b"}},
    ],
)
def test_the_digest_keeps_when_no_value_of_a_feature_changes(change: dict[str, Any]) -> None:
    changed = replace(group_by(), **change)
    assert semantic_digest(changed) == semantic_digest(group_by())
    assert semantic_digest(join(changed)) == semantic_digest(join())
    assert changed_fields(group_by(), changed) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"keys": ["other"]},
        {"aggregations": [Aggregation("price", Operation.MAX)]},
        {"accuracy": "TEMPORAL"},
        {"sources": [events(selects=select(price="price * 2"))]},
        {"sources": [events(start_partition="2024-01-01")]},
        {"derivations": [Derivation("d", "price_sum")]},
        {"name": "team.other.v1"},
        {"output_namespace": "other"},
    ],
)
def test_the_digest_changes_with_the_values_of_features(change: dict[str, Any]) -> None:
    changed = replace(group_by(), **change)
    assert semantic_digest(changed) != semantic_digest(group_by())
    assert semantic_digest(join(changed)) != semantic_digest(join())
    assert changed_fields(group_by(), changed) == tuple(change)


def test_a_digest_that_was_stored_stays() -> None:
    assert semantic_digest(group_by()) == "1048a095e05cfdf4"
    assert semantic_digest(join()) == "c31237eddb9a79a3"
    assert semantic_digest(StagingQuery(query="SELECT 1 AS a", name="t.q")) == "20ae24e430e76f05"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "definition": {"kind": "Window"}}'],
)
def test_an_object_that_is_no_definition_is_refused_by_its_key(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"the/key\.json"):
        decode(content, "the/key.json")


def test_fields_that_this_release_does_not_know_are_named() -> None:
    content = {**to_json(group_by()), "colour": "red"}
    with pytest.raises(ConfigError, match="other fields than this release knows: colour"):
        from_json(content, "key")
    assert json.dumps(to_json(group_by()))


def test_macros_become_days() -> None:
    dates = {"start_date": "2024-01-01", "end_date": "2024-01-02", "latest_date": "2024-01-03"}
    sql = "{{ start_date }} {{END_DATE}} {{latest_date}} {{max_date(table=db.t)}} {{ other }}"
    text = replace_macros(sql, dates, lambda table: f"max of {table}")
    assert text == "2024-01-01 2024-01-02 2024-01-03 max of db.t {{ other }}"


def test_a_macro_with_a_malformed_argument_stays() -> None:
    assert replace_macro("{{ f(a=1+2) }} {{ f(3) }}", "f", lambda _: "x") == (
        "{{ f(a=1+2) }} {{ f(3) }}"
    )
    assert replace_macro("{{f( a = b, 3.1, c=d )}}", "f", str) == "{'a': 'b, 3.1', 'c': 'd'}"
