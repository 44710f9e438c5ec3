"""Results that can be compared, and the buckets from which they are made."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from gigacast.errors import GigacastError
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.forms.form import Parts, contents_of, options_of

HORIZON = 3
NAIVE: dict[str, Any] = {"model": "seasonal-naive", "horizon": HORIZON}
Result = dict[Any, Any]
MOTO: list[Any] = []
"""Server of S3, put here by whoever runs forms on S3."""


class RefusedPartitionError(GigacastError):
    """A failed partition of a run: its message and hint."""


class UnwritableError(Exception):
    """Raised when a library cannot write a form, so that there is nothing to read."""


@contextmanager
def writing() -> Iterator[None]:
    """Raise errors of writing a form as `UnwritableError`."""
    try:
        yield
    except Exception as error:
        raise UnwritableError(f"{type(error).__name__}: {error}") from error


def plain(value: Any) -> Any:
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


def moment_of(value: Any) -> Any:
    """Return a time in UTC, without its zone; a date is its midnight."""
    value = plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value  # noqa: DTZ001


def rows_of(frame: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a frame of any library."""
    if isinstance(frame, pd.DataFrame):
        yield from frame.itertuples(index=False, name=None)
        return
    table = frame.read_all() if isinstance(frame, pa.RecordBatchReader) else frame
    table = table.to_arrow() if hasattr(table, "to_arrow") else table
    yield from (tuple(row.values()) for row in table.to_pylist())


def by_series(frame: Any) -> Result:
    """Return the rows of forecasts by id and target."""
    result: Result = {}
    for *ids, time, target, point, numbers, flag in _parts_of_rows(frame):
        row = (moment_of(time), *map(plain, (point, *numbers, flag)))
        item = tuple(map(plain, ids))
        result.setdefault((item if len(item) > 1 else item[0], target), []).append(row)
    return result


def _parts_of_rows(frame: Any) -> Iterator[tuple[Any, ...]]:
    """Yield ids, time, target, median, quantiles and fallback of each forecast."""
    for row in rows_of(frame):
        # After the ids: time, target, median, nine quantiles, fallback, cutoff.
        *ids, time, target, point = row[:-11]
        yield (*ids, time, target, point, row[-11:-2], row[-2])


@contextmanager
def bucket_of(parts: Parts) -> Iterator[str]:
    """Yield the address of an empty bucket, on S3 for the door that says so."""
    if parts.form.door == "job on S3":
        yield MOTO[0].new_address().url
        return
    with tempfile.TemporaryDirectory(prefix="gigacast-forms-") as folder:
        yield f"file://{folder}"


def fill(url: str, parts: Parts, rows: Any = None) -> None:
    """Put the files of a form into a bucket."""
    store = open_store(StoreAddress(url))
    with writing():
        contents = list(contents_of(parts, rows))
    for key, content in contents:
        store.put(key, content)


@contextmanager
def refused_warnings() -> Iterator[None]:
    """Raise a warning about the data as a refusal: it says what is wrong and what to do."""
    try:
        yield
    except UserWarning as warning:
        raise RefusedPartitionError(str(warning), hint=str(warning)) from warning


def options_for(parts: Parts) -> dict[str, Any]:
    """Return the options of a run over the files of a form."""
    return {**NAIVE, **options_of(parts)}


def check_failures(failures: Any) -> None:
    """Raise the first failure of a run, which must name its file and a remedy."""
    for task, failure in failures:
        assert failure.hint, f"a refusal without a remedy: {failure.message}"
        named = [entry.key for entry in task.inputs]
        assert any(key in failure.message for key in named), f"no file named: {failure.message}"
        raise RefusedPartitionError(failure.message, hint=failure.hint)
