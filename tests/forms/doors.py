"""The doors of the package: each gives results that can be compared, or raises a refusal."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import gigacast
from gigacast.errors import GigacastError
from gigacast.job.file_job import FileJob, Reading, Sources
from gigacast.job.location import open_inputs
from gigacast.quality.run import QualityJob, measure_quality
from gigacast.series.frame import table_of as table_of_frame
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from gigacast.training.data import Reading as TrainingReading
from gigacast.training.data import TableData, find_partitions, write_corpus
from tests.forms.columns import instant
from tests.forms.form import Form, Parts, contents_of, key_of, options_of, parts_of, table_of
from tests.forms.panel import Panel
from tests.forms.tables import FRAMES

HORIZON = 3
NAIVE: dict[str, Any] = {"model": "seasonal-naive", "horizon": HORIZON}
Result = dict[Any, Any]


class RefusedPartitionError(GigacastError):
    """A failed partition of a run: its message and hint."""


class UnwritableError(Exception):
    """Raised when a library cannot write a form, so that there is nothing to read."""


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise UnwritableError(f"{type(error).__name__}: {error}") from error


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
    rows = [tuple(row.values()) for row in forecasts.to_pylist()]
    return tuple((int(row[0].removeprefix("item ")), row[1:]) for row in rows)


def _expected_forecast(parts: Parts) -> Result:
    result: Result = {}
    for item, (time, _, *numbers) in canonical_forecast(parts.panel):
        row = (instant(time, parts.times.zone), *map(_plain, numbers))
        result.setdefault(key_of(parts, item), []).append(row)
    return result


# -- forecasts -------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return a value of pandas, NumPy or Arrow as a value of Python; moments in UTC."""
    if hasattr(value, "to_pydatetime"):
        value = None if pd.isna(value) else value.to_pydatetime()
    elif hasattr(value, "to_pytimedelta"):
        value = value.to_pytimedelta()
    elif hasattr(value, "item") and callable(value.item):
        value = value.item()
    if value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def _moment(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value  # noqa: DTZ001


def _rows_of(frame: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(frame, pd.DataFrame):
        yield from frame.itertuples(index=False, name=None)
        return
    table = frame.read_all() if isinstance(frame, pa.RecordBatchReader) else frame
    table = table.to_arrow() if hasattr(table, "to_arrow") else table
    yield from (tuple(row.values()) for row in table.to_pylist())


def _by_series(frame: Any) -> Result:
    result: Result = {}
    for item, time, target, *numbers in _rows_of(frame):
        row = (_moment(time), *map(_plain, numbers))
        result.setdefault((_plain(item), target), []).append(row)
    return result


def _forecast_frame(parts: Parts) -> Result:
    frame = _frame_of(parts)
    forecasts = gigacast.forecast(frame, **NAIVE)
    _check_kind(forecasts, frame)
    return _by_series(forecasts)


def _check_kind(result: Any, frame: Any) -> None:
    kinds = (pd.DataFrame, pa.RecordBatch, pa.RecordBatchReader)
    frame_kind = next((kind for kind in kinds if isinstance(frame, kind)), pa.Table)
    if type(frame).__module__.startswith("polars"):
        frame_kind = type(frame)
    assert isinstance(result, frame_kind), f"{type(result)} for {type(frame)}"


def _frame_of(parts: Parts) -> Any:
    with _writing():
        return FRAMES[parts.form.carrier](table_of(parts, parts.panel.rows()))


@contextmanager
def _bucket(parts: Parts) -> Iterator[str]:
    if parts.form.door == "job on S3":
        yield MOTO[0].new_address().url
        return
    with tempfile.TemporaryDirectory(prefix="gigacast-forms-") as folder:
        yield f"file://{folder}"


MOTO: list[Any] = []
"""Server of S3, put here by whoever runs forms on S3."""


def _fill(url: str, parts: Parts, rows: Any = None) -> None:
    store = open_store(StoreAddress(url))
    with _writing():
        contents = list(contents_of(parts, rows))
    for key, content in contents:
        store.put(key, content)


def _options(parts: Parts) -> dict[str, Any]:
    return {**NAIVE, **options_of(parts)}


def _check(failures: Any, url: str) -> None:
    for task, failure in failures:
        assert failure.hint, f"a refusal without a remedy: {failure.message}"
        named = [entry.key for entry in task.inputs]
        assert any(key in failure.message for key in named), f"no file named: {failure.message}"
        raise RefusedPartitionError(failure.message, hint=failure.hint)
    del url


def _run_job(parts: Parts) -> Result:
    with _bucket(parts) as url:
        _fill(url, parts)
        run = gigacast.forecast(url, **_options(parts))
        _check(run.failures, url)
        assert run.status == "completed"
        return _by_series(gigacast.read_forecasts(url))


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
    result = gigacast.backtest(url, windows=2, **options)
    _check([failure[1:] for failure in result.failures], url)
    rows = result.leaderboard.to_table().to_pylist()
    return _rows_of_figures([row for row in rows if row["segment"] == "(all)"])


def _backtest_frame(parts: Parts) -> Result:
    frame = _frame_of(parts)
    board = gigacast.backtest(frame, windows=2, **NAIVE)
    _check_kind(board, frame)
    board = board.read_all() if isinstance(board, pa.RecordBatchReader) else board
    board = board.to_arrow() if hasattr(board, "to_arrow") else board
    rows = board.to_dict("records") if isinstance(board, pd.DataFrame) else board.to_pylist()
    return _rows_of_figures([row for row in rows if row["segment"] == "(all)"])


def _rows_of_figures(rows: list[dict[str, Any]]) -> Result:
    return {row["model"]: {name: _rounded(_plain(row[name])) for name in _FIGURES} for row in rows}


def _backtest_files(parts: Parts) -> Result:
    with _bucket(parts) as url:
        _fill(url, parts)
        return _backtest(url, _options(parts))


def _before_the_end(panel: Panel) -> list[Any]:
    """Return the rows of a panel without the steps that are forecast from them."""
    return [
        (item, panel.step.at(k), value)
        for item, rows in enumerate(panel.items)
        for k, value in rows
        if k <= rows[-1][0] - HORIZON
    ]


def _evaluate_files(parts: Parts) -> Result:
    with _bucket(parts) as url:
        _fill(url, parts, _before_the_end(parts.panel))
        run = gigacast.forecast(url, **_options(parts))
        _check(run.failures, url)
        _fill(url, parts)
        result = gigacast.evaluate(url, **_options(parts))
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
    data = TableData(table_of_frame(_frame_of(parts)))
    return _corpus(data.groups(), job_of(load_settings(nest_arguments({"bucket": "memory://x"}))))


def _train_on_files(parts: Parts) -> Result:
    with _bucket(parts) as url:
        _fill(url, parts)
        options = {n: v for n, v in _options(parts).items() if n not in NAIVE}
        job = job_of(load_settings(nest_arguments({**options, "bucket": url})))
        return _corpus(find_partitions(job, open_inputs(job.inputs)).groups(), job)


# -- quality and the loader ------------------------------------------------------------------------


def _measure_quality(parts: Parts) -> Result:
    with _bucket(parts) as url:
        _fill(url, parts)
        job = job_of(load_settings(nest_arguments({**_options(parts), "bucket": url})))
        reading = Reading(columns=job.method.columns)
        files = FileJob(Sources(job.inputs), job.outputs, job.pattern, job.selection, reading)
        result = measure_quality(QualityJob(files))
        _check(result.failures, url)
        (measured,) = result.report.partitions
        keys = measured.quality.keys
        columns = {column.name: column for column in measured.quality.columns}
        return {
            **{name: getattr(keys, name) for name in _COUNTS},
            "frequencies": dict(keys.frequencies),
            "first": keys.first,
            "last": keys.last,
            "missing": columns[parts.layout.target].missing,
        }


_COUNTS = ("rows", "series", "null_keys", "duplicates", "off_grid", "missing_steps", "gaps")


def _expected_quality(parts: Parts) -> Result:
    canonical = dict(_canonical_of_files(parts.panel, "quality"))
    times = [time for _, time, _ in parts.panel.rows()]
    if isinstance(times[0], datetime):
        first, last = (instant(time, parts.times.zone) for time in (min(times), max(times)))
        ends = {"first": f"{first.isoformat()}+00:00", "last": f"{last.isoformat()}+00:00"}
        canonical.update(ends)
    return canonical


def _load(parts: Parts) -> Result:
    with _bucket(parts) as url, tempfile.TemporaryDirectory(prefix="gigacast-forms-") as folder:
        _fill(url, parts)
        root = url + ("/in" if parts.form.place == "below a prefix" else "")
        config = Path(folder) / "loader.yaml"
        config.write_text(f'parquet_loader:\n  data_paths:\n    root_dir: "{root}"\n')
        name = parts.place.lone if parts.place else ""
        loaded = gigacast.ParquetDataLoader(config).load_training_data(name, year=2024)
        columns = loaded.columns
        names = (columns.item_id, columns.timestamp, *columns.targets)
        rows = loaded.table.select(names).to_pylist()
        return _sorted_rows(tuple(row.values()) for row in rows)


def _sorted_rows(rows: Any) -> Result:
    plain = [(_plain(item), _moment(time), _plain(value)) for item, time, value in rows]
    return {"rows": sorted(plain, key=str)}


def _expected_rows(parts: Parts) -> Result:
    zone = parts.times.zone
    return _sorted_rows(
        (key_of(parts, item)[0], instant(time, zone), value)
        for item, time, value in parts.panel.rows()
    )


# -- the canonical form ----------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _canonical_of_files(panel: Panel, door: str) -> Result:
    """Return the result of the canonical form of a panel, as a file."""
    times = "step int64" if panel.step.finest == "step" else "timestamp[us]"
    form = Form(
        panel="", ids="texts", times=times, values="double", layout="long", order="by item",
        carrier="Parquet", place="a month", door=door,
    )  # fmt: skip
    return given(parts_of(form, panel))


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
    "quality": (_measure_quality, _expected_quality),
    "loader": (_load, _expected_rows),
}
