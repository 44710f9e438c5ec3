"""Questions as JSON and their replies: statuses, limits, and what is never told."""

import json
import math
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import StorageError
from gigacast.feature_store import (
    ContextualSource,
    EventSource,
    ExternalPart,
    ExternalSource,
    Join,
    JoinPart,
    Query,
    select,
)
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.serving import write_join
from gigacast.feature_store.online.typed import to_json
from gigacast.feature_store.serve.exchange import STATUS, Limits, Reply, reply_to
from tests.support.features.served_events import DAY, END, GROUP_BY, NAME, serve

JOIN = Join(
    left=EventSource(table="data.left", query=Query(selects=select("user"), time_column="ts")),
    right_parts=[JoinPart(GROUP_BY)],
    online=True,
    name="shop.wide.v1",
)
LIMITS = Limits(body_bytes=2000, items=3)


class DownStore(MemoryOnlineStore):
    """A store that cannot be reached, once it is down."""

    is_down = False

    def get_many(self, keys: Any) -> Any:
        if self.is_down:
            raise StorageError("online store /secret/place/online.sqlite: disk I/O error")
        return super().get_many(keys)


@pytest.fixture
def store() -> DownStore:
    store = DownStore()
    serve(store, [("5", END - 10, 1.0), ("5", END - DAY, 2.0), ("6", END - 10, 4.0)])
    write_join(store, JOIN)
    return store


def ask(store: Any, body: Any, kind: str = "join", name: str = "shop.wide.v1") -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return reply_to(Fetcher(store, refresh_s=0), kind, name, raw, LIMITS)


def results(reply: Reply) -> Any:
    assert reply.code == "ok"
    return json.loads(reply.encode())["results"]


def test_each_key_has_its_own_status_values_and_ages(store: DownStore) -> None:
    keys = [{"user": "5"}, {"no": 1}, {"user": ["x"]}]

    good, missing, wrong = results(ask(store, {"keys": keys, "at": END + 5}))

    assert (good["status"], good["at"], good["batch_age_ms"]) == ("ok", END + 5, 5)
    assert good["freshness_ms"] == 15
    assert good["keys"] == {"user": "5"}
    assert good["values"]["shop_returns_v1_price_sum_3d"] == 6.0
    assert (missing["status"], missing["codes"]) == ("failed", {"shop_returns_v1": "invalid_key"})
    assert "has no key user" in missing["errors"]["shop_returns_v1"]
    assert wrong["codes"] == {"shop_returns_v1": "invalid_key"}
    assert wrong["values"] == {"shop_returns_v1_exception": wrong["errors"]["shop_returns_v1"]}


@pytest.mark.parametrize("kind", ["group-by", "groupby"])
@pytest.mark.parametrize("name", [NAME, NAME.replace(".", "/", 1), f"group_bys/{NAME}"])
def test_a_group_by_answers_under_every_spelling_of_its_name(
    store: DownStore, kind: str, name: str
) -> None:
    [result] = results(ask(store, {"keys": [{"user": "6"}], "at": END}, kind, name))

    assert result["values"]["price_sum_3d"] == 8.0


def test_a_list_of_keys_is_a_question_for_the_present(store: DownStore) -> None:
    [result] = results(ask(store, [{"user": "6"}]))

    # The batch is of 2023: its refusal shows which moment was asked for.
    assert result["codes"] == {"shop_returns_v1": "moment_not_served"}
    assert result["at"] > END + 365 * DAY


@pytest.mark.parametrize(
    ("kind", "name"),
    [("join", "shop.other.v1"), ("group-by", "shop.wide.v1"), ("join", "../x"), ("table", NAME)],
)
def test_what_is_not_served_is_not_found(store: DownStore, kind: str, name: str) -> None:
    reply = ask(store, [], kind, name)

    assert (reply.code, reply.status) == ("not_found", 404)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"[NaN]", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 1999, "is no JSON"),
        (b"5", "no list of keys"),
        ({"keys": {}}, "no list of keys"),
        ([5], "keys[0]: an object"),
        ([{}, None], "keys[1]: an object"),
        ({"keys": [], "at": "now"}, "at: a number"),
        ({"keys": [], "at": True}, "at: a number"),
        ({"keys": [], "at": 1 << 60}, "at: a number"),
        ({"keys": [], "moment": 5}, "a field 'moment'"),
    ],
)
def test_bodies_in_another_form_are_refused(store: DownStore, body: Any, message: str) -> None:
    reply = ask(store, body)

    assert (reply.code, reply.status) == ("invalid", 400)
    assert message in reply.content["error"]["message"]


@pytest.mark.parametrize("body", [b" " * 2001, [{}, {}, {}, {}]])
def test_questions_beyond_the_limits_are_refused(store: DownStore, body: Any) -> None:
    assert ask(store, body).status == 413


def test_a_store_that_is_down_is_said_without_its_place(store: DownStore) -> None:
    fetcher = Fetcher(store, refresh_s=60)
    body = json.dumps([{"user": "5"}]).encode()
    reply_to(fetcher, "join", "shop.wide.v1", body, LIMITS)
    store.is_down = True

    known = reply_to(fetcher, "join", "shop.wide.v1", json.dumps(
        {"keys": [{"user": "5"}], "at": END}).encode(), LIMITS)  # fmt: skip
    unknown = reply_to(Fetcher(store), "join", "shop.wide.v1", body, LIMITS)

    assert (known.status, unknown.status) == (503, 503)
    assert known.content["results"][0]["codes"] == {"shop_returns_v1": "store_unavailable"}
    for reply in (known, unknown):
        assert b"cannot be reached" in reply.encode()
        assert b"secret" not in reply.encode()


def test_other_parts_answer_when_an_external_source_fails(store: DownStore) -> None:
    fields = [("rate", "double")]
    source = ExternalSource(name="rates", key_fields=[("user", "string")], value_fields=fields)
    page = ContextualSource(fields=[("page", "string")])
    parts = [ExternalPart(source), ExternalPart(page)]
    write_join(store, Join(JOIN.left, JOIN.right_parts, name="shop.more.v1", online=True,
                           online_external_parts=parts))  # fmt: skip

    def fail(keys: Any) -> Any:
        raise RuntimeError("password=hunter2")

    fetcher = Fetcher(store, services={"rates": fail}, refresh_s=0)
    body = json.dumps({"keys": [{"user": "5", "page": "a"}, {"user": "5"}], "at": END}).encode()
    both, without = results(reply_to(fetcher, "join", "shop.more.v1", body, LIMITS))

    assert both["status"] == "partial"
    assert both["codes"] == {"ext_rates": "external_failed"}
    assert both["values"]["ext_rates_exception"] == "an external source did not answer"
    assert both["values"]["ext_contextual_page"] == "a"
    assert without["codes"]["ext_contextual"] == "invalid_key"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.one_of(st.binary(max_size=80), JSON.map(lambda v: json.dumps(v).encode()),
                 JSON.map(lambda v: json.dumps([{"user": v}]).encode())))  # fmt: skip
def test_any_body_gets_a_reply_that_is_json(body: bytes) -> None:
    store = DownStore()
    serve(store, [("5", END - 10, 1.0)])

    reply = reply_to(Fetcher(store), "group-by", NAME, body, LIMITS)

    assert reply.code in STATUS
    assert reply.status < 500
    assert json.loads(reply.encode(), parse_constant=pytest.fail)


def test_half_a_character_in_a_key_is_refused_as_a_value(store: DownStore) -> None:
    [result] = results(ask(store, b'[{"user": "\\ud800"}]'))

    assert result["codes"] == {"shop_returns_v1": "invalid_key"}


def test_every_type_of_values_has_a_form_in_json() -> None:
    values = {
        "day": date(2023, 12, 1),
        "moment": datetime(2023, 12, 1, 1, 2, 3, tzinfo=UTC),
        "hour": time(1, 2),
        "bytes": b"\x00\xff",
        "large": (1 << 63) - 1,
        "none": [None, math.nan, math.inf, -0.0, True],
        "counts": {1: 3, None: 4, 1.5: 5, "a": 6, date(2023, 12, 1): 7},
        "flags": {True: 1},
    }

    assert json.loads(json.dumps(to_json(values), allow_nan=False)) == {
        "day": "2023-12-01",
        "moment": "2023-12-01T01:02:03+00:00",
        "hour": "01:02:00",
        "bytes": "00ff",
        "large": (1 << 63) - 1,
        "none": [None, None, None, -0.0, True],
        "counts": {"1": 3, "null": 4, "1.5": 5, "a": 6, "2023-12-01": 7},
        "flags": {"true": 1},
    }
