"""Time and cost of series that do not exist yet: a sample is made, forecast and measured here."""

import io
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.plural import counted
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo
from gigacast.forecasting.document import quote_blocks
from gigacast.forecasting.estimate import Sample, Workload
from gigacast.forecasting.frame import forecast_source
from gigacast.forecasting.quote import Quote, quote_queues
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import Method
from gigacast.report import quantity
from gigacast.report.document import Document, KeyValues
from gigacast.series.source import SeriesSource
from gigacast.storage.parquet.writer import table_bytes

SERIES_PER_PARTITION = 10_000
"""Series of a partition that the work is divided into."""
_SAMPLE_ROWS = 1_000_000
_MOST_SAMPLED, _LEAST_SAMPLED = 2_000, 16
_HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Prospect:
    """What a number of series would take, from a sample of them.

    Parameters
    ----------
    info : ForecasterInfo
    series, points, horizon : int
        Series, values of each, and steps ahead.
    sample : Sample
        The series that were forecast here, and the CPU seconds that it took.
    output_bytes : int
        Size of the sample's forecasts.
    """

    info: ForecasterInfo
    series: int
    points: int
    horizon: int
    sample: Sample
    output_bytes: int

    @property
    def share(self) -> float:
        """Number of samples in all series."""
        return self.series / self.sample.series

    @property
    def workload(self) -> Workload:
        """The work, in partitions of `SERIES_PER_PARTITION` series."""
        partitions = -(-self.series // SERIES_PER_PARTITION)
        size = round(self.sample.size_bytes * self.share)
        return Workload(partitions, size, (self.sample,), basis="measurement")


def measure_prospect(forecaster: Forecaster, method: Method, series: int, points: int) -> Prospect:
    """Measure what it takes to read, forecast and write some series.

    Parameters
    ----------
    forecaster : Forecaster
    method : Method
    series, points : int
        Number of series, and of values of each.

    Raises
    ------
    ConfigError, ModelError
    """
    limit = max(_LEAST_SAMPLED, min(_MOST_SAMPLED, _SAMPLE_ROWS // points))
    count = min(series, limit)
    content = table_bytes(_made(count, points), "zstd")
    source = SeriesSource(partial(io.BytesIO, content), "parquet", "sample")
    if "torch" in sys.modules:  # a model without weights has not imported it
        from gigacast.forecasters.network.device import set_threads  # noqa: PLC0415

        # Threads that wait for one another burn CPU time.
        set_threads(1)
    # The first call loads kernels and finds the size of batches.
    forecast_source(source, forecaster, method)
    start = time.process_time()
    forecast = forecast_source(source, forecaster, method)
    output = table_bytes(forecast.predictions, "zstd")
    seconds = time.process_time() - start
    sample = Sample(len(content), count, {"total": seconds}, forecaster.info.device)
    return Prospect(forecaster.info, series, points, forecast.horizon, sample, len(output))


def _made(series: int, points: int) -> pa.Table:
    """Return hourly series with a day's season, noise, and values of two decimals."""
    generator = np.random.default_rng(0)
    steps = np.arange(points)
    season = np.sin(steps * (2 * np.pi / 24))
    levels = generator.uniform(10, 100, (series, 1))
    values = levels * (1 + 0.3 * season) + generator.normal(0, 1, (series, points))
    times = pa.array(np.tile(steps * _HOUR_US, series)).cast(pa.timestamp("us"))
    ids = pa.array(np.repeat(np.arange(series), points))
    return pa.table({"item_id": ids, "timestamp": times, "target": np.round(values, 2).ravel()})


def quote_prospect(prospect: Prospect, options: ArrayOptions) -> list[Quote]:
    """Return the cost of the series on each queue of a deployment."""
    return quote_queues(prospect.workload, options)


def prospect_document(prospect: Prospect, quotes: Sequence[Quote]) -> Document:
    """Return the work, its measurement, and a table of its costs."""
    sample, info = prospect.sample, prospect.info
    seconds = sample.seconds["total"]
    facts = KeyValues.of(
        [
            ("model", f"{info.name} {info.version}"),
            ("runs on", f"{info.device}, {info.precision}"),
            ("series", f"{prospect.series:,} of {counted(prospect.points, 'value')}"),
            ("horizon", counted(prospect.horizon, "step")),
            (
                "measured here",
                f"{counted(sample.series, 'series', 'series')} in {seconds:.3g} s of CPU time",
            ),
            ("all of them", f"{quantity.duration(seconds * prospect.share)} of CPU time"),
            ("input", quantity.size(sample.size_bytes * prospect.share)),
            ("forecasts", quantity.size(prospect.output_bytes * prospect.share)),
        ]
    )
    return Document((facts, *quote_blocks(quotes)))


def prospect_json(prospect: Prospect, quotes: Sequence[Quote]) -> dict[str, Any]:
    """Return the work, its measurement and its costs for ``--json``."""
    seconds = prospect.sample.seconds["total"]
    return {
        "model": asdict(prospect.info),
        "series": prospect.series,
        "points": prospect.points,
        "horizon": prospect.horizon,
        "sample": asdict(prospect.sample),
        "cpu_s": seconds * prospect.share,
        "input_bytes": round(prospect.sample.size_bytes * prospect.share),
        "output_bytes": round(prospect.output_bytes * prospect.share),
        "cost": [quote.describe() for quote in quotes],
    }
