"""Plans of array runs that an earlier release has stored are read, continued and refused alike."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import gigacast
from gigacast.batch.setup import dump_setup, load_setup, prepared_of
from gigacast.lake.plan.audit import Audit
from gigacast.lake.plan.plan_file import read_plan, read_tasks, write_plan
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from handler.batch import main as run_child
from tests.support.moto_server import MotoServer
from tests.support.stored_bucket import (
    ARRAYS,
    OBJECTS,
    S3_BUCKET,
    S3_URL,
    command_json,
    expected,
    files_in,
)

EXPECTED = expected()


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def objects(moto_server: MotoServer) -> Store:
    """What lay in S3, there again: under the same name, since plans name it."""
    moto_server.create_bucket(S3_BUCKET)
    store = open_store(StoreAddress(S3_URL))
    store.delete([entry.key for page in store.list("") for entry in page])
    for key, path in files_in(OBJECTS):
        store.put(key, path.read_bytes())
    return store


def keys_of(store: Store) -> dict[str, bytes]:
    return {entry.key: store.get(entry.key) for page in store.list("") for entry in page}


def planned_spec(name: str) -> str:
    """The spec that the audit of an array run names."""
    key = f"sales/audit/{EXPECTED['orders'][name][3]}.json"
    (spec,) = json.loads((OBJECTS / key).read_bytes())["plan"]["specs"]
    return str(spec)


def counts_of(name: str) -> tuple[int, int]:
    output = command_json(f"plan {ARRAYS[name]}", S3_URL)
    return output["done"], output["pending"]


@pytest.mark.parametrize("name", ARRAYS)
def test_a_stored_plan_is_read_and_written_to_the_same_bytes(
    name: str, objects: Store, tmp_path: Path
) -> None:
    _, _, _, run_id, digest, _ = EXPECTED["orders"][name]
    store = open_store(StoreAddress(f"{S3_URL}/sales"))
    plan = read_plan(store, run_id, digest)
    tasks = [read_tasks(store, plan, child) for child in range(len(plan.shares))]
    created, ends = (datetime.fromisoformat(text) for text in (plan.created_at, plan.expires_at))
    setup = dump_setup(prepared_of(load_setup(plan)))
    (tmp_path / "plan").mkdir()
    copy = open_store(StoreAddress(f"file://{tmp_path}/plan"))
    again = write_plan(copy, run_id, setup, tasks, now=created, valid_for=ends - created)
    assert again == plan
    assert [len(share) for share in tasks] == [2, 1]
    for key, content in keys_of(copy).items():
        assert content == (OBJECTS / "sales" / key).read_bytes()
    assert {task.spec for share in tasks for task in share} == {planned_spec(name)}


def test_a_stored_array_run_has_nothing_left_to_do(objects: Store) -> None:
    before = keys_of(objects)
    assert counts_of("done") == (3, 0)
    run = command_json(f"forecast {ARRAYS['done']}", S3_URL)
    assert (run["partitions"]["skipped"], run["partitions"]["done"]) == (3, 0)
    now = keys_of(objects)
    assert {key: now[key] for key in before} == before
    assert {key.split("/")[1] for key in {*now} - {*before}} == {"audit"}
    frame = gigacast.read_forecasts(S3_URL, prefix="sales", model="seasonal-naive")
    assert (frame.attrs["spec"], len(frame)) == (planned_spec("done"), 54)
    assert np.isfinite(frame["predictions"].astype(float)).sum() == 36


def test_a_child_started_again_does_nothing(
    objects: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = keys_of(objects)
    order = EXPECTED["orders"]["done"]
    assert run_child(order, {"AWS_BATCH_JOB_ATTEMPT": "2"}) == 0
    summary = f"sales/audit/{order[3]}/0.json"
    changed = {key for key, content in keys_of(objects).items() if before.get(key) != content}
    assert changed == {summary}
    attempts = Audit.from_json(objects.get(summary), summary).plan["attempts"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2]  # type: ignore[attr-defined]
    capsys.readouterr()


def test_children_execute_a_stored_plan_that_was_never_started(
    objects: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert counts_of("planned") == (0, 3)
    order = EXPECTED["orders"]["planned"]
    for index in ("0", "1"):
        assert run_child(order, {"AWS_BATCH_JOB_ARRAY_INDEX": index}) == 0
    assert counts_of("planned") == (3, 0)
    assert counts_of("done") == (3, 0)
    capsys.readouterr()


def test_a_plan_that_was_changed_is_refused(
    objects: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    order = EXPECTED["orders"]["planned"]
    key = f"sales/plans/{order[3]}.json"
    objects.put(key, objects.get(key) + b" ")
    assert run_child(order, {}) == 2
    assert "PlanError" in capsys.readouterr().err
