"""Synthetic partitions for trials and measurements, the same data in every run.

Daily series of 100 to 200 points with a level, a weekly pattern and noise, as in the experiment
that the run of one billion series repeats. The seed is the index of the partition.
"""

import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from gigacast.core.time.month import Month
from gigacast.errors import StorageError
from gigacast.forecasting.prepare import Prepared
from gigacast.job.forecast_job import Resources
from gigacast.lake.layout import output_id, parse_receipt_key, receipt_prefix
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.writer import ParquetSink
from gigacast.storage.store import Store, StoreAddress

MONTH = Month(2024, 1)
LAST_DAY = np.datetime64("2024-01-31", "D")
SHORTEST, LONGEST = 100, 200
CHUNK_SERIES = 10_000
SCHEMA = pa.schema(
    [("item_id", pa.string()), ("timestamp", pa.timestamp("us")), ("target", pa.float32())]
)


def synthetic_key(index: int) -> str:
    """Return the key of a synthetic partition: ``2024/01/part-00042.parquet`` for 42."""
    return f"{MONTH.folder}/part-{index:05d}.parquet"


def synthetic_chunks(index: int, series: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a partition, 10,000 series at a time.

    Parameters
    ----------
    index : int
        Index of the partition.
    series : int
        Number of series in the partition.
    """
    # In chunks, so that memory is bounded whatever the number of series.
    for start in range(0, series, CHUNK_SERIES):
        yield _chunk(index, start, min(CHUNK_SERIES, series - start))


def _chunk(index: int, start: int, count: int) -> pa.RecordBatch:
    # All series of the chunk are drawn, and the first ones used: a larger partition then begins
    # with the series of a smaller one.
    rng = np.random.Generator(np.random.Philox(key=[index, start]))
    lengths = rng.integers(SHORTEST, LONGEST + 1, CHUNK_SERIES)[:count]
    level = rng.lognormal(3.0, 1.0, CHUNK_SERIES)[:count]
    weekly = rng.normal(0.0, 0.25, (CHUNK_SERIES, 7))[:count]
    noise = rng.normal(0.0, 0.1, (CHUNK_SERIES, LONGEST))[:count]

    age = np.arange(LONGEST)[::-1]  # days before the last day
    days = LAST_DAY - age
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    values = level[:, None] * np.maximum(1.0 + weekly[:, weekday] + noise, 0.0)
    inside = age[None, :] < lengths[:, None]
    rows, columns = np.nonzero(inside)
    names = pa.array([f"p{index:05d}-{start + n:07d}" for n in range(count)])
    return pa.RecordBatch.from_arrays(
        [
            names.take(pa.array(rows)),
            pa.array(days.astype("datetime64[us]")[columns]),
            pa.array(values[inside].astype(np.float32)),
        ],
        schema=SCHEMA,
    )


@dataclass(frozen=True)
class GenerateSetup:
    """A picklable recipe for the worker that writes synthetic partitions."""

    address: StoreAddress
    series: int

    def __call__(self) -> "Generator":
        """Open the store."""
        return Generator(open_store(self.address), self.series)


class Generator:
    """Writes a synthetic partition per call."""

    def __init__(self, store: Store, series: int) -> None:
        self._store = store
        self._series = series

    def __call__(self, index: int) -> "Generated":
        """Write a partition, and return how long it took."""
        started, cpu = time.perf_counter(), time.process_time()
        with ParquetSink(self._store, synthetic_key(index), SCHEMA) as sink:
            for batch in synthetic_chunks(index, self._series):
                sink.write(batch)
        assert sink.published is not None  # noqa: S101 - the block ended without an error
        size_bytes = sink.published.size_bytes
        return Generated(size_bytes, time.perf_counter() - started, time.process_time() - cpu)


@dataclass(frozen=True, slots=True)
class Generated:
    """A partition that was generated: its size, and the wall and processor time it took."""

    size_bytes: int
    seconds: float
    cpu_s: float


@dataclass(slots=True)
class Generation:
    """The partitions that a run has generated.

    Parameters
    ----------
    seconds : mapping of str to float
        Seconds by key.
    cpu_s, wall_s : float
        Processor time of all partitions, and wall time from the first to the last.
    size_bytes : int
    skipped : int
        Partitions that were not generated because they are forecast.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    size_bytes: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.seconds)

    def describe(self) -> dict[str, object]:
        """Return the figures for an audit."""
        return {
            "partitions": len(self),
            "size_bytes": self.size_bytes,
            "seconds": round(sum(self.seconds.values()), 3),
            "cpu_s": round(self.cpu_s, 3),
            "wall_s": round(self.wall_s, 3),
        }


def missing_partitions(inputs: Store, count: int, forecast: Container[str] = ()) -> list[int]:
    """Return the indices of missing synthetic partitions, from a single listing.

    Parameters
    ----------
    inputs : Store
    count : int
    forecast : container of str
        Keys of partitions that are forecast already: they are not missed. None by default.
    """
    prefix = f"{MONTH.folder}/part-"
    existing = {entry.key for page in inputs.list(prefix) for entry in page}
    keys = {index: synthetic_key(index) for index in range(count)}
    return [index for index, key in keys.items() if key not in existing and key not in forecast]


def forecast_partitions(outputs: Store, spec_folder: str) -> set[str]:
    """Return the keys of synthetic partitions whose forecast and its receipt are stored.

    Parameters
    ----------
    outputs : Store
    spec_folder : str
        Folder of the forecasts of a spec.
    """
    prefix = f"{spec_folder}{MONTH.folder}/part-"
    written = {
        (entry.key, output_id(entry.etag)) for page in outputs.list(prefix) for entry in page
    }
    receipts = (
        parse_receipt_key(entry.key)
        for page in outputs.list(receipt_prefix(prefix))
        for entry in page
    )
    return {
        name.output_key.removeprefix(spec_folder)
        for name in receipts
        if name is not None and (name.output_key, name.output_id) in written
    }


def generate_missing(
    prepared: Prepared, resources: Resources, executor: Executor | None = None
) -> Generation:
    """Write the missing synthetic partitions, and return how long it took.

    Partitions whose forecast is stored are not generated again, unless forecasts are replaced.

    Raises
    ------
    StorageError
        When a partition can't be written.
    """
    job, generation = prepared.job, Generation()
    if job.synthetic is None:
        return generation
    forecast = set[str]()
    if not job.overwrite:
        forecast = forecast_partitions(prepared.outputs, prepared.panel_folder)
    generation.skipped = len(forecast)
    missing = missing_partitions(prepared.inputs, job.synthetic.partitions, forecast)
    if not missing:
        return generation
    started = time.perf_counter()
    chosen = executor or make_executor(resources.executor, resources.n_jobs, n_tasks=len(missing))
    setup = GenerateSetup(prepared.inputs.address, job.synthetic.series_per_partition)
    for outcome in chosen.run(missing, setup):
        if outcome.failure is not None:
            raise StorageError(
                f"{synthetic_key(outcome.task)}: could not be generated: {outcome.failure.message}",
                hint=outcome.failure.hint,
            )
        made = outcome.result
        assert made is not None  # noqa: S101 - an outcome without a failure has a result
        generation.seconds[synthetic_key(outcome.task)] = made.seconds
        generation.cpu_s += made.cpu_s
        generation.size_bytes += made.size_bytes
    generation.wall_s = time.perf_counter() - started
    return generation
