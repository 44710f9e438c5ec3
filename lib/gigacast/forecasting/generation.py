"""Synthetic partitions for trials and measurements, the same data in every run.

Daily series of 100 to 200 points with a level, a weekly pattern and noise, as in the experiment
that the run of one billion series repeats. The seed is the index of the partition.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gigacast.core.time.month import Month
from gigacast.errors import StorageError
from gigacast.job.forecast_job import Resources, Synthetic
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

    def __call__(self, index: int) -> int:
        """Write a partition; return its size in bytes."""
        with ParquetSink(self._store, synthetic_key(index), SCHEMA) as sink:
            for batch in synthetic_chunks(index, self._series):
                sink.write(batch)
        assert sink.published is not None  # noqa: S101 - the block ended without an error
        return sink.published.size_bytes


def missing_partitions(inputs: Store, count: int) -> list[int]:
    """Return the indices of missing synthetic partitions, from a single listing."""
    prefix = f"{MONTH.folder}/part-"
    existing = {entry.key for page in inputs.list(prefix) for entry in page}
    return [index for index in range(count) if synthetic_key(index) not in existing]


def generate_missing(
    synthetic: Synthetic, inputs: Store, resources: Resources, executor: Executor | None = None
) -> int:
    """Write the missing synthetic partitions, and return their number.

    Raises
    ------
    StorageError
        When a partition can't be written.
    """
    missing = missing_partitions(inputs, synthetic.partitions)
    if not missing:
        return 0
    chosen = executor or make_executor(resources.executor, resources.n_jobs, n_tasks=len(missing))
    setup = GenerateSetup(inputs.address, synthetic.series_per_partition)
    for outcome in chosen.run(missing, setup):
        if outcome.failure is not None:
            raise StorageError(
                f"{synthetic_key(outcome.task)}: could not be generated: {outcome.failure.message}",
                hint=outcome.failure.hint,
            )
    return len(missing)
