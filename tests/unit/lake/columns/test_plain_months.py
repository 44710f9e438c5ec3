"""A plan made in columns is that of the planner that looks at one key after the other.

The oracle is `slow_planner`. Keys are drawn near the borders of what is plain: other formats beside
Parquet, generations, twins, levels below a month, names of another month, names that only begin
like one.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.partition.name import NamingPattern
from gigacast.core.partition.task import Task
from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.lake.layout import receipt_key, spec_prefix
from gigacast.lake.plan import planner
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.planner import Plan, PlanRequest, make_plan
from gigacast.lake.plan.rows import DoneEntry
from gigacast.storage.memory import MemoryStore
from tests.unit.lake.columns.slow_planner import slow_plan
from tests.unit.lake.plans import REQUEST, SPEC

counter = itertools.count()

folders = st.sampled_from(
    [*["2024/01"] * 8, *["2024/02"] * 3, "2024/01/shelf=4", "2024/01/bucket=07", "2024/01/x",
     "2024/01-old", "2024/01 copy", "2024/01%2F", "2024/1", "2024", "year=2024/month=1",
     "year=2024/month=01", "year=2024/month=01/shelf=4", "store=12/2024/01",
     "store=12/year=2024/month=1", "store=ä%/year=2024/month=01"]
)  # fmt: skip
stems = st.one_of(
    st.builds("part{}{}".format, st.sampled_from("-_."), st.sampled_from("0129ä")),
    st.builds(
        "{}_{}_h{}_2024_{}_{}".format,
        st.sampled_from(["EUR", "A_1min_h5", "A_1min_h5_2024_01_ab", "ü b", "part-0"]),
        st.sampled_from(["1min", "5min", "1h", "x"]),
        st.sampled_from(["15", "60", "090"]),
        st.sampled_from(["01", "01", "02"]),
        st.sampled_from(["ab", "0F", "cd.parquet", "xyz"]),
    ),
    st.sampled_from(
        ["EUR_1min_h15", "part", "part-0_h1", "_SUCCESS", ".part-0", "other", "100%", "part-0.csv",
         "part-0.parquet", "part-0.00112233445566ab.00112233445566ab"]
    ),
)  # fmt: skip
endings = st.sampled_from([*[".parquet"] * 6, ".csv", ".json", ".json", ".txt", "", ".PARQUET"])
selections = st.builds(
    Selection,
    months=st.builds(MonthFilter, st.none(), st.sampled_from([None, IntRange(1, 1)])),
    symbols=st.sampled_from([frozenset(), frozenset({"EUR", "ü b"})]),
    timeframes=st.sampled_from([frozenset(), frozenset({"1min"})]),
    context_partitions=st.sampled_from([0, 0, 0, 1]),
    by_month=st.sampled_from([False, False, False, True]),
    by_bucket=st.booleans(),
)
patterns = st.sampled_from(
    [*[NamingPattern()] * 5, NamingPattern(panel=r"(?P<stem>p.+)\.(?P<extension>[a-z]+)")]
)
requests = st.builds(
    lambda selection, horizon, overwrite, pattern: replace(
        REQUEST, selection=selection, horizon=horizon, overwrite=overwrite, pattern=pattern
    ),
    selections,
    st.sampled_from([7, None]),
    st.sampled_from([False, False, False, True]),
    patterns,
)


@pytest.fixture(autouse=True)
def _every_month_in_columns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(planner, "FEW", 0)
    return iter(())


def plans_of(store: MemoryStore, request: PlanRequest) -> list[tuple[Plan, list[DoneEntry]]]:
    fast_done: list[DoneEntry] = []
    slow_done: list[DoneEntry] = []
    fast = make_plan(store, store, request, on_done=fast_done.extend)
    slow = slow_plan(store, request, slow_done.append)
    return [(fast, fast_done), (slow, slow_done)]


STATES = ["done"] * 4 + ["new", "output", "receipt", "old", "empty", "twice"]


def settle(store: MemoryStore, task: Task, state: str) -> None:
    """Bring a partition into a state: with an output and receipts, or without either."""
    etag = "of nothing"
    if state not in {"new", "receipt"}:
        etag = store.put(task.output_key, b"forecast")
    if state not in {"new", "output"}:
        input_id = "0" * 16 if state == "old" else task.input_id
        store.put(receipt_key(task.output_key, input_id, etag), b"" if state == "empty" else b"r")
    if state == "twice":
        store.put(receipt_key(task.output_key, "f" * 16, "of another output"), b"r")
        store.put(receipt_key(task.output_key, "0" * 16, "of another output"), b"r")


def all_tasks(store: MemoryStore, request: PlanRequest) -> list[Task]:
    selection = replace(request.selection, months=MonthFilter())
    wide = replace(request, selection=selection, overwrite=True)
    return slow_plan(store, wide, lambda entry: None).tasks


@st.composite
def buckets(draw: st.DrawFn) -> tuple[MemoryStore, PlanRequest]:
    """Draw a bucket in which some partitions are done, some half done, and some outputs left."""
    request = draw(requests)
    store = MemoryStore(f"plain-{next(counter)}")
    # Few folders and stems, so that names meet.
    own_folders = draw(st.lists(folders, min_size=1, max_size=3))
    own_stems = draw(st.lists(stems, min_size=1, max_size=6))
    own_endings = draw(st.lists(endings, min_size=1, max_size=3))
    own_keys = st.builds(
        "{}/{}{}".format, *map(st.sampled_from, (own_folders, own_stems, own_endings))
    )
    for key in draw(st.lists(own_keys, max_size=14, unique=True)):
        store.put(key, key.encode())
    for task in all_tasks(store, request):
        settle(store, task, draw(st.sampled_from(STATES)))
    for key in draw(st.lists(own_keys, max_size=4, unique=True)):
        below = spec_prefix("model", "v1", SPEC.id(draw(st.sampled_from([7, 15, 64]))))
        if draw(st.booleans()):
            store.put(below + key, b"orphan")
        receipt = draw(
            st.sampled_from([receipt_key(below + key, "1" * 16, "e"), f"timings/{below}{key}"])
        )
        store.put(receipt, b"r")
    return store, request


def assert_equal_plans(store: MemoryStore, request: PlanRequest) -> Plan:
    (fast, fast_done), (slow, slow_done) = plans_of(store, request)
    assert fast == slow
    assert list(fast.months) == list(slow.months)
    assert fast_done == slow_done
    return fast


@settings(max_examples=60, deadline=None)
@given(buckets())
def test_a_plan_in_columns_is_that_of_the_slow_planner(
    drawn: tuple[MemoryStore, PlanRequest],
) -> None:
    assert_equal_plans(*drawn)


def named(symbol: str, month: str, generation: str, ending: str = "parquet") -> str:
    return f"2024/{month}/{symbol}_1min_h15_2024_{month}_{generation}.{ending}"


FOLDERS = {
    "generations": [
        *(named(s, "01", g) for g in ("cd", "ab", "ef") for s in ("EUR", "A_B", "USD")),
        *(named(s, "01", g, "json") for g in ("ab", "cd") for s in ("EUR", "A_B")),
        *(f"2024/01/part-{n}.parquet" for n in range(12)),
        "2024/01/_SUCCESS", "2024/01/part-0.parquet.crc", "2024/01/part-3.json",
    ],
    "csv": [*(f"2024/02/part-{n}.csv" for n in range(12)), named("EUR", "02", "ab", "csv")],
    "two formats": ["2024/03/part-0.csv", "2024/03/part-0.parquet", "2024/03/part-0.csv.parquet"],
    "levels": [f"store=1/2024/04/shelf={n % 3}/p{n}.parquet" for n in range(9)],
    "json": [f"2024/05/part-{n}.json" for n in range(10)],
    "another month": [named("EUR", "06", "ab"), "2024/06/EUR_1min_h15_2024_07_ab.parquet"],
    "spellings": ["year=2024/month=8/a.parquet", "year=2024/month=08/a.parquet"],
}  # fmt: skip


@pytest.mark.parametrize("first", range(0, len(STATES), 3))
@pytest.mark.parametrize(
    "request_of",
    [
        REQUEST,
        replace(REQUEST, horizon=None),
        replace(REQUEST, overwrite=True),
        replace(REQUEST, selection=Selection(by_month=True)),
        replace(REQUEST, selection=Selection(symbols=frozenset({"EUR", "A_B"}))),
        replace(REQUEST, selection=Selection(months=MonthFilter(None, IntRange(1, 2)))),
    ],
)  # fmt: skip
def test_every_kind_of_folder_is_planned_alike(request_of: PlanRequest, first: int) -> None:
    store = MemoryStore(f"plain-{next(counter)}")
    for key in (key for own in FOLDERS.values() for key in own):
        store.put(key, key.encode())
    states = itertools.islice(itertools.cycle(STATES), first, None)
    for task, state in zip(all_tasks(store, request_of), states, strict=False):
        settle(store, task, state)
    store.delete(["2024/01/part-5.parquet", "2024/02/part-3.csv"])
    below = spec_prefix("model", "v1", SPEC.id(7))
    store.put(receipt_key(f"{below}2024/01/part-99.parquet", "1" * 16, "e"), b"r")
    store.put(f"timings/{below}2024/01/part-1.parquet.json", b"r")
    plan = assert_equal_plans(store, request_of)
    assert plan.discovered
    assert plan.orphans or request_of.selection.symbols or request_of.selection.by_month


def test_a_million_partitions_need_no_pandas() -> None:
    """Conversions of pyarrow import it: 0.2 s of every plan."""
    code = (
        "import sys; from gigacast.lake.plan import planner; planner.FEW = 0;"
        "from tests.unit.lake.plans import *; from gigacast.storage.memory import MemoryStore;"
        "store = MemoryStore('s'); store.put(PART, b'x');"
        "store.put('2024/01/A_1min_h5_2024_01_ab.parquet', b'x');"
        "do(store, plan_of(store).tasks[0]);"
        "done = done_of(store); assert len(done) == 1, done;"
        "print('pandas' in sys.modules)"
    )
    places = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=places
    )
    assert done.stdout.strip() == "False"
