"""Whatever keys lie beside the month folders, the plan is that of a planner without any order.

A listing sorts ``2024/01.txt``, ``2024/01-old/x`` and ``2024/01 copy/x`` before ``2024/01/x``. The
oracle looks at a set of all keys, so that it can't depend on their order.
"""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.partition.name import NamingPattern
from gigacast.core.partition.spec import Spec
from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.lake.layout import receipt_key
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.file_plan import find_partitions
from gigacast.lake.plan.months import walk_months
from gigacast.lake.plan.planner import Plan, PlanRequest, make_plan
from gigacast.storage.memory import MemoryStore

SPEC = Spec(model="model", version="v1", levels=(0.1, 0.5, 0.9), fields={"digest": "d"})
REQUEST = PlanRequest(spec=SPEC, horizon=7, model_horizon=64)
BELOW = f"forecasts/model/v1/{SPEC.id(7)}/"
MONTH = r"(?:\d{4}/(?:0[1-9]|1[0-2])|year=\d{4}/month=(?:0?[1-9]|1[0-2]))"
DATA = re.compile(rf"(?:(?!y){MONTH}/part[-_.][^/]+|(?=y){MONTH}/[^/_.][^/]*)\.(?:parquet|csv)")
names = (f"planner-order-{n}" for n in itertools.count())

months = st.sampled_from(
    ["2024/01", "2024/02", "2024/12", "2023/12", "year=2024/month=1", "year=2024/month=01",
     "year=2024/month=10", "year=2024/month=2"]
)  # fmt: skip
# Characters before and after the slash, and those that UTF-8 and UTF-16 sort differently.
tails = st.sampled_from(
    ["", " copy", "!", "%2F", "+", "-old", ".", ".txt", ".csv", "0", "1", "_x", "~", "ä", "\uff61",
     "\U0001f600"]
)  # fmt: skip
files = st.sampled_from(
    ["", "/part-0.parquet", "/part-1.parquet", "/part-0.x/deep.parquet", "/part-.csv",
     "/part-0.parquet/part-0.parquet", "/other.txt"]
)  # fmt: skip
keys = st.builds(lambda month, tail, file: month + tail + file, months, tails, files)
inside = st.builds(lambda month, file: month + file, months, files.filter(bool))


def output_of(key: str) -> str:
    return BELOW + (key if key.endswith(".parquet") else f"{key}.parquet")


def fill(inputs: set[str], forecast: set[str]) -> MemoryStore:
    store = MemoryStore(next(names))
    for key in inputs:
        store.put(key, key.encode())
    tasks = {task.output_key: task for task in make_plan(store, store, REQUEST).tasks}
    for output_key in map(output_of, forecast):
        etag = store.put(output_key, b"forecast")
        if task := tasks.get(output_key):
            store.put(receipt_key(output_key, task.input_id, etag), b"{}")
    return store


@settings(max_examples=120, deadline=None)
@given(
    st.sets(st.one_of(keys, inside), max_size=12),
    st.sets(st.one_of(keys, inside), max_size=6),
    st.sets(st.integers(0, 11)),
)
def test_a_plan_from_pages_equals_the_plan_of_all_keys(
    inputs: set[str], extra: set[str], chosen: set[int]
) -> None:
    forecast = {key for n, key in enumerate(sorted(inputs)) if n in chosen} | extra
    store = fill(inputs, forecast)
    partitions = {key for key in inputs if DATA.fullmatch(key)}
    plan = make_plan(store, store, REQUEST)
    assert {t.inputs[0].key for t in plan.tasks} == partitions - forecast
    assert len(plan.tasks) == len(partitions - forecast)
    assert plan.totals.done == len(partitions & forecast)
    claimed = {output_of(key) for key in partitions}
    in_months = {output_of(key) for key in forecast if re.match(f"{MONTH}/", key)}
    assert set(plan.orphans) == in_months - claimed
    assert len(plan.orphans) == len(set(plan.orphans))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.one_of(keys, inside), max_size=12), st.sampled_from([None, 1, 12]))
def test_every_walker_finds_the_same_partitions(inputs: set[str], month: int | None) -> None:
    store = fill(inputs, set())
    only = None if month is None else IntRange(month, month)
    selection = Selection(months=MonthFilter(None, only))
    pattern = NamingPattern()
    partitions = {key for key in inputs if DATA.fullmatch(key)}
    named = {key: pattern.parse(key) for key in partitions}
    expected = {k for k, n in named.items() if n and month in {None, n.month.month}}
    walked = list(walk_months(store, pattern, selection))
    assert sorted(p.inputs[0].key for f in walked for p in f.content.partitions) == sorted(expected)
    found_partitions = list(find_partitions(store, pattern, selection, Plan()))
    assert sorted(file.input.key for file in found_partitions) == sorted(expected)
    assert len({file.path for file in found_partitions}) == len(expected)
    planned = make_plan(store, store, replace(REQUEST, selection=selection)).tasks
    assert sorted(task.inputs[0].key for task in planned) == sorted(expected)


def test_a_folder_listed_between_two_files_does_not_divide_their_month() -> None:
    """``part-0.json`` describes ``part-0.parquet``, though ``part-0.m/`` sorts between them."""
    store = fill({"2024/01/part-0.json", "2024/01/part-0.m/x", "2024/01/part-0.parquet"}, set())
    (folder,) = walk_months(store, NamingPattern(), Selection())
    assert [p.inputs[0].key for p in folder.content.partitions] == ["2024/01/part-0.parquet"]
    assert folder.content.twins == 1


@pytest.mark.parametrize("sibling", ["2024/01.txt", "2024/01-old/part-0.parquet", "2024/01"])
def test_a_forecast_listed_beside_a_sibling_is_done_and_not_an_orphan(sibling: str) -> None:
    store = fill({"2024/01/part-0.parquet", sibling}, {"2024/01/part-0.parquet"})
    plan = make_plan(store, store, REQUEST)
    assert (plan.tasks, plan.orphans, plan.totals.done) == ([], [], 1)
    assert plan.stale_receipts == []
