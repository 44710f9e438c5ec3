"""The HTTP application: paths, tokens, limits, time-outs, faults and measurements."""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from gigacast.errors import MissingExtraError, StorageError
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.serve.app import Rules, make_app
from gigacast.feature_store.serve.exchange import Limits
from tests.support.features.served_events import END, NAME, serve

PATH = f"/v1/features/group-by/{NAME}"
QUESTION = {"keys": [{"user": "5"}], "at": END}
NAMES = [("group_bys", NAME), ("joins", "shop.not_served.v1"), ("staging_queries", "shop.q.v1")]
TOKEN = "0123456789abcdef"


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class SlowStore(MemoryOnlineStore):
    """A store of another machine, whose reads wait until they are let go."""

    is_local = False

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.reads = 0

    def get_many(self, keys: Any) -> Any:
        self.reads += 1
        assert self.go.wait(20)
        return super().get_many(keys)


@pytest.fixture
def store() -> MemoryOnlineStore:
    store = MemoryOnlineStore()
    serve(store, [("5", END - 10, 1.0)])
    return store


@pytest.fixture
def slow() -> Iterator[SlowStore]:
    store = SlowStore()
    store.go.set()
    serve(store, [("5", END - 10, 1.0)])
    store.go.clear()
    yield store
    store.go.set()


def app_of(store: Any, **rules: Any) -> Any:
    return make_app(Fetcher(store), lambda: NAMES, Rules(**rules))


async def call(
    app: Any, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None,
    receive: Callable[[], Awaitable[Any]] | None = None,
) -> Answer:  # fmt: skip
    """Return what an application sends for a request, as a server of ASGI would call it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {"content-length": str(len(raw)), **(headers or {})}
    sent: list[Any] = []

    async def receive_whole() -> Any:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "headers": [(n.encode(), v.encode()) for n, v in names.items()],
        "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive or receive_whole, send)
    start = sent[0]
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(start["status"], content, {n.decode(): v.decode() for n, v in start["headers"]})


def ask(app: Any, method: str, path: str, body: Any = b"", **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(call(app, method, path, body, names))


def test_features_are_answered(store: MemoryOnlineStore) -> None:
    answer = ask(app_of(store), "POST", PATH, QUESTION)

    assert answer.status == 200
    assert answer.json["results"][0]["values"]["price_sum_3d"] == 2.0
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_the_bits_of_an_answer_do_not_depend_on_whether_a_thread_made_it(
    store: MemoryOnlineStore, slow: SlowStore
) -> None:
    slow.go.set()

    near, far = (ask(app_of(each), "POST", PATH, QUESTION).body for each in (store, slow))

    assert near == far


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2", 404, "not_found"),
        ("GET", PATH, 405, "not_allowed"),
        ("POST", "/ping", 405, "not_allowed"),
        ("POST", "/v1/features/join/shop.none.v1", 404, "not_found"),
        ("POST", "/v1/features/table/shop.none.v1", 404, "not_found"),
        ("POST", "/v1/features/join/%2e%2e", 404, "not_found"),
        ("POST", PATH, 400, "invalid"),
    ],
)
def test_errors_are_json_with_a_code(
    store: MemoryOnlineStore, method: str, path: str, status: int, code: str
) -> None:
    answer = ask(app_of(store), method, path, b"" if path == PATH else b"[]")

    assert (answer.status, answer.json["error"]["code"]) == (status, code)


@pytest.mark.parametrize("length", [{}, {"content_length": "9"}, {"content_length": "x"}])
def test_a_body_beyond_the_limit_is_refused_whatever_its_header_says(
    store: MemoryOnlineStore, length: dict[str, str]
) -> None:
    app = app_of(store, limits=Limits(body_bytes=100))

    assert ask(app, "POST", PATH, b"[" + b" " * 100, **length).status == 413
    too_long = {"content_length": str(10**12)}
    assert ask(app, "POST", PATH, b"[", **too_long).status == 413
    assert ask(app, "POST", PATH, [{"user": "5"}], **length).status == 200


@pytest.mark.parametrize("path", [PATH, "/config", "/metrics", "/openapi.json", "/other"])
@pytest.mark.parametrize(
    "header", ["", f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}"]
)
def test_without_the_token_nothing_is_said(
    store: MemoryOnlineStore, path: str, header: str
) -> None:
    answer = ask(app_of(store, token=TOKEN), "POST", path, QUESTION, authorization=header)

    assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_all_is_answered_and_life_and_page_need_none(
    store: MemoryOnlineStore,
) -> None:
    app = app_of(store, token=TOKEN)

    for scheme in ("Bearer", "bearer"):
        assert ask(app, "POST", PATH, QUESTION, authorization=f"{scheme} {TOKEN}").status == 200
    assert ask(app, "GET", "/ping").json == {"status": "ok"}
    assert NAME not in ask(app, "GET", "/").body.decode()


def test_a_store_that_does_not_answer_in_time_is_a_time_out(slow: SlowStore) -> None:
    answer = ask(app_of(slow, timeout_s=0.05), "POST", PATH, QUESTION)

    assert (answer.status, answer.json["error"]["code"]) == (504, "timeout")


def test_a_body_that_does_not_come_in_time_is_refused(store: MemoryOnlineStore) -> None:
    async def never() -> Any:
        await asyncio.sleep(20)

    answer = asyncio.run(call(app_of(store, timeout_s=0.05), "POST", PATH, receive=never))

    assert (answer.status, answer.json["error"]["code"]) == (408, "too_slow")


def test_a_caller_that_goes_away_is_no_fault_of_the_server(store: MemoryOnlineStore) -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    assert asyncio.run(call(app_of(store), "POST", PATH, receive=gone)).status == 400


def test_requests_beyond_those_allowed_at_a_time_are_refused_and_the_others_answered(
    slow: SlowStore,
) -> None:
    app = app_of(slow, max_concurrent=2)

    async def play() -> tuple[list[Answer], Answer, Answer]:
        waiting = [asyncio.create_task(call(app, "POST", PATH, QUESTION)) for _ in range(2)]
        while slow.reads < 2:
            await asyncio.sleep(0.01)
        refused = await call(app, "POST", PATH, QUESTION)
        slow.go.set()
        answered = await asyncio.gather(*waiting)
        return answered, refused, await call(app, "POST", PATH, QUESTION)

    answered, refused, later = asyncio.run(play())

    assert [answer.status for answer in (*answered, later)] == [200, 200, 200]
    assert (refused.status, refused.json["error"]["code"]) == (503, "busy")
    assert refused.headers["retry-after"] == "1"


def test_a_place_stays_taken_after_a_time_out_until_the_store_answers(slow: SlowStore) -> None:
    app = app_of(slow, max_concurrent=1, timeout_s=0.3)

    async def play() -> list[str]:
        answers = [await call(app, "POST", PATH, QUESTION) for _ in range(2)]
        slow.go.set()
        while "error" in (answer := await call(app, "POST", PATH, QUESTION)).json:
            await asyncio.sleep(0.01)
        return [*(entry.json["error"]["code"] for entry in answers), str(answer.status)]

    assert asyncio.run(play()) == ["timeout", "busy", "200"]


def test_a_fault_of_the_program_is_a_status_without_its_text(
    store: MemoryOnlineStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(Fetcher, "fetch_group_by", fail)

    answer = ask(app_of(store), "POST", PATH, QUESTION)

    assert (answer.status, answer.json["error"]["code"]) == (500, "failed")
    assert b"hunter2" not in answer.body
    assert "hunter2" in caplog.text


def test_what_is_served_is_described_with_lineage_batch_and_freshness(
    store: MemoryOnlineStore,
) -> None:
    app = app_of(store)
    ask(app, "POST", PATH, {"keys": [{"user": "5"}], "at": END + 50})

    content = ask(app, "GET", "/config").json

    assert content["joins"] == []
    [entry] = content["group_bys"]
    assert (entry["name"], entry["keys"], entry["key_types"]) == (
        NAME,
        ["user"],
        {"user": "string"},
    )
    assert entry["batch"]["end_ms"] == END
    assert entry["batch"]["keys"] == 1
    assert entry["freshness_ms"] == 60
    columns = {column["name"]: column["origins"] for column in entry["columns"]}
    assert columns["price_sum_3d"] == [
        {"table": "data.returns", "column": "price", "transforms": ["Mul", "AGG_SUM"]}
    ]


def test_definitions_that_cannot_be_listed_are_a_status(store: MemoryOnlineStore) -> None:
    def fail() -> Any:
        raise StorageError("bucket /secret cannot be reached")

    answer = ask(make_app(Fetcher(store), fail), "GET", "/config")

    assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")
    assert b"secret" not in answer.body


def test_measurements_count_requests_answers_and_errors_by_served_name(
    store: MemoryOnlineStore,
) -> None:
    app = app_of(store)
    ask(app, "POST", PATH, {"keys": [{"user": "5"}, {}], "at": END + 1000})
    ask(app, "POST", "/v1/features/join/shop.stranger.v1", [])

    answer = ask(app, "GET", "/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.body.decode().splitlines()
    label = f'name="{NAME}"'
    assert f'gigacast_features_answers_total{{{label},status="ok"}} 1.0' in lines
    assert f'gigacast_features_answers_total{{{label},status="failed"}} 1.0' in lines
    assert f'gigacast_features_part_errors_total{{code="invalid_key",{label},part=""}} 1.0' in lines
    assert 'gigacast_features_requests_total{kind="join",status="404"} 1.0' in lines
    assert f"gigacast_features_batch_age_seconds{{{label}}} 1.0" in lines
    assert f"gigacast_features_freshness_seconds{{{label}}} 1.01" in lines
    assert 'gigacast_features_request_seconds_count{kind="group-by"} 1.0' in lines
    assert "stranger" not in answer.body.decode()


def test_the_description_of_the_paths_is_one_of_openapi_and_has_all_of_them(
    store: MemoryOnlineStore,
) -> None:
    from openapi_spec_validator import validate

    content = ask(app_of(store, token=TOKEN), "GET", "/openapi.json",
                  authorization=f"Bearer {TOKEN}").json  # fmt: skip

    validate(content)
    assert content["security"] == [{"bearer": []}]
    assert {"/ping", "/config", "/metrics"} < content["paths"].keys()
    body = content["paths"]["/v1/features/join/{name}"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["oneOf"][0]["maxItems"] == 1000


def test_replies_have_the_form_that_is_described(store: MemoryOnlineStore) -> None:
    from jsonschema import Draft202012Validator

    app = app_of(store)
    content = ask(app, "GET", "/openapi.json").json
    # References are to the whole description.
    validator = Draft202012Validator({**content, "$ref": "#/components/schemas/Reply"})
    errors = Draft202012Validator({**content, "$ref": "#/components/schemas/Error"})

    validator.validate(ask(app, "POST", PATH, [{"user": "5"}, {}]).json)
    errors.validate(ask(app, "POST", PATH).json)


@pytest.mark.parametrize("library", ["starlette.applications", "prometheus_client"])
def test_without_the_extra_the_error_says_how_to_install_it(
    store: MemoryOnlineStore, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(MissingExtraError, match=library.partition(".")[0]) as caught:
        app_of(store)

    assert caught.value.hint == "pip install 'gigacast[serve]'"
