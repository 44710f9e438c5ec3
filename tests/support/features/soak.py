"""A soak of served features: random events, uploads, streams and kills; then logs are compared.

The clock is simulated: days pass in seconds. ``make soak`` runs it for minutes.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.feature_store import (
    Aggregation,
    EventSource,
    GroupBy,
    Join,
    JoinPart,
    Operation,
    Query,
    select,
)
from gigacast.feature_store.definition.json import encode
from gigacast.feature_store.definition.name import name_of
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.stored import key_of
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.run import run_stream
from gigacast.feature_store.trust.consistency import ConsistencyResult, compare_logged
from gigacast.feature_store.trust.request_log import RequestLog
from tests.support.features.lake import Lake
from tests.support.features.quickstart_store import upload_day

DAY, HOUR = 86_400_000, 3_600_000
FIRST = 19_723 * DAY  # 2024-01-01
OPERATIONS = (
    Operation.SUM,
    Operation.AVERAGE,
    Operation.LAST_K(3),
    Operation.VARIANCE,
    Operation.UNIQUE_COUNT,
)
TYPES = {"user": pa.int64(), "price": pa.float64(), "ts": pa.int64()}
NAME, TOPIC = "soak.purchases", "purchases"


class KilledError(BaseException):
    """The end of a process at a write. No handler of errors may catch it."""


class KillingStore:
    """An online store whose process dies at one of its writes."""

    def __init__(self, store: MemoryOnlineStore, writes: int) -> None:
        self._store, self._left = store, writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_many(self, items: Iterable[Any], expires_at: int | None = None) -> None:
        self._count()
        self._store.put_many(items, expires_at)

    def put_if(self, *values: Any) -> bool:
        self._count()
        return self._store.put_if(*values)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise KilledError


def definitions() -> tuple[GroupBy, GroupBy, Join]:
    query = Query(selects=select("user", "price"), time_column="ts")
    live, daily = (
        GroupBy(
            name=name,
            sources=[EventSource(table="data.purchases", topic=topic, query=query)],
            keys=["user"],
            online=True,
            aggregations=[
                Aggregation(input_column="price", operation=operation, windows=windows)
                for operation in operations
            ],
        )
        for name, topic, operations, windows in (
            (NAME, TOPIC, OPERATIONS, ("1d", "7h")),
            ("soak.daily", None, (Operation.COUNT, Operation.MAX), ("2d",)),
        )
    )
    requests = EventSource(
        table="data.requests", query=Query(selects=select("user"), time_column="ts")
    )
    join = Join(
        name="soak.join",
        left=requests,  # type: ignore[arg-type]
        right_parts=[JoinPart(group_by=part) for part in (live, daily)],
    )
    return live, daily, join


class Soak:
    """A served join, whose every answer is logged."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.lake = Lake(folder)
        self.store = MemoryOnlineStore()
        live, daily, self.join = definitions()
        self.group_bys = (live, daily)
        for definition in (live, daily, self.join):
            self.lake.store.put(key_of(definition), encode(definition, {}))
        self.now = FIRST + DAY
        self.asked = FIRST
        self.rows: list[dict[str, Any]] = self._events(FIRST, self.now, 20)
        self.records: list[bytes] = []
        self.landed = 0
        self.kills = 0
        self._upload()

    def run(self, steps: int) -> ConsistencyResult:
        """Return what a comparison finds after some random steps."""
        actions = (self.buy, self.buy, self._stream, self.replay, self.ask, self._pass)
        for _ in range(steps):
            self.random.choice(actions)()
        self._pass(to_midnight=True)
        self.ask()
        return self.finish()

    def finish(self) -> ConsistencyResult:
        """Return what a comparison finds when today's events have landed, too."""
        self._land(self._day() + 1)
        results = [
            compare_logged(Backfill(definition, self.lake.address), Days())
            for definition in (self.join, *self.group_bys)
        ]
        assert [failure for result in results for _, failure in result.failures] == []
        figures = pa.concat_tables([result.figures for result in results])
        return replace(results[0], figures=figures)

    def _day(self) -> int:
        return (self.now - FIRST) // DAY

    def _events(self, first: int, last: int, count: int) -> list[dict[str, Any]]:
        return [
            {
                "user": self.random.randrange(4),
                "price": self.random.choice([None, 0.1, 1e16, -3.3, self.random.gauss(0, 9)]),
                "ts": self.random.randrange(first, last),
            }
            for _ in range(count)
        ]

    def buy(self) -> None:
        """Put events into the topic; none is earlier than an answer that could have seen it."""
        first = max(self.asked, FIRST + self.landed * DAY)
        if first < self.now:
            rows = self._events(first, self.now, self.random.randrange(1, 8))
            self.rows += rows
            self.records += [json.dumps(row).encode() for row in rows]
            if self.random.random() < 0.3:
                self.records.append(b"garbage")

    def _stream(self) -> None:
        """Apply the topic; the process may die at a write, and its successor goes on."""
        while True:
            store = self._mortal()
            try:
                stream = MemoryStream(TOPIC, {"0": self.records[::2], "1": self.records[1::2]})
                run_stream(StreamApplier(store, NAME, TOPIC), stream)
            except KilledError:
                self.kills += 1
            else:
                return

    def replay(self) -> None:
        """Apply the topic from its start, as a second writer does that knows no positions."""
        self._stream()
        applier = StreamApplier(self.store, NAME, TOPIC)
        stream = MemoryStream(TOPIC, {"0": self.records[::2], "1": self.records[1::2]})
        stream.seek({})
        while records := stream.read(self.random.randrange(1, 50), 0):
            applier.apply(records)

    def ask(self) -> None:
        """Log answers at the present; all events of before are applied."""
        self._stream()
        log = RequestLog(self.lake.store)
        fetcher = Fetcher(self.store, refresh_s=0, log=log)
        requests = [Request("soak.join", {"user": user}, self.now) for user in range(5)]
        responses = fetcher.fetch_join(requests)
        for group_by in self.group_bys:
            name = name_of(group_by)
            responses += fetcher.fetch_group_by([replace(r, name=name) for r in requests])
        log.close()
        assert [response.errors for response in responses] == [{}] * 15
        self.asked = self.now

    def _pass(self, *, to_midnight: bool = False) -> None:
        """Let time pass; after a midnight the day lands, and its batch may be uploaded."""
        before = self._day()
        self._stream()
        midnight = FIRST + (before + 1) * DAY
        self.now = midnight if to_midnight else self.now + self.random.randrange(1, 14 * HOUR)
        if self._day() > before:
            self._land(self._day())
            # An upload may be left out; then the batch is a day older.
            if self.random.random() < 0.7 or self._day() - self.landed_batch > 2:
                self._upload()

    def _land(self, days: int) -> None:
        """Write the tables of the days before a day."""
        for day in range(days):
            start = FIRST + day * DAY
            mine = [row for row in self.rows if start <= row["ts"] < start + DAY]
            rows = mine or self._nothing(start)
            self.lake.put_day("data.purchases", _name(day), rows, types=TYPES)
        self.landed = days

    def _nothing(self, start: int) -> list[dict[str, Any]]:
        return [{"user": -1, "price": None, "ts": start}]

    def _upload(self) -> None:
        self._land(self._day())
        self.landed_batch = self._day()
        while True:
            try:
                tables = self.lake.tables
                upload_day(tables, "soak.join", _name(self._day() - 1), self._mortal())
            except KilledError:
                self.kills += 1
            else:
                return

    def _mortal(self) -> Any:
        if self.random.random() < 0.3:
            return self.store
        return KillingStore(self.store, self.random.randrange(5))


def _name(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime((FIRST + day * DAY) // 1000))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run soaks until the time is over; the seed of one that differs is printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args(arguments)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    end = time.monotonic() + 60 * options.minutes
    answers = kills = 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            soak = Soak(Path(folder) / "lake", seed)
            result = soak.run(options.steps)
        if result.different:
            raise SystemExit(f"seed {seed}: {result.different} answers differ")
        answers += sum(result.figures["total"].to_pylist())
        kills += soak.kills
        seed += 1
    text = f"{answers:,} answers of features equal their backfill; {kills} kills"
    sys.stdout.write(f"{text}; last seed {seed - 1}\n")


if __name__ == "__main__":
    main()
