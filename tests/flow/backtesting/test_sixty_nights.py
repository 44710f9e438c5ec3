"""Sixty nights over a growing bucket: what is read and every figure is that of plain Python.

Days arrive, some of them late; a value is corrected; a series dies; a run is killed between its
forecast and its receipt; the model changes. The oracle knows nothing of stores: it has the rows of
each run, and compares them one by one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest

import gigacast
from gigacast.forecasting import worker
from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame

URL = "memory://sixty-nights"
FIRST = date(2024, 1, 12)
NIGHTS, HORIZON, KEEP = 60, 3, 7
LEVELS = (0.1, 0.5, 0.9)
LATE, KILLED, CORRECTED, CHANGED, DEAD = (8, 27), 13, 21, 33, 17
EVALUATED = (9, 22, 24, 45, 59)

Values = dict[tuple[str, date], float]
Rows = dict[tuple[str, date], list[tuple[date | None, float, tuple[float, ...]]]]
"""Steps of a forecast by item and cutoff: time, median, quantiles."""


class KilledError(BaseException):
    """The end of a process."""


@dataclass
class File:
    """A forecast of a partition, as a run made it."""

    label: date
    order: int
    rows: Rows


@dataclass
class Oracle:
    """What there is, in plain Python."""

    current: dict[tuple[str, str], File] = field(default_factory=dict)
    kept: dict[tuple[str, str], list[File]] = field(default_factory=dict)
    scores: dict[tuple[str, str, date], list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, place: tuple[str, str], file: File) -> None:
        former = self.current.get(place)
        if former is not None and former.rows == file.rows:
            return
        self.current[place] = file
        if former is not None:
            files = [*self.kept.get(place, []), former]
            files.sort(key=lambda f: (f.label, f.order), reverse=True)
            self.kept[place] = files[: KEEP - 1]

    def files(self, place: tuple[str, str]) -> list[File]:
        """Return all forecasts of a partition, the latest first."""
        return [self.current[place], *self.kept.get(place, [])]

    def evaluate(self, values: Values) -> None:
        for place in self.current:
            counted: set[tuple[str, date]] = set()
            own: dict[date, list[dict[str, Any]]] = {}
            for file in self.files(place):
                series = own.setdefault(file.label, [])
                for key, steps in file.rows.items():
                    if key not in counted:
                        series.append(scored(place, key, steps, values))
                        counted.add(key)
            for label, series in own.items():
                self.scores[*place, label] = series


def scored(
    place: tuple[str, str],
    key: tuple[str, date],
    steps: list[tuple[date | None, float, tuple[float, ...]]],
    values: Values,
) -> dict[str, Any]:
    item, cutoff = key
    month = place[1][:7].replace("/", "-")
    history = [
        values.get((item, day))
        for day in days(date.fromisoformat(f"{month}-01"), cutoff)
        if any(i == item and d <= day and f"{d:%Y-%m}" == month for i, d in values)
    ]
    pairs = [(a, b) for a, b in zip(history, history[7:], strict=False)]
    changes = [abs(b - a) for a, b in pairs if a is not None and b is not None]
    scale = sum(changes) / len(changes) if changes and sum(changes) else None
    met = [
        (step, values[item, day], median, quantiles)
        for step, (day, median, quantiles) in enumerate(steps, start=1)
        if (item, day) in values
    ]
    return {"item": item, "cutoff": cutoff, "scale": scale, "met": met, "steps": len(steps)}


def days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


def figures(series: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures over some series, from their definitions."""
    met = [m for s in series for m in s["met"]]
    magnitude = sum(abs(y) for _, y, _, _ in met)
    losses = [
        sum(2 * abs((y - q[n]) * ((y <= q[n]) - level)) for _, y, _, q in met)
        for n, level in enumerate(LEVELS)
    ]
    scaled = [s for s in series if s["met"] and s["scale"]]
    return {
        "steps": len(met),
        "rmse": (sum((y - m) ** 2 for _, y, m, _ in met) / len(met)) ** 0.5,
        "wql": sum(losses) / len(losses) / magnitude,
        "mase": mean([mean([abs(y - m) for _, y, m, _ in s["met"]]) / s["scale"] for s in scaled]),
    }


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else float("nan")


def only_step(series: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    return [{**s, "met": [m for m in s["met"] if m[0] == step]} for s in series]


class Bucket:
    """The lake, night by night."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.values: Values = {}
        self._waiting: Values = {}

    def arrive(self, night: int) -> set[str]:
        """Write the files of the months that a night changes, and return these."""
        today = FIRST + timedelta(days=night)
        fresh = days(date(2024, 1, 1), today) if night == 0 else [today]
        new = {(i, day): value_of(i, day) for day in fresh for i in items_at(night, day)}
        if night in LATE:  # the day of item b comes three nights later
            self._waiting = {("b", today): new.pop(("b", today))}
        if night - 3 in LATE:
            new |= self._waiting
        if night == CORRECTED:
            new["a", today - timedelta(days=4)] = 99.0
        self.values |= new
        months = {f"{day:%Y/%m}" for _, day in new}
        for month in months:
            rows = [
                {"item_id": i, "timestamp": pd.Timestamp(day), "target": value}
                for (i, day), value in sorted(self.values.items())
                if f"{day:%Y/%m}" == month
            ]
            put_frame(self.store, f"{month}/part-0.parquet", pd.DataFrame(rows))
        return months


def items_at(night: int, day: date) -> list[str]:
    return ["a", "b"] if day > FIRST + timedelta(days=DEAD) else ["a", "b", "dead"]


def value_of(item: str, day: date) -> float:
    number = day.toordinal()
    return float((number * number + 7 * len(item)) % 23 + (number % 7) * (1 + (item == "b")))


def rows_of(frame: pd.DataFrame) -> Rows:
    rows: Rows = {}
    for row in frame.to_dict("records"):
        key = (str(row["item_id"]), row["cutoff"].date())
        quantiles = tuple(row[str(level)] for level in LEVELS)
        # A series of one value has no frequency, and so no times ahead.
        day = None if pd.isna(row["timestamp"]) else row["timestamp"].date()
        rows.setdefault(key, []).append((day, row["predictions"], quantiles))
    return rows


def forecast(config: Path, levels: tuple[float, ...] = LEVELS, **options: Any) -> None:
    result = gigacast.forecast(
        URL, config=config, model="seasonal-naive", horizon=HORIZON, quantiles=levels, **options
    )
    assert not result.failures


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "settings.yaml"
    path.write_text(f"forecast:\n  keep_origins: {KEEP}\n")
    yield path
    forget_memory("sixty-nights")


def run_night(night: int, config: Path) -> None:
    # From some night on the method is another one: its forecasts have a spec of their own.
    options = {"non_negative": True} if night >= CHANGED else {}
    if night == KILLED:
        killed = mock.patch.object(worker, "write_receipt", side_effect=KilledError)
        with killed, pytest.raises(KilledError):
            forecast(config, **options)
    forecast(config, **options)


def read_back(oracle: Oracle, night: int, months: set[str]) -> None:
    """Give the oracle the rows of the night's run, partition by partition."""
    if night == CHANGED:  # everything is forecast again
        months = {partition[:7] for _, partition in oracle.current} | months
    for month in sorted(months):
        partition = f"{month}/part-0"
        frame = gigacast.read_forecasts(URL, partitions=[partition])
        rows = rows_of(frame)
        newest = max(cutoff for _, cutoff in rows)
        oracle.add((frame.attrs["spec"], partition), File(newest, night, rows))


def check_reading(oracle: Oracle) -> None:
    """The days that are kept, and all of them, are read as they were made."""
    for spec, partition in oracle.current:
        files = oracle.files((spec, partition))
        chosen = {"spec": spec, "partitions": [partition]}
        latest: Rows = {}
        for file in reversed(files):
            latest |= file.rows
        assert rows_of(gigacast.read_forecasts(URL, origin="all", **chosen)) == latest
        for label in {file.label for file in files}:
            expected = next(file.rows for file in files if file.label == label)
            assert rows_of(gigacast.read_forecasts(URL, origin=label, **chosen)) == expected


def check_figures(oracle: Oracle, store: Store) -> None:
    result = gigacast.evaluate(URL, worst=5)
    assert not result.failures
    names = {key[0]: spec_of(key[0], oracle) for key in result.figures["version"]}
    for name, spec in names.items():
        own = {key[1:]: series for key, series in oracle.scores.items() if key[0] == spec}
        every = [s for series in own.values() for s in series]
        same(result.figures["version"][name, "all"], every)
        for month in {partition for partition, _ in own}:
            series = [s for (partition, _), part in own.items() if partition == month for s in part]
            same(result.figures["month"][name, month[:7].replace("/", "-")], series)
        for label in {label for _, label in own}:
            series = [s for (_, day), part in own.items() if day == label for s in part]
            same(result.figures["origin"][name, label.isoformat()], series)
        for step in range(1, HORIZON + 1):
            same(result.figures["step"][name, str(step)], only_step(every, step))
    total = [s for series in oracle.scores.values() for s in series]
    assert result.steps == sum(s["steps"] for s in total)
    assert result.matched == sum(len(s["met"]) for s in total)
    assert [w.figures.mase for w in result.worst] == pytest.approx(worst_of(oracle), rel=1e-5)
    audits = len([e for page in store.list("audit/") for e in page])
    assert gigacast.evaluate(URL).to_json()["matched"] == result.matched
    assert len([e for page in store.list("audit/") for e in page]) == audits, "done is done again"


def spec_of(name: str, oracle: Oracle) -> str:
    specs = {spec for spec, _ in oracle.current}
    return name.rpartition("/")[2] if len(specs) > 1 else specs.pop()


def worst_of(oracle: Oracle) -> list[float]:
    series: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for (spec, partition, _), part in oracle.scores.items():
        for scores in part:
            series.setdefault((spec, partition, scores["item"]), []).append(scores)
    errors = [figures(own)["mase"] for own in series.values() if any(s["met"] for s in own)]
    return sorted((e for e in errors if not math.isnan(e)), reverse=True)[:5]


def same(got: Any, series: list[dict[str, Any]]) -> None:
    if not any(s["met"] for s in series):
        assert got.steps == 0
        return
    expected = figures(series)
    got_figures = {name: getattr(got, name) for name in expected}
    assert got_figures == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_every_figure_of_sixty_nights_is_that_of_plain_python(config: Path) -> None:
    store = open_store(StoreAddress(URL))
    bucket, oracle = Bucket(store), Oracle()
    for night in range(NIGHTS):
        months = bucket.arrive(night)
        run_night(night, config)
        read_back(oracle, night, months)
        if night in EVALUATED:
            oracle.evaluate(bucket.values)
            check_figures(oracle, store)
            check_reading(oracle)
    partitions = {partition for _, partition in oracle.current}
    assert len(partitions) == 3
    assert len(oracle.current) == 5  # January and February of two specs
