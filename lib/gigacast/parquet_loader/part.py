"""The parts of a loader by themselves, each made from the section ``parquet_loader`` of settings.

`ParquetDataLoader` has them as its attributes.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.array import FloatArray
from gigacast.errors import ConfigError
from gigacast.job.run import utc_now
from gigacast.parquet_loader import discovery
from gigacast.parquet_loader.ledger import ProcessedLedger
from gigacast.parquet_loader.session import SessionLog
from gigacast.parquet_loader.setup import LoaderParts, assemble_loader, pattern_of, session_rules
from gigacast.series.frame import to_pandas
from gigacast.settings.loader import ParquetLoaderSettings
from gigacast.settings.model import Settings
from gigacast.synthetic.generator import generate

_START = np.datetime64("2020-01-01", "us")


class FileDiscovery(discovery.FileDiscovery):
    """Finds files in the year and month folders of the configured root.

    Parameters
    ----------
    config : ParquetLoaderSettings
        As ``ParquetDataLoader.config``.
    """

    def __init__(self, config: ParquetLoaderSettings) -> None:
        parts = _parts_of(config)
        super().__init__(parts.inputs["training"], pattern_of(config), parts.fallbacks)


class IdempotencyTracker(ProcessedLedger):
    """Records which files below the configured root were processed, as receipts.

    Parameters
    ----------
    config : ParquetLoaderSettings
        As ``ParquetDataLoader.config``.
    """

    def __init__(self, config: ParquetLoaderSettings) -> None:
        parts, algorithm = _parts_of(config), config.idempotency.checksum_algorithm
        super().__init__(parts.inputs["training"], parts.records, algorithm, utc_now)


class AuditLogger(SessionLog):
    """Records sessions under the configured root.

    Parameters
    ----------
    config : ParquetLoaderSettings
        As ``ParquetDataLoader.config``.
    """

    def __init__(self, config: ParquetLoaderSettings) -> None:
        super().__init__(_parts_of(config).records, **session_rules(config))


class DummyDataGenerator:
    """Generates synthetic series to try a model on, with seasons, trends and noise.

    Parameters
    ----------
    seed : int
        The same seed gives the same series.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def generate(self, count: int = 10, length: int = 512) -> FloatArray:
        """Return series, float32 [N, T].

        Raises
        ------
        ConfigError
            If the count is negative or the length below 16.
        """
        return generate(count, length, self._seed).values

    def generate_frame(self, count: int = 10, length: int = 512, freq: str = "h") -> Any:
        """Return series as a DataFrame: ``item_id``, ``timestamp``, ``target``.

        Parameters
        ----------
        count, length : int
        freq : {"min", "h", "D"}

        Raises
        ------
        ConfigError, MissingExtraError
        """
        units = {"min": "m", "h": "h", "D": "D"}
        if freq not in units:
            raise ConfigError(f"freq: {freq!r} is none of {', '.join(units)}")
        values = self.generate(count, length)
        times = (_START + np.arange(length).astype(f"m8[{units[freq]}]")).astype("M8[us]")
        names = [f"series_{number}" for number in range(count)]
        table = pa.table(
            {
                "item_id": pa.array(names).take(pa.array(np.repeat(np.arange(count), length))),
                "timestamp": np.tile(times, count),
                "target": values.ravel(),
            }
        )
        return to_pandas(table)


def _parts_of(config: ParquetLoaderSettings) -> LoaderParts:
    # Without the environment: the section was read with it before.
    return assemble_loader(Settings.model_construct(parquet_loader=config))
