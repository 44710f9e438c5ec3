"""An upload waits for an online store that is away, and nothing of it is half visible."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gigacast.cli.program import run
from gigacast.core.exit import EXIT_AGAIN
from gigacast.errors import OutageError, TransientStorageError
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.run import UploadResult
from gigacast.job.forecast_job import Resources
from gigacast.job.outage import Patience
from gigacast.storage.store import StoreAddress
from tests.support.features.quickstart_store import compile_quickstart, upload_day, write_table

RETURNS = "quickstart.returns.v1"
JOIN = "quickstart.training_set.v2"
END = 19_693 * DAY  # 2023-12-02
DAYS = ("2023-11-29", "2023-11-30", "2023-12-01")
FOREVER = 1e9


class Clock:
    """A clock that moves by sleeping."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class LeavingStore(MemoryOnlineStore):
    """An online store that is away for some seconds from its n-th request on.

    Whenever it is asked, also in vain, the served answers must be those of one of two days.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.requests = 0
        self.leaves_at = 0
        self.seconds = 0.0
        self.has_effect = False
        self.back_at = 0.0
        self.answers: list[Any] = []
        self.is_watched = False

    @contextmanager
    def _asked(self) -> Iterator[None]:
        if self.clock.now < self.back_at:
            raise TransientStorageError("online store: away")
        self.requests += 1
        is_last = self.requests == self.leaves_at
        if is_last:
            self.back_at = self.clock.now + self.seconds
        if is_last and not self.has_effect:
            raise TransientStorageError("online store: leaves before the effect")
        yield
        if is_last:
            raise TransientStorageError("online store: leaves after the effect")

    def get_many(self, *arguments: Any) -> Any:
        if self.is_watched:
            self.watch()
            with self._asked():
                return super().get_many(*arguments)
        return super().get_many(*arguments)

    def put_many(self, *arguments: Any, **more: Any) -> None:
        with self._asked():
            super().put_many(*arguments, **more)
        self.watch()

    def put_if(self, *arguments: Any, **more: Any) -> bool:
        # `put_many`, which this calls, is the request.
        written = super().put_if(*arguments, **more)
        self.watch()
        return written

    def drop(self, prefix: str) -> int:
        with self._asked():
            count = super().drop(prefix)
        self.watch()
        return count

    def watch(self) -> None:
        """Fetch what is served now, past the outage."""
        if self.is_watched:
            self.is_watched = False
            self.answers.append(served(self))
            self.is_watched = True


def served(store: Any) -> Any:
    [answer] = Fetcher(store, refresh_s=0).fetch_group_by([Request(RETURNS, {"user_id": "5"}, END)])
    assert answer.errors == {}
    return answer.values


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Return the tables of a shop: returns of three days."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [
        {"ds": day, "ts": start + n * 60_000, "user_id": str(n % 7), "refund_amt": n + 1}
        for day, start in zip(DAYS, (END - 3 * DAY, END - 2 * DAY, END - DAY), strict=True)
        for n in range(20)
    ]
    write_table(folder / "lake", "returns", rows)
    bought = [{**row, "purchase_price": row.pop("refund_amt")} for row in rows]
    write_table(folder / "lake", "purchases", bought)
    user = {"user_id": "5", "account_created_ds": "2020-01-01", "email_verified": "1"}
    write_table(folder / "lake", "users", [{"ds": "2023-12-01", **user}])
    return compile_quickstart(folder / "lake", folder / "repository")


@cache
def _values(root: StoreAddress, days: tuple[str, ...]) -> dict[str, Any]:
    store = MemoryOnlineStore()
    for day in days:
        upload_day(Tables.at(root), RETURNS, day, store, overwrite=True)
    return store._values


def values_of(tables: Tables, *days: str) -> dict[str, Any]:
    """Return the values of a store after undisturbed uploads of some days."""
    return _values(tables.root, days)


def resources(clock: Clock, limit_s: float = 600.0) -> Resources:
    @dataclass(frozen=True)
    class Waiting(Resources):
        by: ClassVar[Patience] = Patience(limit_s, clock.sleep, lambda: clock.now)

        @property
        def patience(self) -> Patience:
            return self.by

    return Waiting()


def upload_later(
    tables: Tables, leaves_at: int, seconds: float, **more: Any
) -> tuple[LeavingStore, Any, Any, UploadResult | None]:
    """Upload a day over a former one, to a store that leaves; return both days' answers, too."""
    clock = Clock()
    store, calm = LeavingStore(clock), MemoryOnlineStore()
    store._values.update(values_of(tables, *DAYS[:2]))
    calm._values.update(values_of(tables, *DAYS))
    former = served(store)
    store.leaves_at, store.seconds, store.is_watched = leaves_at, seconds, True
    vars(store).update(more)
    result = None
    try:
        result = upload_day(
            tables, RETURNS, "2023-12-01", store, overwrite=True, resources=resources(clock)
        )
    except OutageError:
        clock.now = FOREVER
    store.is_watched = False
    return store, former, served(calm), result


@pytest.mark.parametrize("has_effect", [False, True])
def test_an_outage_at_any_request_is_waited_out_and_nothing_is_half_visible(
    tables: Tables, has_effect: bool
) -> None:
    leaves_at = 0
    while True:
        leaves_at += 1
        store, former, new, result = upload_later(tables, leaves_at, 300, has_effect=has_effect)
        assert served(store) == new != former
        assert all(answer in (former, new) for answer in store.answers)
        if store.requests < leaves_at:
            break
        assert result is not None
        assert store.clock.now >= 300
    assert leaves_at > 6  # plan, pointer, mark, values, pointer, old batches


@pytest.mark.parametrize("leaves_at", range(1, 6))
def test_a_long_outage_ends_the_upload_and_the_former_batch_is_served(
    tables: Tables, leaves_at: int
) -> None:
    store, former, new, result = upload_later(tables, leaves_at, FOREVER)
    assert result is None
    assert served(store) == former
    assert all(answer == former for answer in store.answers)
    # The same command, later, continues.
    store.leaves_at = 0
    upload_day(tables, RETURNS, "2023-12-01", store)
    assert served(store) == new


def test_the_command_ends_with_code_75_says_why_and_its_audit_has_failed(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LeavingStore(Clock())
    # Two requests of the plan and of the task, then the mark of the batch.
    store.is_watched, store.watch = True, lambda: None  # type: ignore[method-assign]
    store.leaves_at, store.seconds = 3, FOREVER
    monkeypatch.setattr("gigacast.feature_store.uploads.run.open_online_store", lambda *_: store)
    monkeypatch.setattr("gigacast.feature_store.uploads.worker.open_online_store", lambda *_: store)
    words = ["feature-store", "upload", RETURNS, "--ds", "2023-12-01", "--outage_minutes", "0.0001"]
    code = run([*words, "--bucket", tables.root.url])
    assert code == EXIT_AGAIN
    shown = capsys.readouterr().err
    assert "online store: leaves before the effect" in shown
    assert "--outage_minutes" in shown
    folder = Path(tables.root.url.removeprefix("file://"))
    newest = max((folder / "audit").glob("upload_*.json"), key=lambda path: path.stat().st_mtime_ns)
    audit = json.loads(newest.read_text())
    assert audit["status"] == "failed"
    assert audit["failures"][-1]["error"] == "OutageError"


def test_joins_are_named_once_although_their_writing_was_interrupted(tables: Tables) -> None:
    def uploaded(leaves_at: int) -> tuple[int, list[str]]:
        clock = Clock()
        store = LeavingStore(clock)
        store.leaves_at, store.seconds, store.watch = leaves_at, 60, lambda: None  # type: ignore[method-assign]
        store.is_watched = True
        result = upload_day(tables, JOIN, "2023-12-01", store, resources=resources(clock))
        assert clock.now >= 60 or not leaves_at
        return store.requests, result.joins

    requests, joins = uploaded(0)
    assert joins == ["quickstart.training_set.v2"]
    # The last two read and write the definition of the join.
    for leaves_at in (requests - 1, requests):
        assert uploaded(leaves_at)[1] == joins
