"""Data for the demo: a few months of hourly load of some sites, as a utility has it."""

import numpy as np
import pyarrow as pa

from gigacast.core.time.month import Month
from gigacast.job.forecast_job import ForecastJob
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.writer import ParquetSink
from gigacast.storage.store import Store

FIRST = Month(2024, 1)
MONTHS = 3
PARTS = 2
SITES = 60
HOUR = np.timedelta64(1, "h")
SCHEMA = pa.schema(
    [("item_id", pa.string()), ("timestamp", pa.timestamp("us")), ("target", pa.float32())]
)


def write_demo_data(store: Store) -> list[str]:
    """Write the partitions of the demo, and return their keys.

    Raises
    ------
    StorageError
    """
    keys = []
    for part in range(PARTS):
        hours, load = site_loads(part)
        names = pa.array([f"site-{part * SITES + n:03d}" for n in range(SITES)])
        for ahead in range(MONTHS):
            month = FIRST.shift(ahead)
            inside = hours.astype("datetime64[M]") == np.datetime64(str(month))
            key = f"{month.folder}/part-{part:05d}.parquet"
            with ParquetSink(store, key, SCHEMA) as sink:
                sink.write(_rows(names, hours[inside], load[:, inside]))
            keys.append(key)
    return keys


def generate_demo(job: ForecastJob) -> list[str]:
    """Write the partitions of the demo below the input root of a job, and return their keys.

    Raises
    ------
    StorageError
    """
    return write_demo_data(open_store(job.inputs))


def site_loads(part: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the hours, datetime64 [T], and the load of each site, float32 [N, T].

    A base, a peak in the morning and one in the evening, less load on weekends, weather that
    changes over days, and noise.
    """
    rng = np.random.Generator(np.random.Philox(key=[20240101, part]))
    start = np.datetime64(str(FIRST))
    hours = np.arange(start, np.datetime64(str(FIRST.shift(MONTHS))), HOUR).astype("datetime64[us]")
    hour = np.arange(len(hours)) % 24
    weekend = ((hours.astype("datetime64[D]").astype(np.int64) + 3) % 7) >= 5
    morning, evening = rng.uniform(6.5, 9, (SITES, 1)), rng.uniform(17, 20, (SITES, 1))
    day = _peak(hour, morning, 1.8) * rng.uniform(0.4, 1.0, (SITES, 1))
    day += _peak(hour, evening, 2.6) * rng.uniform(0.6, 1.4, (SITES, 1))
    day *= np.where(weekend, rng.uniform(0.35, 0.9, (SITES, 1)), 1.0)
    steps = rng.normal(0, 0.02, (SITES, len(hours)))
    weather = _mean_reverting(steps, 0.985)
    noise = rng.normal(0, 0.03, (SITES, len(hours)))
    base = rng.lognormal(4.0, 0.8, (SITES, 1))
    load = base * np.maximum(0.6 + day + weather + noise, 0.05)
    return hours, load.astype(np.float32)


def _peak(hour: np.ndarray, center: np.ndarray, width: float) -> np.ndarray:
    distance = (hour[None, :] - center + 12) % 24 - 12
    height: np.ndarray = np.exp(-0.5 * (distance / width) ** 2)
    return height


def _mean_reverting(steps: np.ndarray, memory: float) -> np.ndarray:
    """Return a mean-reverting process, x[t] = memory * x[t - 1] + steps[t], float64 [N, T]."""
    # As a convolution instead of a loop: after 300 steps, 0.985 ** 300 = 1 % of a shock is left.
    window = memory ** np.arange(300)
    return np.apply_along_axis(lambda row: np.convolve(row, window)[: len(row)], 1, steps)


def _rows(names: pa.Array, hours: np.ndarray, load: np.ndarray) -> pa.RecordBatch:
    sites = np.repeat(np.arange(len(names)), len(hours))
    columns = [names.take(pa.array(sites)), pa.array(np.tile(hours, len(names)))]
    return pa.RecordBatch.from_arrays([*columns, pa.array(load.ravel())], schema=SCHEMA)
