"""What the reader's tests share: tables in, a plain dictionary of series out."""

import datetime as dt
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource


@dataclass(frozen=True)
class One:
    """One series as plain values; NaN is None, so that series can be compared."""

    values: tuple
    last: object
    freq: str | None
    reason: str


def options(**changes) -> ReadOptions:
    freq = changes.pop("freq", None)
    return ReadOptions(freq=Frequency.parse(freq) if freq else None, **changes)


def one_of(batch, n) -> One:
    values = batch.values[batch.offsets[n] : batch.offsets[n + 1]].tolist()
    code = batch.frequency_codes[n]
    return One(
        tuple(None if np.isnan(value) else value for value in values),
        batch.last_arrow()[n].as_py(),
        None if code < 0 else batch.frequencies[code].alias,
        Reason(batch.reasons[n]).label,
    )


def series_of(batches) -> dict:
    """Return the series by item and target; none twice."""
    series = {}
    for batch in batches:
        assert batch.values.dtype == np.float32
        assert len(batch.item_ids) == len(batch.reasons) == len(batch) > 0
        names = zip(batch.item_ids.to_pylist(), batch.target_names.to_pylist(), strict=True)
        for n, key in enumerate(names):
            assert key not in series
            series[key] = one_of(batch, n)
    return series


def read(*sources, **changes) -> dict:
    return series_of(reader_of(*sources, **changes))


def reader_of(*sources, **changes):
    """Return a reader of tables, bytes (Parquet) or sources."""
    return read_series([source_of(source) for source in sources], options(**changes))


def source_of(content, fmt="parquet", **changes) -> SeriesSource:
    if isinstance(content, SeriesSource):
        return content
    if isinstance(content, pa.Table):
        return SeriesSource.of_table(content, **changes)
    changes.setdefault("name", f"2024/01/part.{fmt}")
    return SeriesSource(lambda: io.BytesIO(content), fmt, **changes)


def parquet(table: pa.Table, **changes) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **changes)
    return buffer.getvalue()


def panel(**items) -> pa.Table:
    """Return a long panel of ``item=(dates, values)``."""
    frames = [
        pd.DataFrame({"item_id": name, "timestamp": pd.to_datetime(dates), "target": values})
        for name, (dates, values) in items.items()
    ]
    frame = pd.concat(frames)
    times = pa.array(frame["timestamp"].to_numpy("datetime64[us]"))
    return pa.table(
        {
            "item_id": pa.array(frame["item_id"].tolist(), pa.string()),
            "timestamp": times,
            "target": pa.array(frame["target"].tolist(), pa.float64()),
        }
    )


def days(start, count, freq="D"):
    return pd.date_range(start, periods=count, freq=freq)


def moment(text: str) -> dt.datetime:
    """Return a time without a zone."""
    return dt.datetime.fromisoformat(text)
