"""The backfill as a job: what is done stays, what changed is done again, a kill harms nothing."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gigacast.feature_store import Accuracy
from gigacast.feature_store.engine import local
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.runtime.choice import InlineExecutor
from tests.flow.feature_store.shop import DAYS, FIRST, purchases, put_shop, training_set
from tests.support.features.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    put_shop(lake)
    return lake


def outputs(lake: Lake) -> dict[str, bytes]:
    root = lake.root / "feature_store/tables"
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.parquet"))}


def run_days(lake: Lake) -> list[str]:
    """Return the days that the last run computed."""
    newest = max((lake.root / "audit").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    run_id = json.loads(newest.read_text())["session_id"]
    receipts = [json.loads(p.read_text()) for p in (lake.root / "timings").rglob("*.json")]
    return sorted(r["partition"][-10:] for r in receipts if r["run_id"] == run_id)


def test_a_second_run_computes_nothing_and_changes_no_byte(lake: Lake) -> None:
    first = lake.backfill(training_set())
    before = outputs(lake)
    second = lake.backfill(training_set())
    assert (first.pending, first.done) == (8, 0)
    assert (second.pending, second.done) == (0, 8)
    assert outputs(lake) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"2024-01-01": "x"}', b"[" * 100_000])
def test_a_damaged_survey_of_the_left_side_is_made_again(lake: Lake, content: bytes) -> None:
    lake.backfill(training_set())
    surveys = {p: p.read_bytes() for p in (lake.root / "feature_store/surveys").rglob("*.json")}
    assert surveys
    for path in surveys:
        path.write_bytes(content)
    assert lake.backfill(training_set()).pending == 0
    assert {p: p.read_bytes() for p in surveys} == surveys


def test_a_changed_old_partition_makes_exactly_the_days_pending_that_see_it(lake: Lake) -> None:
    join = training_set(purchases(("2d",)))
    lake.backfill(join)
    lake.put_day("data.purchases", DAYS[2], [{"user": 1, "price": 999, "ts": FIRST + 2}], part=1)
    result = lake.backfill(join)
    # The day after sees it first; a window of two days and the day before it are scanned.
    assert run_days(lake) == DAYS[3:7]
    assert (result.pending, result.done) == (4, 4)
    assert lake.backfill(join).pending == 0


def test_a_partition_that_comes_late_makes_the_days_pending_that_see_it(lake: Lake) -> None:
    lake.drop_day("data.purchases", DAYS[3])
    join = training_set(purchases(("1d",)))
    result = lake.backfill(join)
    assert result.missing == {"data.purchases": (DAYS[3],)}
    lake.put_day("data.purchases", DAYS[3], [{"user": 1, "price": 5, "ts": FIRST + 3 * 86_400_000}])
    assert lake.backfill(join).missing == {}
    assert run_days(lake) == DAYS[4:7]


def test_another_definition_of_the_same_name_is_computed_again(lake: Lake) -> None:
    lake.backfill(training_set(purchases(("2d",))))
    assert lake.backfill(training_set(purchases(("3d",)))).pending == 8
    renamed = replace(training_set(purchases(("3d",))), description="words change no value")
    assert lake.backfill(renamed).pending == 0


def test_receipts_name_the_partitions_that_were_read(lake: Lake) -> None:
    lake.backfill(training_set(purchases(("1d",))), DAYS[4], DAYS[4])
    (file,) = (lake.root / "timings/feature_store").rglob("*.json")
    receipt = json.loads(file.read_text())
    names = [entry["key"] for entry in receipt["inputs"]]
    assert names == [
        "feature_store/definitions/joins/shop/training_set.json",
        f"data.checkouts/ds={DAYS[4]}",
        *(f"data.purchases/ds={day}" for day in DAYS[1:4]),
    ]
    assert all(entry["etag"] for entry in receipt["inputs"])


class Processes:
    """An executor whose tasks share no memory, as those of several processes; but counts."""

    def run(self, tasks: Sequence[Any], setup: Any) -> Iterator[Any]:
        for task in tasks:
            fresh = pickle.loads(pickle.dumps(setup))
            yield from InlineExecutor().run([task], fresh)


@pytest.mark.parametrize("executor", [InlineExecutor(), Processes()])
@pytest.mark.parametrize("accuracy", [Accuracy.SNAPSHOT, Accuracy.TEMPORAL])
def test_each_day_of_a_source_is_read_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, accuracy: Accuracy, executor: Any
) -> None:
    read: Counter[str] = Counter()
    read_rows = local.read_rows

    def counted(table: Any, files: Any, *more: Any) -> Any:
        read.update(meta.key for meta in files)
        return read_rows(table, files, *more)

    monkeypatch.setattr(local, "read_rows", counted)
    join = training_set(replace(purchases(None), accuracy=accuracy))
    # In two runs, of which the second goes on from what the first has read.
    for days in (DAYS[:5], DAYS[5:]):
        result = backfill_days(
            Backfill(join, lake.address), Days(days[0], days[-1]), executor=executor
        )
        assert not result.failures
    sources = {key: count for key, count in read.items() if "purchases" in key}
    seen = DAYS if accuracy == Accuracy.TEMPORAL else DAYS[:7]
    assert sources == {f"data/purchases/ds={day}/part-0.parquet": 1 for day in seen}


def test_the_stages_of_a_join_give_the_bytes_of_the_whole(lake: Lake) -> None:
    join = training_set()
    lake.backfill(join)
    name = "default/shop_training_set/"
    complete = {key: content for key, content in outputs(lake).items() if key.startswith(name)}
    for key in complete:
        (lake.root / "feature_store/tables" / key).unlink()
    early = backfill_days(Backfill(join, lake.address, only="final"), Days())
    assert "run --only parts before" in str(early.failures[0][1].hint)
    for only in ("left", "parts", "final"):
        lake.backfill(join, only=only)
    assert {k: v for k, v in outputs(lake).items() if k.startswith(name)} == complete
    assert lake.backfill(join).pending == 0


def test_only_the_newest_day_is_made_where_holes_are_not_filled(lake: Lake) -> None:
    result = lake.backfill(training_set(historical_backfill=False))
    assert result.days == (DAYS[-1],)


def test_a_plan_alone_writes_no_table(lake: Lake) -> None:
    result = backfill_days(Backfill(training_set(), lake.address), Days(), is_dry=True)
    assert (result.run_id, result.pending) == ("", 8)
    assert not (lake.root / "feature_store/tables").exists()
    assert not (lake.root / "audit").exists()


SCRIPT = """
import sys, time
from pathlib import Path
from gigacast.feature_store.engine import local
from tests.flow.feature_store.shop import training_set
from tests.support.features.lake import Lake
project = local.LocalEngine.aggregate
def slow(self, *values):
    time.sleep(0.2)
    return project(self, *values)
local.LocalEngine.aggregate = slow
Lake(Path(sys.argv[1])).backfill(training_set())
"""


def test_a_killed_run_goes_on_where_it_stopped_and_gives_the_same_bytes(
    lake: Lake, tmp_path: Path
) -> None:
    clean = Lake(tmp_path / "clean")
    put_shop(clean)
    clean.backfill(training_set())
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'lib'}"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(lake.root)], env=environment, cwd=root
    )
    deadline = time.monotonic() + 60
    table = lake.root / "feature_store/tables/default/shop_training_set"
    while len(list(table.rglob("*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(table.rglob("*.parquet")))
    assert 2 <= done < 8
    result = lake.backfill(training_set())
    assert result.done >= done - 1  # the kill may fall between an output and its receipt
    assert outputs(lake) == outputs(clean)
