"""Fetches: keys, moments, errors of parts, derivations, external and contextual parts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gigacast.errors import StorageError
from gigacast.feature_store import (
    ContextualSource,
    Derivation,
    EventSource,
    ExternalPart,
    ExternalSource,
    Join,
    JoinPart,
    Query,
    select,
)
from gigacast.feature_store.definition.name import join_columns
from gigacast.feature_store.definition.number_kind import NumberKind
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.lookup import Answer
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request, Response
from gigacast.feature_store.online.serving import write_join
from gigacast.feature_store.online.wide import JoinLookup
from tests.support.features.served_events import DAY, END, GROUP_BY, NAME, ask, serve
from tests.support.features.vectors import read_vector

LEFT = EventSource(table="data.left", query=Query(selects=select("user"), time_column="ts"))
PART = "shop_returns_v1"


def make_join(**fields: Any) -> Join:
    values = {"right_parts": [JoinPart(GROUP_BY)], "online": True, "name": "shop.wide.v1"}
    return Join(left=LEFT, **{**values, **fields})


@pytest.fixture
def store() -> MemoryOnlineStore:
    store = MemoryOnlineStore()
    serve(store, [("5", END - 10, 1.0), ("5", END - DAY, 2.0), ("6", END - 10, None)])
    return store


def fetch(
    store: Any, join: Join, keys: Mapping[str, Any], services: Any = None, at: int = END
) -> Response:
    write_join(store, join)
    fetcher = Fetcher(store, services=services, refresh_s=0)
    [response] = fetcher.fetch_join([Request("shop/wide.v1", keys, at)])
    return response


def test_a_key_that_is_nowhere_has_null_features_and_no_error(store: MemoryOnlineStore) -> None:
    response = fetch(store, make_join(), {"user": "nobody"})

    assert response.is_ok
    assert set(response.values.values()) == {None}
    assert list(response.values) == list(join_columns(make_join()))


def test_a_null_key_has_null_features(store: MemoryOnlineStore) -> None:
    response = fetch(store, make_join(), {"user": None})

    assert response.is_ok
    assert set(response.values.values()) == {None}


def test_a_request_without_keys_has_an_exception_per_part_and_of_derivations(
    store: MemoryOnlineStore,
) -> None:
    join = make_join(
        right_parts=[JoinPart(GROUP_BY), JoinPart(GROUP_BY, prefix="again")],
        derivations=[Derivation("half", f"{PART}_price_sum_3d / 2")],
    )

    response = fetch(store, join, {})

    assert set(response.values) == {
        f"{PART}_exception",
        f"again_{PART}_exception",
        "derivation_exception",
    }


def test_a_part_that_cannot_be_read_fails_and_the_others_answer() -> None:
    class Half(MemoryOnlineStore):
        def get_many(self, keys: Sequence[str]) -> Any:
            if any(key.startswith("b/shop.broken") for key in keys):
                raise StorageError("a partition is down")
            return super().get_many(keys)

    store = Half()
    serve(store, [("5", END - 10, 1.0)])
    pointer = store.get_many([f"m/group_bys/{NAME}"])[0]
    assert pointer is not None
    content = json.loads(pointer.value)
    content["definition"]["name"] = "shop.broken.v1"
    del content["digest"]  # as of an earlier release, which had none
    store.put_many([("m/group_bys/shop.broken.v1", json.dumps(content).encode())])
    broken = replace(GROUP_BY, name="shop.broken.v1")
    join = make_join(right_parts=[JoinPart(GROUP_BY), JoinPart(broken)])

    response = fetch(store, join, {"user": "5"})

    assert response.values[f"{PART}_price_sum_3d"] == 2.0
    assert "a partition is down" in response.values["shop_broken_v1_exception"]
    assert set(response.errors) == {"shop_broken_v1"}


@pytest.mark.parametrize(
    ("at", "reason"), [(END - 1, "before the end"), (END + 3 * DAY + 1, "is too old")]
)
def test_a_moment_that_the_batch_does_not_answer_is_refused_by_name(
    store: MemoryOnlineStore, at: int, reason: str
) -> None:
    response = fetch(store, make_join(), {"user": "5"}, at=at)

    assert reason in response.errors[PART]
    assert NAME in response.errors[PART]


def test_keys_take_the_types_of_the_definition(store: MemoryOnlineStore) -> None:
    assert fetch(store, make_join(), {"user": 5}).values[f"{PART}_price_count_3d"] == 2
    assert "is no string" in fetch(store, make_join(), {"user": ["5"]}).errors[PART]
    assert "is no string" in fetch(store, make_join(), {"user": True}).errors[PART]


def test_several_requests_are_answered_in_their_order_by_one_read() -> None:
    class Counting(MemoryOnlineStore):
        reads = 0

        def get_many(self, keys: Sequence[str]) -> Any:
            self.reads += 1
            return super().get_many(keys)

    store = Counting()
    serve(store, [("5", END - 10, 1.0), ("7", END - 10, 4.0)])
    write_join(store, make_join())
    fetcher = Fetcher(store, refresh_s=60)
    requests = [Request("shop.wide.v1", {"user": user}, END) for user in ("7", "0", "5", "7")]
    fetcher.fetch_join(requests)
    store.reads = 0

    responses = fetcher.fetch_join(requests)

    assert store.reads == 1
    assert [r.values[f"{PART}_price_sum_3d"] for r in responses] == [8.0, None, 2.0, 8.0]


def test_names_that_are_not_served_are_answered_with_the_command_that_is_missing(
    store: MemoryOnlineStore,
) -> None:
    fetcher = Fetcher(store)

    [join] = fetcher.fetch_join([Request("shop.none.v1", {})])
    [group_by] = fetcher.fetch_group_by([Request("shop.none.v1", {})])
    [strange] = fetcher.fetch_group_by([Request("../../etc", {})])

    assert "upload-metadata shop.none.v1" in join.errors[""]
    assert "upload shop.none.v1" in group_by.errors[""]
    assert "no name" in strange.errors[""]


def test_another_definition_than_that_of_the_join_is_refused(store: MemoryOnlineStore) -> None:
    changed = replace(GROUP_BY, aggregations=GROUP_BY.aggregations[:1])  # type: ignore[index]

    response = fetch(store, make_join(right_parts=[JoinPart(changed)]), {"user": "5"})

    assert "another definition is uploaded" in response.errors[PART]


def test_keys_may_have_other_names_on_the_left(store: MemoryOnlineStore) -> None:
    join = make_join(right_parts=[JoinPart(GROUP_BY, key_mapping={"buyer": "user"})])

    assert fetch(store, join, {"buyer": "5"}).values[f"{PART}_price_count_3d"] == 2


def test_skewed_keys_have_no_features_as_in_a_backfill(store: MemoryOnlineStore) -> None:
    join = make_join(skew_keys={"user": ["'5'"]})

    assert fetch(store, join, {"user": "5"}).values[f"{PART}_price_count_3d"] is None


def test_derivations_are_computed_of_keys_time_and_features(store: MemoryOnlineStore) -> None:
    join = make_join(
        derivations=[
            Derivation("*", "*"),
            Derivation("mean", f"{PART}_price_sum_3d / {PART}_price_count_3d"),
            Derivation("label", "CONCAT(user, '-', ts)"),
            Derivation("renamed", f"{PART}_price_max"),
        ]
    )

    response = fetch(store, join, {"user": "5"})

    assert response.values["mean"] == 3.0
    assert response.values["label"] == f"5-{END}"
    assert response.values["renamed"] == 4.0
    assert list(response.values) == list(join_columns(join))


@pytest.mark.parametrize(("kind", "value"), [("int32", None), ("int64", 2**31)])
def test_a_derivation_of_a_join_is_null_where_it_does_not_fit_the_feature(
    kind: NumberKind, value: int | None
) -> None:
    lookup = JoinLookup(make_join(derivations=[Derivation("more", f"{PART}_price_max + 1")]))
    for _ in range(2):
        answers = [Answer(END, {"price_max": 2**31 - 1}, 0, None, {"price_max": kind})]
        assert lookup.assemble({}, END, answers, {})[0] == {"more": value}


def test_a_batch_and_event_tell_how_old_the_answer_is(store: MemoryOnlineStore) -> None:
    response = fetch(store, make_join(), {"user": "5"}, at=END + 1000)

    assert (response.batch_age_ms, response.freshness_ms) == (1000, 1010)


CONTEXT = ContextualSource([("context_1", "long"), ("context_2", "long")])


@pytest.mark.parametrize("place", range(4))
def test_contextual_fields_come_back_under_the_names_of_the_vector(
    store: MemoryOnlineStore, place: int
) -> None:
    case = read_vector("derivations_contextual")["cases"][place]
    derivations = [Derivation(name, text) for name, text in case["derivations"]]
    join = make_join(online_external_parts=[ExternalPart(CONTEXT)], derivations=derivations or None)

    response = fetch(store, join, {"user": "5", "context_1": 1, "context_2": 2})

    assert response.is_ok
    assert set(case["has"]) <= set(response.values)
    assert set(case["has_not"]).isdisjoint(response.values)
    values = {name: value for name, value in response.values.items() if name.endswith("_1")}
    assert set(values.values()) <= {1}


RATES = ExternalSource(
    "rates", key_fields=[("currency", "string")], value_fields=[("eur", "double")]
)


def test_an_external_source_is_asked_for_all_requests_at_once(store: MemoryOnlineStore) -> None:
    questions = []

    def rates(keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        questions.append(list(keys))
        return [{"eur": len(key["currency"])} for key in keys]

    part = ExternalPart(RATES, key_mapping={"money": "currency"}, prefix="my")
    write_join(store, make_join(online_external_parts=[part]))
    fetcher = Fetcher(store, services={"rates": rates})

    responses = fetcher.fetch_join(
        [
            Request("shop.wide.v1", {"user": "5", "money": "USD"}, END),
            Request("shop.wide.v1", {"user": "5"}, END),
            Request("shop.wide.v1", {"user": "5", "money": "kr"}, END),
        ]
    )

    assert questions == [[{"currency": "USD"}, {"currency": "kr"}]]
    assert [r.values.get("ext_my_rates_eur") for r in responses] == [3, None, 2]
    assert set(responses[1].errors) == {"ext_my_rates"}


def failing(keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    raise RuntimeError("service is down")


@pytest.mark.parametrize(
    ("services", "reason"),
    [
        ({}, "no client of the external source rates"),
        ({"rates": failing}, "RuntimeError: service is down"),
        ({"rates": lambda keys: []}, "answered 0 of 1 requests"),
    ],
)
def test_an_external_source_that_fails_fails_alone(
    store: MemoryOnlineStore, services: Any, reason: str
) -> None:
    join = make_join(online_external_parts=[ExternalPart(RATES)])

    response = fetch(store, join, {"user": "5", "currency": "USD"}, services)

    assert reason in response.values["ext_rates_exception"]
    assert response.values[f"{PART}_price_count_3d"] == 2


def test_a_damaged_value_is_an_error_of_its_part(store: MemoryOnlineStore) -> None:
    keys = [key for key, _ in store.scan("b/")]
    store.put_many([(key, b"\x93\x01") for key in keys])

    assert "damaged" in fetch(store, make_join(), {"user": "5"}).errors[PART]


def test_a_new_upload_is_seen_after_the_time_of_refreshing(store: MemoryOnlineStore) -> None:
    assert ask(store, "5", END + DAY)["price_count_3d"] == 2

    serve(store, [("5", END + 5, 1.0)], END + DAY, "b")

    assert ask(store, "5", END + DAY)["price_count_3d"] == 1
