"""Scheduled runs through the entry points of `handler`: one at a time, nothing done twice."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gigacast.batch.aws import BatchService
from gigacast.batch.schedule import start_waiting
from gigacast.errors import ComputeError, ConfigError, ModelError, PlanError
from gigacast.job.run import utc_now
from gigacast.lake.lease import lease_holder, release_lease, take_lease
from gigacast.lake.plan.audit import read_audit
from gigacast.lake.turn import note_turn, waiting_turns
from gigacast.settings.assembly import job_of
from gigacast.settings.turn import load_turn
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from handler import arrival, closing, schedule
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    with MotoServer() as server, LocalBatch() as batch:
        batch.provision()
        yield server


@pytest.fixture
def store(server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Store:
    address = server.new_address("sales")
    variables = {
        "RUN__BUCKET": address.url.removesuffix("/sales"),
        "RUN__PREFIX": "sales",
        "RUN__REGION": "us-east-1",
        "MODEL__MODEL_PATH": "seasonal-naive",
        "BATCH__CHILDREN": "2",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GIGACAST_{name}", value)
    store = open_store(address)
    put_panels(store, ("2024-01",), parts=2)
    return store


def arrived(*keys: str) -> dict[str, object]:
    """The event of a queue that holds S3's events, as EventBridge writes them."""
    bodies = [json.dumps({"detail": {"object": {"key": key}}}) for key in keys]
    return {"Records": [{"messageId": str(n), "body": body} for n, body in enumerate(bodies)]}


def test_a_schedule_submits_pending_work_waits_for_a_running_job_and_then_does_nothing(
    store: Store,
) -> None:
    hour = {"arguments": {"horizon": 6}}
    with LocalBatch() as batch:
        batch.pause()
        first = schedule.handle(hour, None)
        assert (first["outcome"], first["tasks"], first["children"]) == ("submitted", 2, 2)
        second = schedule.handle(hour, None)
        assert (second["outcome"], second["run_id"]) == (
            "another run is under way",
            first["run_id"],
        )
        batch.resume()
        batch.wait()
        # Nobody has closed the first run: the next turn does, and finds nothing left.
        assert schedule.handle(hour, None)["outcome"] == "nothing pending"
    assert read_audit(store, first["run_id"]).status == "completed"
    assert lease_holder(store) == ""


def test_an_empty_prefix_has_no_pending_work(store: Store) -> None:
    store.delete([entry.key for page in store.list() for entry in page])
    assert schedule.handle({}, None)["outcome"] == "nothing pending"


def test_a_new_partition_submits_a_run_and_waits_while_one_is_under_way(store: Store) -> None:
    event = arrived("sales/2024/01/part-00000.parquet", "sales/forecasts/x.parquet")
    with LocalBatch() as batch:
        batch.pause()
        assert arrival.handle(event, None)["outcome"] == "submitted"
        put_frame(store, "2024/02/part-00000.parquet", hourly_panel("2024-02"))
        late = arrival.handle(arrived("sales/2024/02/part-00000.parquet"), None)
        assert late["batchItemFailures"] == [{"itemIdentifier": "0"}]
        batch.resume()
        batch.wait()
        assert waiting_turns(store) == [{}]
        again = arrival.handle(arrived("sales/2024/02/part-00000.parquet"), None)
        assert (again["outcome"], again["tasks"], again["batchItemFailures"]) == (
            "submitted",
            1,
            [],
        )
        batch.wait()


def test_what_came_during_a_run_starts_the_next_when_it_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hourly = {"settings": "settings/hourly.yaml"}
    store.put("settings/hourly.yaml", b"model: {prediction_length: 3}")
    called: list[tuple[str, Any]] = []
    monkeypatch.setattr(BatchService, "call", lambda _, name, event: called.append((name, event)))
    monkeypatch.setenv("PLANNER", "stack-planner")
    ended: list[dict[str, Any]] = []
    with LocalBatch(on_end=ended.append) as batch:
        batch.pause()
        first = schedule.handle({"arguments": {"horizon": 6}}, None)
        for _ in range(2):
            assert schedule.handle(hourly, None)["outcome"] == "another run is under way"
        assert arrival.handle(arrived("sales/2024/01/part-00000.parquet"), None)[
            "batchItemFailures"
        ]
        batch.resume()
        batch.wait()
        assert closing.handle(ended.pop(), None)["status"] == "completed"
        assert sorted(called, key=str) == [
            ("stack-planner", hourly),
            ("stack-planner", {}),
        ]
        assert waiting_turns(store) == []
        # The settings object is that of the event: other horizons are another spec.
        second = schedule.handle(hourly, None)
        assert (second["outcome"], second["tasks"]) == ("submitted", 2)
        assert second["run_id"] != first["run_id"]
        batch.wait()


def test_a_turn_that_cannot_be_started_goes_on_waiting(store: Store) -> None:
    def broken(event: object) -> None:
        raise ComputeError("throttled")

    note_turn(store, {"arguments": {"horizon": 3}})
    with pytest.raises(ComputeError):
        start_waiting(store, broken)
    assert waiting_turns(store) == [{"arguments": {"horizon": 3}}]
    store.put("plans/WAITING/damaged.json", b"[")
    assert start_waiting(store, lambda event: None) == 1
    assert waiting_turns(store) == []


def test_an_object_of_another_bucket_is_no_input(store: Store) -> None:
    event = arrived("sales/2024/01/part-00000.parquet")
    detail = {"bucket": {"name": "other"}, "object": {"key": "sales/2024/01/part-00000.parquet"}}
    event["Records"] = [{"messageId": "0", "body": json.dumps({"detail": detail})}]
    assert arrival.handle(event, None)["outcome"] == "no new input"


def test_settings_are_those_of_the_variables_then_of_the_object_then_of_the_event(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_MODEL__PREDICTION_LENGTH", "2")
    monkeypatch.setenv("RUN_SETTINGS", "settings/own.yaml")
    text = """
model: {prediction_length: 4}
forecast: {level: [80], freq: h}
run: {input_prefix: "s3://other/sales"}
parquet_loader:
  schema: {target_columns: [a, b], item_columns: [x], known_covariates: [price]}
"""
    store.put("settings/own.yaml", text.encode())
    job = job_of(load_turn({"arguments": {"quantiles": "0.2,0.5"}}))
    assert job.method.horizon == 4
    assert (job.method.levels, job.method.columns.targets) == ((0.2, 0.5), ("a", "b"))
    assert (job.method.columns.items, job.inputs.url) == (("x",), "s3://other/sales")
    assert job.method.columns.known_covariates == ("price",)
    assert job.outputs.url == store.address.url
    store.put("settings/none.yaml", b"# nothing\n")
    assert load_turn({"settings": "settings/none.yaml"}).model.prediction_length == 2


@pytest.mark.parametrize(
    ("content", "event", "message"),
    [
        (b"model: {horizn: 4}", {}, r"settings/own.yaml: model.horizn: unknown key"),
        (b"model: {prediction_length: 0}", {}, r"own.yaml: horizon: .*greater than"),
        (b"run: {bucket: other}", {}, r"own.yaml: run.bucket: is that of the deployment"),
        (b"- 1", {}, r"own.yaml: expected sections"),
        (b"model: 3", {}, r"own.yaml: expected sections"),
        (b"\xff", {}, r"own.yaml: not text"),
        (b"model: [", {}, r"own.yaml"),
        (b"", {"settings": "settings/none.yaml"}, r"none.yaml: there is no such settings object"),
        (b"", {"argument": {}}, r"unknown key 'argument'"),
        (b"", {"arguments": [1]}, r"arguments: \[1\] is of another type"),
        (b"", {"arguments": {"horizn": 1}}, r"horizn: no such argument"),
    ],
)
def test_wrong_settings_of_a_schedule_are_named(
    store: Store, content: bytes, event: dict[str, Any], message: str
) -> None:
    store.put("settings/own.yaml", content)
    with pytest.raises(ConfigError, match=message):
        load_turn({"settings": "settings/own.yaml", **event})


@pytest.mark.parametrize(
    ("event", "variable", "name"),
    [
        ({"arguments": {"model": "seasonal-naiv"}}, "", "model"),
        ({"arguments": {"model": "amazon/chronos-blt-tiny"}}, "", "model"),
        ({"arguments": {"model_path": "seasonal-naive"}}, "", "did you mean model"),
        ({"settings": "settings/path.yaml"}, "", "model"),
        ({"settings": "settings/type.yaml"}, "", "model"),
        ({}, "amazon/chronos-blt-tiny", "model"),
        ({}, "data/model/chronos-bolt-base/v1.0", "model"),
    ],
)
def test_a_model_that_is_not_there_is_refused_and_no_other_takes_its_place(
    store: Store, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any], variable: str, name: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if variable:
        monkeypatch.setenv("GIGACAST_MODEL__MODEL_PATH", variable)
    store.put("settings/path.yaml", b"model: {model_path: chronos-bolt-tin}")
    store.put("settings/type.yaml", b"model: {model_type: chronos-bolt-tin}")
    for _ in range(2):  # the lease is free again
        with pytest.raises((ConfigError, ModelError), match=name):
            schedule.handle(event, None)
    if not event:
        message = arrived("sales/2024/01/part-00000.parquet")
        with pytest.raises(ModelError):
            arrival.handle(message, None)
    plans = [entry.key for page in store.list("plans/") for entry in page]
    assert set(plans) <= {"plans/LEASE"}


@pytest.mark.parametrize(
    "key",
    [
        "sales/forecasts/m/1/h6/2024/01/part-00000.parquet",
        "sales/timings/2024/01/part-00000.parquet",
        "other/2024/01/part-00000.parquet",
        "sales/2024/01/notes.txt",
    ],
)
def test_an_object_that_is_not_an_input_starts_no_run(store: Store, key: str) -> None:
    assert arrival.handle(arrived(key), None)["outcome"] == "no new input"
    assert lease_holder(store) is None


@pytest.mark.parametrize("body", ["junk", "[1]", "{}", '{"detail": {"object": 1}}'])
def test_a_message_that_is_not_an_object_event_starts_no_run(store: Store, body: str) -> None:
    event = {"Records": [{"messageId": "0", "body": body}]}
    assert arrival.handle(event, None) == {"outcome": "no new input", "batchItemFailures": []}


@pytest.mark.parametrize("event", [{}, {"detail": {"status": "FAILED"}}, {"detail": None}])
def test_an_event_without_a_job_is_refused_in_one_line(event: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=r"detail has no container\.command"):
        closing.handle(event, None)


def test_an_expired_lease_can_be_taken_by_anyone(store: Store) -> None:
    now, minute = utc_now(), timedelta(minutes=1)
    assert take_lease(store, "one", now, minute)
    assert not take_lease(store, "two", now, minute)
    assert take_lease(store, "two", now + 2 * minute, minute)
    release_lease(store, "one")
    assert lease_holder(store) == "two"
    release_lease(store, "two")
    assert take_lease(store, "three", now, minute)


def test_a_real_model_is_planned_and_submitted_without_torch(store: Store) -> None:
    """On a machine without torch, pandas and the command line: what the planner's image is."""
    check = """
import sys
for name in ("torch", "chronos", "transformers", "safetensors", "pandas", "matplotlib", "rich",
             "click", "s3fs", "fsspec", "huggingface_hub", "jsonschema"):
    sys.modules[name] = None
import handler.arrival, handler.batch, handler.closing, handler.schedule
from gigacast.errors import ModelNotFoundError
try:
    handler.schedule.handle({"arguments": {"model": "amazon/chronos-bolt-tiny"}}, None)
except ModelNotFoundError as error:
    print(error.message, error.hint.split(":")[0])
print(handler.schedule.handle({"arguments": {"model": "gigacast-bolt-nano"}}, None)["outcome"])
"""
    with LocalBatch() as batch:
        batch.pause()
        process = subprocess.run(
            [sys.executable, "-c", check], cwd=ROOT, check=False, capture_output=True, text=True
        )
    refused, submitted = process.stdout.splitlines()
    assert (submitted, process.stderr) == ("submitted", "")
    assert "model amazon/chronos-bolt-tiny: nothing on this machine downloads" in refused
    assert refused.endswith("publish it first")


def test_handlers_are_doors_of_few_lines() -> None:
    # Doors of the feature store translate the events of other services.
    most = {"features.py": 120, "stream.py": 120}
    long = {
        path.name: len(path.read_text().splitlines())
        for path in (ROOT / "handler").glob("*.py")
        if len(path.read_text().splitlines()) >= most.get(path.name, 60)
    }
    assert long == {}
