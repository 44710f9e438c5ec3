"""The doors of the package: each gives results that can be compared, or raises a refusal."""

import math
import tempfile
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import gigacast
from gigacast.job.location import open_inputs
from gigacast.series.frame import table_of as table_of_frame
from gigacast.settings.assembly import job_of
from gigacast.settings.doors import BUCKET
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.training.data import Reading as TrainingReading
from gigacast.training.data import TableData, find_partitions, write_corpus
from tests.forms.data_doors import (
    cleaned_forecasts,
    expected_quality,
    expected_rows,
    imported_forecasts,
    loaded_rows,
    quality_of,
)
from tests.forms.form import Parts, canonical_form, key_of, parts_of, table_of
from tests.forms.panel import Panel
from tests.forms.results import (
    HORIZON,
    NAIVE,
    Result,
    bucket_of,
    by_series,
    check_failures,
    fill,
    options_for,
    plain,
    refused_warnings,
    writing,
)
from tests.forms.tables import FRAMES
from tests.forms.times import instant

# -- what is expected ------------------------------------------------------------------------------


def expected(parts: Parts) -> Result:
    """Return the result of the canonical form, with the ids and times of another form."""
    door = _DOORS[parts.form.door]
    return door[1](parts)


def given(parts: Parts) -> Result:
    """Return the result of a form.

    Raises
    ------
    GigacastError
        If it is refused.
    """
    door = _DOORS[parts.form.door]
    return door[0](parts)


def canonical_table(panel: Panel) -> pa.Table:
    """Return a panel as a table with texts, timestamps in microseconds and float64."""
    items, times, values = zip(*panel.rows(), strict=True)
    kind = pa.timestamp("us") if isinstance(times[0], datetime) else pa.int64()
    return pa.table(
        {
            "item_id": [f"item {item}" for item in items],
            "timestamp": pa.array(times, kind),
            "target": pa.array(values, pa.float64()),
        }
    )


@lru_cache(maxsize=512)
def canonical_forecast(panel: Panel) -> tuple[tuple[int, tuple[Any, ...]], ...]:
    """Return item and row of each forecast of the canonical form."""
    forecasts = gigacast.forecast(canonical_table(panel), **NAIVE)
    rows = [tuple(row.values()) for row in forecasts.drop_columns(["cutoff"]).to_pylist()]
    return tuple((int(row[0].removeprefix("item ")), row[1:]) for row in rows)


def _expected_forecast(parts: Parts) -> Result:
    result: Result = {}
    for item, (time, _, *numbers) in canonical_forecast(parts.panel):
        row = (instant(time, parts.times.zone), *map(plain, numbers))
        result.setdefault(key_of(parts, item), []).append(row)
    return result


def _expected_of_rows(parts: Parts) -> Result:
    """Return the forecasts; those of a wide frame have the id of frames, not of files."""
    lone = parts.layout.kind == "wide"
    forecasts = _expected_forecast(parts)
    return {("series" if lone else item, name): r for (item, name), r in forecasts.items()}


# -- forecasts -------------------------------------------------------------------------------------


def _forecast_frame(parts: Parts) -> Result:
    frame = _frame_of(parts)
    forecasts = gigacast.forecast(frame, **NAIVE, **parts.layout.options)
    _check_kind(forecasts, frame)
    return by_series(forecasts)


def _check_kind(result: Any, frame: Any) -> None:
    kinds = (pd.DataFrame, pa.RecordBatch, pa.RecordBatchReader)
    frame_kind = next((kind for kind in kinds if isinstance(frame, kind)), pa.Table)
    if type(frame).__module__.startswith("polars"):
        frame_kind = type(frame)
    assert isinstance(result, frame_kind), f"{type(result)} for {type(frame)}"


def _frame_of(parts: Parts) -> Any:
    with writing():
        return FRAMES[parts.form.carrier](table_of(parts, parts.panel.rows()))


def _run_job(parts: Parts) -> Result:
    with bucket_of(parts) as url:
        fill(url, parts)
        with refused_warnings():
            run = gigacast.forecast(url, **options_for(parts))
        check_failures(run.failures)
        assert run.status == "completed"
        return by_series(gigacast.read_forecasts(url))


# -- backtests and evaluations ---------------------------------------------------------------------


_FIGURES = ("forecasts", "steps", "missed", "undefined", "mase", "wql", "sql", "rmse", "bias")


def _figures(figures: Any) -> Result:
    return {name: _rounded(getattr(figures, name)) for name in figures.__dataclass_fields__}


def _rounded(value: Any) -> Any:
    # Sums over series depend on their order in the last digit.
    if isinstance(value, tuple):
        return tuple(map(_rounded, value))
    return f"{value:.9g}" if isinstance(value, float) else value


def _backtest(url: str, options: dict[str, Any]) -> Result:
    with refused_warnings():
        result = gigacast.backtest(url, windows=2, **options)
    check_failures([failure[1:] for failure in result.failures])
    rows = result.leaderboard.to_table().to_pylist()
    return _rows_of_figures([row for row in rows if row["segment"] == "(all)"])


def _backtest_frame(parts: Parts) -> Result:
    frame = _frame_of(parts)
    board = gigacast.backtest(frame, windows=2, **NAIVE, **parts.layout.options)
    _check_kind(board, frame)
    board = board.read_all() if isinstance(board, pa.RecordBatchReader) else board
    board = board.to_arrow() if hasattr(board, "to_arrow") else board
    rows = board.to_dict("records") if isinstance(board, pd.DataFrame) else board.to_pylist()
    return _rows_of_figures([row for row in rows if row["segment"] == "(all)"])


def _rows_of_figures(rows: list[dict[str, Any]]) -> Result:
    return {row["model"]: {name: _rounded(plain(row[name])) for name in _FIGURES} for row in rows}


def _backtest_files(parts: Parts) -> Result:
    with bucket_of(parts) as url:
        fill(url, parts)
        return _backtest(url, options_for(parts))


def _before_the_end(panel: Panel) -> list[Any]:
    """Return the rows of a panel without the steps that are forecast from them."""
    return [
        (item, panel.step.at(k), value)
        for item, rows in enumerate(panel.items)
        for k, value in rows
        if k <= rows[-1][0] - HORIZON
    ]


def _evaluate_files(parts: Parts) -> Result:
    with bucket_of(parts) as url:
        fill(url, parts, _before_the_end(parts.panel))
        with refused_warnings():
            run = gigacast.forecast(url, **options_for(parts))
        check_failures(run.failures)
        fill(url, parts)
        # Whether whole months were forecast is known from the forecasts.
        used = BUCKET["evaluate"] - {"partition_by"}
        options = {n: v for n, v in options_for(parts).items() if n in used}
        result = gigacast.evaluate(url, **options)
        assert not result.failures, result.failures
        (figures,) = result.figures["version"].values()
        return {**_figures(figures), "matched": result.matched, "waiting": result.waiting}


# -- training --------------------------------------------------------------------------------------


def _corpus(groups: Any, job: Any) -> Result:
    with tempfile.TemporaryDirectory(prefix="gigacast-forms-") as folder:
        corpus = write_corpus(groups, TrainingReading(job.method), Path(folder), 1)
        values, offsets = corpus.values.tolist(), corpus.offsets.tolist()
        series = [
            tuple(None if math.isnan(v) else v for v in values[start:stop])
            for start, stop in pairwise(offsets)
        ]
        return {"series": sorted(series, key=str), "skipped": dict(corpus.skipped)}


def _train_on_frame(parts: Parts) -> Result:
    options = {"bucket": "memory://x", **parts.layout.options}
    data = TableData(table_of_frame(_frame_of(parts)))
    return _corpus(data.groups(), job_of(load_settings(nest_arguments(options))))


def _train_on_files(parts: Parts) -> Result:
    with bucket_of(parts) as url:
        fill(url, parts)
        options = {n: v for n, v in options_for(parts).items() if n not in NAIVE}
        job = job_of(load_settings(nest_arguments({**options, "bucket": url})))
        return _corpus(find_partitions(job, open_inputs(job.inputs)).groups(), job)


# -- the canonical form ----------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _canonical_of_files(panel: Panel, door: str) -> Result:
    """Return the result of the canonical form of a panel, as a file."""
    return given(parts_of(canonical_form(panel, door), panel))


def _expected_of_files(parts: Parts) -> Result:
    return _canonical_of_files(parts.panel, parts.form.door)


def _backtest_door(parts: Parts) -> Result:
    return _backtest_files(parts) if parts.file else _backtest_frame(parts)


def _training_door(parts: Parts) -> Result:
    return _train_on_files(parts) if parts.file else _train_on_frame(parts)


_DOORS = {
    "forecast": (_forecast_frame, _expected_forecast),
    "job": (_run_job, _expected_forecast),
    "job on S3": (_run_job, _expected_forecast),
    "backtest": (_backtest_door, _expected_of_files),
    "evaluate": (_evaluate_files, _expected_of_files),
    "training": (_training_door, _expected_of_files),
    "quality": (quality_of, expected_quality),
    "loader": (loaded_rows, expected_rows),
    "import": (imported_forecasts, _expected_of_rows),
    "clean": (cleaned_forecasts, _expected_of_rows),
}
