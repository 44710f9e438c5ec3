"""The Lambda functions: requests of API Gateway and URLs, and events of Kinesis, over moto."""

import base64
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

import handler.features
import handler.stream
from gigacast.errors import TransientStorageError
from gigacast.feature_store import Request, upload
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.online.dynamodb import DynamoOnlineStore
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.key import group_by_key
from gigacast.feature_store.online.serving import Batch
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.stream import Record
from tests.support.features.quickstart_store import compile_quickstart, write_table
from tests.support.moto_server import MotoServer

END = 19_693 * DAY  # 2023-12-02
JOIN, RETURNS = "quickstart.training_set.v2", "quickstart.returns.v1"
TOPIC = "events.returns"


@pytest.fixture(scope="module")
def uploaded(
    tmp_path_factory: pytest.TempPathFactory, moto_server: MotoServer
) -> tuple[Path, list[dict[str, Any]]]:
    """Return a lake, and the items that an upload of its join writes into DynamoDB."""
    folder = tmp_path_factory.mktemp("functions")
    lake, table = folder / "lake", f"features-{folder.name}-{uuid.uuid4().hex}"
    DynamoOnlineStore(table, region="us-east-1", endpoint_url=moto_server.endpoint_url).create()
    row = {"ds": "2023-12-01", "ts": END - 5000, "user_id": "5"}
    write_table(lake, "returns", [{**row, "refund_amt": 3}])
    write_table(lake, "purchases", [{**row, "purchase_price": 8}])
    compile_quickstart(lake, folder / "repository")
    upload(JOIN, "2023-12-01", bucket=lake, online_store=f"dynamodb:{table}")
    return lake, boto3.client("dynamodb").scan(TableName=table)["Items"]


@pytest.fixture
def lake(
    uploaded: tuple[Path, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    moto_server: MotoServer,
) -> Iterator[Path]:
    """Return the lake, with a DynamoDB of its own and the functions' environment."""
    lake, items = uploaded
    table = f"features-{uuid.uuid4().hex}"
    DynamoOnlineStore(table, region="us-east-1", endpoint_url=moto_server.endpoint_url).create()
    client = boto3.client("dynamodb")
    for item in items:
        client.put_item(TableName=table, Item=item)
    monkeypatch.setenv("GIGACAST_RUN__BUCKET", f"file://{lake}")
    monkeypatch.setenv("GIGACAST_ONLINE_STORE", f"dynamodb:{table}")
    handler.features._fetcher.cache_clear()
    monkeypatch.setattr(
        handler.stream, "_applied", handler.stream.AppliedStreams(handler.stream._make_appliers)
    )
    moto_server.put_stream(TOPIC)
    yield lake
    boto3.client("kinesis").delete_stream(StreamName=TOPIC)
    handler.features._fetcher.cache_clear()


def test_a_share_of_the_answers_is_in_the_bucket_before_they_are_given(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_LOG_SHARE", "1")
    handler.features._log_of_answers.cache_clear()
    asked = request_of(f"/v1/features/join/{JOIN}", [{"keys": {"user_id": "5"}, "at": END + 1}])
    assert ask(asked)[0] == 200
    logged = list((lake / "feature_store" / "logs" / JOIN).rglob("*.parquet"))
    assert len(logged) == 1

    log = handler.features._log_of_answers()
    monkeypatch.setattr(log, "flush", refuse)
    assert ask(asked)[0] == 200
    monkeypatch.undo()
    log.close()
    handler.features._log_of_answers.cache_clear()


def refuse() -> None:
    raise TransientStorageError("away")


def request_of(path: str, body: Any = None, method: str = "POST", **more: Any) -> dict[str, Any]:
    """Return a request in the form of API Gateway's HTTP APIs and of function URLs."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "x.lambda-url.us-east-1.on.aws"},
        "requestContext": {"http": {"method": method, "path": path, "protocol": "HTTP/1.1"}},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
        **more,
    }


def ask(event: dict[str, Any]) -> tuple[int, Any]:
    response = handler.features.handle(event, None)
    assert response["headers"]["content-type"] == "application/json"
    return response["statusCode"], json.loads(response["body"])


@pytest.mark.parametrize("stage", ["", "/prod"])
def test_a_request_is_answered_as_by_the_server(lake: Path, stage: str) -> None:
    question = {"keys": [{"user_id": "5"}, {"user_id": "6"}], "at": END}

    status, content = ask(request_of(f"{stage}/v1/features/join/{JOIN}", question))

    assert status == 200
    sums = [entry["values"]["quickstart_returns_v1_refund_amt_sum_3d"] for entry in
            content["results"]]  # fmt: skip
    assert sums == [3, None]


def test_a_body_in_base64_is_the_same(lake: Path) -> None:
    body = base64.b64encode(json.dumps([{"user_id": "5"}]).encode()).decode()
    path = f"/v1/features/group-by/{RETURNS}"

    status, content = ask(request_of(path, isBase64Encoded=True) | {"body": body})
    wrong, _ = ask(request_of(path, isBase64Encoded=True) | {"body": "%%%"})

    assert (status, wrong) == (200, 400)
    assert content["results"][0]["codes"] == {"": "moment_not_served"}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/ping", "GET", 200),
        ("/", "GET", 404),
        ("/v1/features/join/quickstart.other.v1", "POST", 404),
        (f"/v1/features/join/{JOIN}", "GET", 405),
        (f"/v1/features/join/{JOIN}", "POST", 400),
    ],
)
def test_other_requests_get_the_status_that_says_so(
    lake: Path, path: str, method: str, status: int
) -> None:
    assert ask(request_of(path, {} if status != 404 else [], method))[0] == status


def test_a_token_in_the_environment_is_asked_for(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_SERVE_TOKEN", "0123456789abcdef")
    path = f"/v1/features/join/{JOIN}"

    refused, _ = ask(request_of(path, []))
    headers = {"authorization": "Bearer 0123456789abcdef"}
    allowed, _ = ask(request_of(path, [], headers=headers))

    assert (refused, allowed) == (401, 200)


def test_a_fault_is_an_answer_without_its_text(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACAST_ONLINE_STORE", "nothing:hunter2")

    status, content = ask(request_of(f"/v1/features/join/{JOIN}", []))

    assert (status, content["error"]["code"]) == (500, "failed")
    assert "hunter2" not in json.dumps(content)


def events_of(rows: Sequence[Any], first: int = 1) -> dict[str, Any]:
    """Return an event of Kinesis; positions have as many digits as real ones."""
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventID": f"shardId-000000000000:{position(n)}",
                "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{TOPIC}",
                "kinesis": {
                    "partitionKey": "5",
                    "sequenceNumber": position(n),
                    "data": base64.b64encode(
                        row if isinstance(row, bytes) else json.dumps(row).encode()
                    ).decode(),
                },
            }
            for n, row in enumerate(rows, first)
        ]
    }


def position(n: int) -> str:
    return str(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_000 + n)


def refund(n: int, amount: int = 1, user: str = "5") -> dict[str, Any]:
    return {"ts": END + n, "user_id": user, "refund_amt": amount}


def total(user: str = "5") -> Any:
    [response] = Fetcher(handler.features._fetcher()._store, refresh_s=0).fetch_group_by(
        [Request(RETURNS, {"user_id": user}, END + DAY)]
    )
    assert response.is_ok
    return response.values["refund_amt_sum_3d"]


def test_events_change_the_answers_and_a_delivery_again_changes_nothing(lake: Path) -> None:
    event = events_of([refund(1), refund(2, 10), refund(3, 100, "6")])

    for _ in range(2):
        assert handler.stream.handle(event, None) == {"batchItemFailures": []}

    assert (total(), total("6")) == (14, 100)


def test_garbage_and_other_streams_stop_nothing(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    event = events_of([b"\xff", refund(1), b"{}", {"ts": "soon", "user_id": "5"}])
    elsewhere = events_of([refund(5, 1000)])
    elsewhere["Records"][0]["eventSourceARN"] = (
        "arn:aws:kinesis:us-east-1:123456789012:stream/other"
    )

    assert handler.stream.handle(event, None) == {"batchItemFailures": []}
    assert handler.stream.handle(elsewhere, None) == {"batchItemFailures": []}

    assert total() == 4
    assert "3 records are garbage" in caplog.text


def test_after_a_fault_lambda_is_told_where_to_begin_and_each_event_counts_once(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = events_of([refund(n) for n in range(5)])
    monkeypatch.setattr(handler.stream, "MAX_RECORDS", 2)
    apply, calls = StreamApplier.apply, []

    def fail_once(self: StreamApplier, records: Any) -> None:
        calls.append(len(records))
        if len(calls) == 2:
            # The store fails when all is written: the records come again all the same.
            apply(self, records)
            raise TransientStorageError("DynamoDB is throttled")
        apply(self, records)

    monkeypatch.setattr(StreamApplier, "apply", fail_once)

    first = handler.stream.handle(event, None)
    again = {"Records": event["Records"][2:]}
    second = handler.stream.handle(again, None)

    assert first == {"batchItemFailures": [{"itemIdentifier": position(3)}]}
    assert second == {"batchItemFailures": []}
    assert total() == 8


def test_a_store_that_is_down_returns_the_whole_batch(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_ONLINE_STORE", "dynamodb:there-is-none")

    answer = handler.stream.handle(events_of([refund(1), refund(2)]), None)

    assert answer == {"batchItemFailures": [{"itemIdentifier": position(1)}]}


def test_the_command_goes_on_after_the_function(lake: Path) -> None:
    handler.stream.handle(events_of([refund(1), refund(2)]), None)

    applier = StreamApplier(handler.features._fetcher()._store, RETURNS, TOPIC)

    assert applier.positions() == {"shardId-000000000000": position(2)}


class Clock:
    """The context of Lambda, whose time is over after some questions for it."""

    def __init__(self, questions: int) -> None:
        self.questions = questions

    def get_remaining_time_in_millis(self) -> int:
        self.questions -= 1
        return 60_000 if self.questions > 0 else 0


def put_in_stream(rows: Sequence[Any], key: str = "5") -> list[dict[str, Any]]:
    """Put events into the stream, and return them as Lambda delivers them."""
    kinesis = boto3.client("kinesis", region_name="us-east-1")
    delivered = []
    for row in rows:
        put = kinesis.put_record(StreamName=TOPIC, Data=json.dumps(row).encode(), PartitionKey=key)
        [entry] = events_of([row])["Records"]
        entry["eventID"] = f"{put['ShardId']}:{put['SequenceNumber']}"
        entry["kinesis"]["sequenceNumber"] = put["SequenceNumber"]
        delivered.append(entry)
    return delivered


def test_the_past_of_the_stream_is_applied_before_the_first_event(lake: Path) -> None:
    events = put_in_stream([refund(n) for n in range(1, 8)])

    for _ in range(2):
        answer = handler.stream.handle({"Records": events[4:]}, None)
        assert answer == {"batchItemFailures": []}

    assert total() == 3 + 7


def test_a_replay_that_runs_out_of_time_goes_on_at_the_next_delivery(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gigacast.feature_store.stream.kinesis.MAX_RECORDS", 2)
    events = put_in_stream([refund(n, 10**n) for n in range(8)])
    hand = {"Records": events[6:]}
    failed = {"batchItemFailures": [{"itemIdentifier": events[6]["kinesis"]["sequenceNumber"]}]}

    answers = [handler.stream.handle(hand, Clock(2))]
    # Another process of the function knows what the first one has applied.
    monkeypatch.setattr(
        handler.stream, "_applied", handler.stream.AppliedStreams(handler.stream._make_appliers)
    )
    partial = total()
    while answers[-1] == failed:
        answers.append(handler.stream.handle(hand, Clock(2)))
        assert len(answers) < 9

    assert answers[0] == failed
    assert partial == 3 + 1111
    assert answers[-1] == {"batchItemFailures": []}
    assert total() == 3 + 11_111_111


def test_another_definition_sees_the_events_of_the_one_before(lake: Path) -> None:
    """The command was stopped half-way in between, too."""
    events = put_in_stream([refund(n) for n in range(1, 7)])
    handler.stream.handle({"Records": events}, None)
    served = handler.features._fetcher()._store
    applier = StreamApplier(served, RETURNS, TOPIC)
    new = {**vars(applier.served.batch), "digest": "another"}
    moved = replace(applier.served, batch=Batch(**new), previous=None)
    served.put_many([(group_by_key(RETURNS), moved.encode())])
    half = StreamApplier(served, RETURNS, TOPIC)
    shard = events[0]["eventID"].partition(":")[0]
    half.apply([Record(shard, events[0]["kinesis"]["sequenceNumber"], b"{}")])

    [late] = put_in_stream([refund(9, 100)])
    handler.stream.handle({"Records": [late]}, None)

    assert half.positions() == {shard: late["kinesis"]["sequenceNumber"]}
    assert total() == 106


def test_events_of_the_shards_that_were_split_come_first(lake: Path) -> None:
    put_in_stream([refund(n) for n in range(1, 5)])
    kinesis = boto3.client("kinesis", region_name="us-east-1")
    [shard] = kinesis.list_shards(StreamName=TOPIC)["Shards"]
    kinesis.split_shard(
        StreamName=TOPIC, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(1 << 127)
    )

    # moto writes into the closed shard still: the record of the new one is Lambda's alone.
    child = kinesis.list_shards(StreamName=TOPIC)["Shards"][-1]
    assert shard["ShardId"] in {child["ParentShardId"], child.get("AdjacentParentShardId")}
    event = events_of([refund(9, 100)])
    event["Records"][0]["eventID"] = f"{child['ShardId']}:{position(1)}"
    for _ in range(2):
        handler.stream.handle(event, None)

    assert total() == 3 + 104
