"""The doors of data: quality, the loader, imports and cleaning."""

import tempfile
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

import gigacast
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, clean_dataset
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.csv_file import CsvReading
from gigacast.datasets.importing import import_files
from gigacast.datasets.publish import PublishOptions
from gigacast.datasets.resolve import rows_in
from gigacast.job.file_job import FileJob, Reading, Sources
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.publication import Author
from gigacast.quality.measures import Limit, Thresholds
from gigacast.quality.run import QualityJob, measure_quality
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.forms.form import Parts, canonical_form, key_of, parts_of
from tests.forms.panel import Panel
from tests.forms.results import (
    NAIVE,
    Result,
    bucket_of,
    by_series,
    check_failures,
    fill,
    moment_of,
    options_for,
    plain,
)
from tests.forms.times import instant


def quality_of(parts: Parts) -> Result:
    """Return measures of the files of a form."""
    with bucket_of(parts) as url:
        fill(url, parts)
        job = job_of(load_settings(nest_arguments({**options_for(parts), "bucket": url})))
        reading = Reading(columns=job.method.columns, csv=job.method.csv)
        files = FileJob(Sources(job.inputs), job.outputs, job.pattern, job.selection, reading)
        result = measure_quality(QualityJob(files))
        check_failures(result.failures)
        (measured,) = result.report.partitions
        keys = measured.quality.keys
        target = options_for(parts).get("targets", parts.layout.target)
        columns = {column.name: column for column in measured.quality.columns}
        return {
            **{name: getattr(keys, name) for name in _COUNTS},
            "frequencies": dict(keys.frequencies),
            "first": keys.first,
            "last": keys.last,
            "missing": columns[target].missing,
        }


_COUNTS = ("rows", "series", "null_keys", "duplicates", "off_grid", "missing_steps", "gaps")


@lru_cache(maxsize=512)
def _canonical_quality(panel: Panel) -> Result:
    return quality_of(parts_of(canonical_form(panel, "quality"), panel))


def expected_quality(parts: Parts) -> Result:
    """Return the measures of the canonical form, at the instants of another one."""
    canonical = dict(_canonical_quality(parts.panel))
    times = [time for _, time, _ in parts.panel.rows()]
    if isinstance(times[0], datetime):
        first, last = (instant(time, parts.times.zone) for time in (min(times), max(times)))
        ends = {"first": f"{first.isoformat()}+00:00", "last": f"{last.isoformat()}+00:00"}
        canonical.update(ends)
    return canonical


def loaded_rows(parts: Parts) -> Result:
    """Return the rows that the loader loads."""
    with bucket_of(parts) as url, tempfile.TemporaryDirectory(prefix="gigacast-forms-") as folder:
        fill(url, parts)
        root = url + ("/in" if parts.form.place == "below a prefix" else "")
        config = Path(folder) / "loader.yaml"
        items = list(columns) if (columns := parts.layout.items) else "[]"
        config.write_text(
            f'parquet_loader:\n  data_paths:\n    root_dir: "{root}"\n'
            f"  schema:\n    datetime_column: null\n    item_columns: {items}\n"
        )
        name = parts.place.lone if parts.place else ""
        loaded = gigacast.ParquetDataLoader(config).load_training_data(name, year=2024)
        columns = loaded.columns
        names = (*columns.ids, columns.timestamp, *columns.targets)
        rows = loaded.table.select(names).to_pylist()
        return _sorted_rows(tuple(row.values()) for row in rows)


def _sorted_rows(rows: Any) -> Result:
    own = [
        (*map(plain, ids), moment_of(time), plain(value)) for *ids, time, value in map(tuple, rows)
    ]
    return {"rows": sorted(own, key=str)}


def expected_rows(parts: Parts) -> Result:
    """Return the rows of a panel, with the ids and instants of a form."""
    zone = parts.times.zone
    return _sorted_rows(
        (*_ids_of(parts, item), instant(time, zone), value)
        for item, time, value in parts.panel.rows()
    )


def _ids_of(parts: Parts, item: int) -> tuple[Any, ...]:
    name = key_of(parts, item)[0]
    return name if isinstance(name, tuple) else (name,)


# -- imports and cleaning --------------------------------------------------------------------------

AUTHOR = Author("a test", lambda: datetime(2024, 1, 15, tzinfo=UTC))


def imported_forecasts(parts: Parts) -> Result:
    """Return the forecasts of the rows that `data import` stores."""
    with bucket_of(parts) as url:
        fill(f"{url}/files", parts)
        job = _job(parts, url)
        columns = job.method.columns
        ids = (*columns.items, *((columns.item_id,) if columns.item_id else ()))
        reading = CsvReading(job.method.csv, ids=ids)
        lake, ref = Lake(open_store(StoreAddress(url))), DatasetRef.parse("raw/A/2024-01-15")
        options = PublishOptions(time_column=columns.timestamp)
        import_files(
            lake, ref, Path(url.removeprefix("file://"), "files"), options, AUTHOR, reading
        )
        return _forecasts_of(lake, ref, parts)


def cleaned_forecasts(parts: Parts) -> Result:
    """Return the forecasts of the rows that `data clean` writes."""
    with bucket_of(parts) as url:
        fill(url, parts)
        job = _job(parts, url)
        reading = Reading(columns=job.method.columns, csv=job.method.csv)
        files = FileJob(Sources(job.inputs), job.outputs, job.pattern, job.selection, reading)
        limits = Thresholds(**{field.name: Limit() for field in fields(Thresholds)})
        ref = DatasetRef.parse("cleaned/A")
        result = clean_dataset(CleanJob(files, ref, CleanRules(nulls="keep"), limits), AUTHOR)
        check_failures(result.failures)
        return _forecasts_of(Lake(open_store(job.outputs)), ref, parts)


_COLUMNS = ("item_column", "item_columns", "timestamp_column", "targets")


def _forecasts_of(lake: Lake, ref: DatasetRef, parts: Parts) -> Result:
    """Return the forecasts of the rows of a dataset."""
    rows = pa.Table.from_batches(rows_in(lake, ref).read())
    named = {n: v for n, v in options_for(parts).items() if n in {*NAIVE, *_COLUMNS}}
    return by_series(gigacast.forecast(rows, **named))


def _job(parts: Parts, url: str) -> ForecastJob:
    return job_of(load_settings(nest_arguments({**options_for(parts), "bucket": url})))
