"""Synthetic partitions for trying and measuring: the same data whoever makes them.

Daily series of 100 to 200 points with a level, a weekly pattern and noise, as in the experiment the
one-billion run repeats. Seeded by the partition's index.
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
    """Return the key of a synthetic partition, as ``2024/01/part-00042.parquet``."""
    return f"{MONTH.folder}/part-{index:05d}.parquet"


def synthetic_chunks(index: int, series: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one partition, some thousand series at a time.

    Parameters
    ----------
    index : int
        The partition's; with the place of the chunk it is the seed.
    series : int
        Series in the partition.
    """
    for start in range(0, series, CHUNK_SERIES):
        yield _chunk(index, start, min(CHUNK_SERIES, series - start))


def _chunk(index: int, start: int, count: int) -> pa.RecordBatch:
    # The whole chunk is drawn even when fewer are kept: a larger partition extends a smaller.
    rng = np.random.Generator(np.random.Philox(key=[index, start]))
    lengths = rng.integers(SHORTEST, LONGEST + 1, CHUNK_SERIES)[:count]
    level = rng.lognormal(3.0, 1.0, CHUNK_SERIES)[:count]
    weekly = rng.normal(0.0, 0.25, (CHUNK_SERIES, 7))[:count]
    noise = rng.normal(0.0, 0.1, (CHUNK_SERIES, LONGEST))[:count]

    age = np.arange(LONGEST)[::-1]  # days before the last
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
    """Writes one synthetic partition per call."""

    def __init__(self, store: Store, series: int) -> None:
        self._store = store
        self._series = series

    def __call__(self, index: int) -> int:
        """Write a partition; return its size in bytes."""
        with ParquetSink(self._store, synthetic_key(index), SCHEMA) as sink:
            for batch in synthetic_chunks(index, self._series):
                sink.write(batch)
        assert sink.published is not None  # noqa: S101 - the block ended well
        return sink.published.size_bytes


def missing_partitions(inputs: Store, count: int) -> list[int]:
    """Return the indices of the synthetic partitions that are not there, from one listing."""
    prefix = f"{MONTH.folder}/part-"
    there = {entry.key for page in inputs.list(prefix) for entry in page}
    return [index for index in range(count) if synthetic_key(index) not in there]


def generate_missing(
    synthetic: Synthetic, inputs: Store, resources: Resources, executor: Executor | None = None
) -> int:
    """Write the synthetic partitions that are missing; return how many there were.

    Raises
    ------
    StorageError
        When one could not be written.
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
