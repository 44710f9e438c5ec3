"""The same data in any form gives the same result, or one clear refusal: the small grid.

`make forms` tries many more (`tests/forms/__main__.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gigacast
from tests.forms.doors import canonical_table
from tests.forms.form import AXES, FILE_DOORS, Form, is_possible
from tests.forms.law import Outcome, covering_forms, draw, try_form
from tests.forms.panel import PANELS, STEPS, draw_panel
from tests.forms.results import HORIZON, MOTO, NAIVE
from tests.forms.values import VALUES
from tests.support.moto_server import MotoServer

GRIDS = {
    "frames": (
        [("times", "order"), ("ids", "layout"), ("values", "layout"), ("panel",), ("carrier",)],
        {"door": "forecast"},
    ),
    "files": (
        [("place", "layout"), ("carrier",), ("ids",), ("times",), ("values",)],
        {"door": "job"},
    ),
    **{
        door: ([("carrier",), ("ids",), ("order",)], {"door": door})
        for door in FILE_DOORS
        if not door.startswith("job")
    },
}
"""Groups of axes whose combinations are covered, and the entries that are the same in all forms."""


def faults_of(outcomes: list[Outcome]) -> str:
    return "\n".join(f"{o.form}: {o.detail}" for o in outcomes if o.kind == "fault")


@cache
def grid(name: str) -> list[Form]:
    pairs, fixed = GRIDS[name]
    return list(covering_forms(1, pairs, fixed))


PORTIONS = [
    pytest.param(name, number, count, id=f"{name}, {number + 1} of {count}")
    for name, count in {name: 8 if name == "frames" else 4 for name in GRIDS}.items()
    for number in range(count)
]
"""Portions of about equal size: a test each, so that several processes share them."""


@pytest.mark.parametrize(("name", "number", "count"), PORTIONS)
def test_every_form_gives_the_canonical_result_or_one_clear_refusal(
    name: str, number: int, count: int
) -> None:
    outcomes = [try_form(form) for form in grid(name)[number::count]]
    assert faults_of(outcomes) == ""
    assert "read" in {outcome.kind for outcome in outcomes}


def test_forms_on_s3_are_read_like_those_in_folders(s3: MotoServer) -> None:
    chance = Random(7)
    drawn = (draw(chance, {"door": "job on S3"}) for _ in range(25))
    assert faults_of([try_form(form) for form in drawn if form is not None]) == ""


@pytest.fixture
def s3(moto_server: MotoServer) -> Iterator[MotoServer]:
    MOTO.append(moto_server)
    yield moto_server
    MOTO.clear()


def forms() -> st.SearchStrategy[Form]:
    axes = {name: st.sampled_from(entries) for name, entries in AXES.items()}
    return st.builds(Form, **axes | {"door": st.just("forecast"), "place": st.just("memory")})


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(
    form=forms(),
    step=st.sampled_from(list(STEPS.values())),
    seed=st.integers(0, 2**16),
    shape=st.sampled_from(["ragged", "aligned", "complete"]),
    items=st.integers(1, 4),
)
def test_panels_drawn_by_hypothesis_keep_the_law(
    form: Form, step: object, seed: int, shape: str, items: int
) -> None:
    panel = draw_panel(step, seed, shape=shape, items=items)  # type: ignore[arg-type]
    if not is_possible(form, panel):
        return
    assert faults_of([try_form(form, panel)]) == ""


@pytest.mark.parametrize("name", PANELS)
def test_canonical_forecasts_continue_each_series_step_by_step(name: str) -> None:
    panel = PANELS[name]
    rows = gigacast.forecast(canonical_table(panel), **NAIVE).to_pylist()
    for item, known in enumerate(panel.items):
        own = [row for row in rows if row["item_id"] == f"item {item}"]
        last = known[-1][0]
        expected = [panel.step.at(last + ahead) for ahead in range(1, HORIZON + 1)]
        assert [row["timestamp"] for row in own] == expected
        assert {row["fallback"] for row in own} == {None}


PLAIN = Form(
    panel="days, ragged", ids="texts", times="date32", values="double", layout="long",
    order="by item", carrier="pandas", place="memory", door="forecast",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda table: table.slice(1, 30), "expected"),
        (lambda table: table.drop_columns("item_id"), "series"),
        (lambda table: table.rename_columns(["a", "b", "c"]), "refused"),
        (lambda table: 1 / 0, "raw ZeroDivisionError"),
    ],
    ids=["lost rows", "merged items", "an unexpected refusal", "a raw error"],
)
def test_a_fault_is_noticed(
    change: Callable[[Any], Any], detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert try_form(PLAIN).kind == "read"
    forecast = gigacast.forecast

    def faulty(data: Any, **options: Any) -> Any:
        table = pa.Table.from_pandas(data, preserve_index=False)
        return forecast(change(table), **options).to_pandas()

    monkeypatch.setattr(gigacast, "forecast", faulty)
    outcome = try_form(PLAIN)
    assert outcome.kind == "fault"
    assert detail in outcome.detail


def test_a_refusal_that_is_not_expected_any_more_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(VALUES, "double", replace(VALUES["double"], refused="no such words"))
    assert "read, expected a refusal" in try_form(PLAIN).detail
