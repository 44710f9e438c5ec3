"""Uploads: a batch appears whole, a rerun changes nothing, and former batches are dropped."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import ConfigError, StorageError
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.online.serving import read_group_by
from gigacast.feature_store.stored import find_stored
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.plan import UploadJob, parts_to_upload, plan_upload
from gigacast.feature_store.uploads.run import upload
from gigacast.feature_store.uploads.worker import UploadSetup
from gigacast.job.forecast_job import Resources
from tests.support.features.quickstart_store import compile_quickstart, upload_day, write_table

RETURNS = "quickstart.returns.v1"
JOIN = "quickstart.training_set.v2"
END = 19_693 * DAY  # 2023-12-02


def refunds(day: str, start: int, count: int = 40) -> list[dict[str, Any]]:
    """Return rows of a day for users 0 to 6."""
    return [
        {"ds": day, "ts": start + n * 60_000, "user_id": str(n % 7), "refund_amt": n + 1}
        for n in range(count)
    ]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Return the tables of a shop: returns and purchases of two days, users of one."""
    lake = tmp_path / "lake"
    rows = [*refunds("2023-11-30", END - 2 * DAY), *refunds("2023-12-01", END - DAY)]
    write_table(lake, "returns", rows)
    bought = [{**row, "purchase_price": row["refund_amt"] * 2} for row in rows]
    write_table(
        lake, "purchases", [{n: v for n, v in r.items() if n != "refund_amt"} for r in bought]
    )
    users = [("5", "2020-01-01", "1"), ("5", "2021-01-01", "0"), ("6", "2022-01-01", None)]
    write_table(
        lake,
        "users",
        [
            {"ds": "2023-12-01", "user_id": u, "account_created_ds": day, "email_verified": flag}
            for u, day, flag in users
        ],
    )
    write_table(lake, "checkouts", [{"ds": "2023-12-01", "ts": END - 5, "user_id": "5"}])
    return compile_quickstart(lake, tmp_path / "repository")


def fetch(store: Any, name: str, user: str, at: int = END + 5) -> dict[str, Any]:
    fetcher = Fetcher(store, refresh_s=0)
    ask = fetcher.fetch_join if "training_set" in name else fetcher.fetch_group_by
    [response] = ask([Request(name, {"user_id": user}, at)])
    assert response.errors == {}
    return response.values


class CountingStore(MemoryOnlineStore):
    """A store that counts writes and is gone at one of them."""

    writes = 0
    fatal = 0

    def put_many(self, *arguments: Any, **more: Any) -> None:
        self.count()
        super().put_many(*arguments, **more)

    def count(self) -> None:
        self.writes += 1
        if self.writes == self.fatal:
            raise StorageError("online store: gone")


def run(tables: Tables, name: str, day: str, store: Any, **options: Any) -> Any:
    definition = find_stored(tables.store, name).definition
    return upload(UploadJob(tables, parts_to_upload(definition), day, **options), store=store)


def test_an_upload_writes_its_record_receipt_and_audit(tables: Tables, tmp_path: Path) -> None:
    upload_day(tables, RETURNS, "2023-12-01", MemoryOnlineStore())

    lake = tmp_path / "lake"
    record = json.loads((lake / f"feature_store/uploads/{RETURNS}/2023-12-01.json").read_text())
    assert record["batch"]["end"] == END
    assert record["keys"] == 7
    [receipt] = (lake / "timings/feature_store/uploads").rglob("*.json")
    assert json.loads(receipt.read_text())["output"]["rows"] == 7
    [audit] = (lake / "audit").glob("upload_*.json")
    assert json.loads(audit.read_text())["status"] == "completed"


def test_a_second_upload_of_the_same_rows_writes_nothing(tables: Tables) -> None:
    store = CountingStore()
    upload_day(tables, JOIN, "2023-12-01", store)
    former, writes = store._values.copy(), store.writes

    result = upload_day(tables, JOIN, "2023-12-01", store)

    assert result.receipts == []
    assert result.skipped == ["quickstart.purchases.v1", RETURNS]
    assert store.writes == writes
    assert store._values == former


def test_a_store_that_was_lost_is_filled_again(tables: Tables) -> None:
    upload_day(tables, RETURNS, "2023-12-01", MemoryOnlineStore())
    store = MemoryOnlineStore()

    upload_day(tables, RETURNS, "2023-12-01", store)

    assert fetch(store, RETURNS, "5")["refund_amt_sum_3d"] > 0


def test_rows_that_changed_are_uploaded_again(tables: Tables, tmp_path: Path) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    before = fetch(store, RETURNS, "5")["refund_amt_sum_3d"]
    rows = [{**row, "refund_amt": 1000} for row in refunds("2023-12-01", END - DAY)]
    write_table(tmp_path / "lake", "returns", rows)

    upload_day(tables, RETURNS, "2023-12-01", store)

    assert fetch(store, RETURNS, "5")["refund_amt_sum_3d"] > before + 3000


def test_an_upload_that_dies_at_any_write_leaves_the_former_answers(tables: Tables) -> None:
    fatal = 1
    while True:
        store = CountingStore()
        upload_day(tables, RETURNS, "2023-11-30", store)
        before = fetch(store, RETURNS, "5")
        store.writes, store.fatal = 0, fatal
        result = run(tables, RETURNS, "2023-12-01", store)
        if not result.failures:
            break
        assert "gone" in result.failures[0][1].message
        assert fetch(store, RETURNS, "5") == before
        store.fatal = 0
        run(tables, RETURNS, "2023-12-01", store)
        assert fetch(store, RETURNS, "5") != before
        fatal += 1
    assert fatal == 4  # the mark, the values, the pointer


def test_the_batch_before_the_newest_stays_and_older_ones_are_dropped(tables: Tables) -> None:
    store = MemoryOnlineStore()
    for day in ("2023-11-30", "2023-12-01", "2023-12-02"):
        upload_day(tables, RETURNS, day, store)

    batches = {key.split("/")[3] for key, _ in store.scan("b/")}
    served = read_group_by(store, RETURNS)
    assert served.previous is not None
    assert batches == {served.batch.id, served.previous.id}
    assert served.batch.day == "2023-12-02"


def test_one_who_read_the_pointer_before_an_upload_answers_as_before(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-11-30", store)
    fetcher = Fetcher(store, refresh_s=60)
    request = Request(RETURNS, {"user_id": "5"}, END - 1)
    [before] = fetcher.fetch_group_by([request])

    upload_day(tables, RETURNS, "2023-12-01", store)

    assert fetcher.fetch_group_by([request])[0].values == before.values


def test_an_earlier_day_does_not_replace_a_later_one_unless_it_is_told_to(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)

    result = run(tables, RETURNS, "2023-11-30", store)

    assert "serves a later batch, 2023-12-01" in result.failures[0][1].message
    upload_day(tables, RETURNS, "2023-11-30", store, overwrite=True)
    assert read_group_by(store, RETURNS).batch.day == "2023-11-30"


def test_of_two_uploads_at_a_time_one_serves_and_the_other_says_so(tables: Tables) -> None:
    class Overtaken(MemoryOnlineStore):
        overtake = True

        def put_many(self, *arguments: Any, **more: Any) -> None:
            if self.overtake:
                self.overtake = False
                upload_day(tables, RETURNS, "2023-12-01", self)
            super().put_many(*arguments, **more)

    store = Overtaken()

    result = run(tables, RETURNS, "2023-11-30", store)

    assert "another upload finished at the same time" in result.failures[0][1].message
    assert fetch(store, RETURNS, "5")["refund_amt_sum_3d"] > 0


def test_little_memory_changes_no_value(tables: Tables) -> None:
    plain, small = MemoryOnlineStore(), MemoryOnlineStore()
    upload_day(tables, JOIN, "2023-12-01", plain)
    upload_day(tables, JOIN, "2023-12-01", small, resources=Resources(memory_limit_bytes=1 << 10))

    assert {k: v.value for k, v in plain.scan("b/")} == {k: v.value for k, v in small.scan("b/")}


def test_the_last_row_of_an_entity_in_the_snapshot_is_served(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, "quickstart.users.v1", "2023-12-01", store)

    assert fetch(store, "quickstart.users.v1", "5") == {
        "account_created_ds": "2021-01-01",
        "email_verified": "0",
    }
    assert fetch(store, "quickstart.users.v1", "7") == {
        "account_created_ds": None,
        "email_verified": None,
    }


def test_a_worker_of_another_process_uploads_the_same(tables: Tables, tmp_path: Path) -> None:
    definition = find_stored(tables.store, RETURNS).definition
    url = f"sqlite:{tmp_path}/online.sqlite"
    job = UploadJob(tables, parts_to_upload(definition), "2023-12-01", online_store=url)
    own_store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", own_store, online_store=url)
    online = open_online_store(url, tables.root)
    plan, _ = plan_upload(job, online)

    worker = pickle.loads(pickle.dumps(UploadSetup(job, "upload_1")))()
    receipt = worker(plan.tasks[0])

    assert receipt.output["rows"] == 7
    assert {k: v.value for k, v in online.scan("b/")} == {
        k: v.value for k, v in own_store.scan("b/")
    }
    online.close()


def test_a_staging_query_is_not_served(tables: Tables) -> None:
    from gigacast.feature_store import StagingQuery

    with pytest.raises(ConfigError, match="not served"):
        parts_to_upload(StagingQuery("SELECT 1", name="a.b"))  # type: ignore[arg-type]
