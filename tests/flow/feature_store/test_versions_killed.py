"""Versions of features while backfills are killed, or run at the same time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gigacast.storage.opening import open_store
from tests.flow.feature_store.shop import DAYS, purchases, put_shop, training_set
from tests.flow.feature_store.test_versions import (
    JOIN,
    change_day,
    lake,
    read,
    stored,
    versions,
)
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.features.lake import Lake

__all__ = ["lake"]  # the fixture: a shop of eight days


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> Iterator[None]:
    """Let every store of a backfill fail at a request, as if the process were killed there."""
    with monkeypatch.context() as patch:
        stores: dict[str, FaultyStore] = {}

        def opened(address: Any) -> FaultyStore:
            return stores.setdefault(address.url, FaultyStore(open_store(address), [fault]))

        patch.setattr("gigacast.feature_store.table.open_store", opened)
        yield


LAST_WRITE = 12
"""Writes of the run below, without those of surveys, tiles and audits."""


def is_result(key: str) -> bool:
    return not key.startswith(("feature_store/surveys/", "feature_store/tiles/", "audit/"))


@pytest.mark.parametrize("nth", range(1, LAST_WRITE + 2))
def test_readers_see_a_whole_version_whenever_a_backfill_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    lake = Lake(tmp_path / "lake")
    put_shop(lake)
    join = training_set(purchases(("1d",)))
    lake.backfill(join, DAYS[2], DAYS[4])
    before = read(lake)
    change_day(lake, 2)
    try:
        with crashing(monkeypatch, Fault(WRITES, matches=is_result, nth=nth)):
            lake.backfill(join, DAYS[2], DAYS[5])
        assert nth == LAST_WRITE + 1
    except SimulatedCrash:
        assert nth <= LAST_WRITE
        assert read(lake, version="v1") == before
        now = read(lake)
        assert now == before or len({row["ds"] for row in now}) == 4
    lake.backfill(join, DAYS[2], DAYS[5])
    assert read(lake, version="v1") == before
    assert read(lake) == lake.read(join)
    assert [*versions(lake)] == ["v1", "v1.1"]


def test_two_backfills_at_once_publish_whole_versions(lake: Lake) -> None:
    spans = [(DAYS[0], DAYS[3]), (DAYS[4], DAYS[7])]
    errors: list[BaseException] = []

    def run(span: tuple[str, str]) -> None:
        try:
            lake.backfill(JOIN, *span)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(span,)) for span in spans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    lake.backfill(JOIN)
    assert read(lake) == stored(lake)
    for version in versions(lake):
        days = {row["ds"] for row in read(lake, version=version)}
        assert days in ({*DAYS[:4]}, {*DAYS[4:]}, {*DAYS})


def test_a_run_leaves_the_days_of_a_killed_one_out_until_that_is_resumed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.backfill(JOIN, last=DAYS[1])
    written = "feature_store/tables/default/shop_training_set/"
    fault = Fault(("put_if_absent",), matches=lambda key: key.startswith(written), nth=3)
    with pytest.raises(SimulatedCrash), crashing(monkeypatch, fault):
        lake.backfill(JOIN, DAYS[2], DAYS[6])
    assert len({row["ds"] for row in stored(lake)}) == 4
    lake.backfill(JOIN, DAYS[7], DAYS[7])
    assert {row["ds"] for row in read(lake)} == {*DAYS[:2], DAYS[7]}
    lake.backfill(JOIN, DAYS[2], DAYS[6])
    assert read(lake) == stored(lake)
