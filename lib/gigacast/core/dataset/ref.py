"""Which dataset is meant: its layer, its name and its version, read from text and from keys."""

import re
from dataclasses import dataclass, replace
from datetime import date

from gigacast.core.dataset.version import Version
from gigacast.errors import ConfigError

LAYERS = ("raw", "cleaned", "features")
LATEST = "latest"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}")
_HINT = "write cleaned/NAME, cleaned/v3/NAME, features/v2/NAME or raw/NAME/2024-01-15"


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset.

    Parameters
    ----------
    layer : {"raw", "cleaned", "features"}
    name : str
        The asset, or the feature set.
    version : str, optional
        As ``v3.1``, or the day of a raw snapshot; the latest when absent.

    Examples
    --------
    >>> DatasetRef.parse("cleaned/v3.0/EURUSD")
    DatasetRef(layer='cleaned', name='EURUSD', version='v3')
    >>> DatasetRef.find("s3://bucket/lake/raw/MES/2024-01-15/ohlcv.parquet")[1:]
    (DatasetRef(layer='raw', name='MES', version='2024-01-15'), 'ohlcv.parquet')
    """

    layer: str
    name: str
    version: str | None = None

    def __str__(self) -> str:
        version = self.version or LATEST
        parts = (self.name, version) if self.layer == "raw" else (version, self.name)
        return "/".join((self.layer, *parts))

    @classmethod
    def parse(cls, text: str) -> "DatasetRef":
        """Read ``LAYER/NAME``, ``LAYER/VERSION/NAME`` or ``raw/NAME/DAY``.

        Raises
        ------
        ConfigError
        """
        layer, *rest = text.strip("/").split("/")
        if layer not in LAYERS or not 1 <= len(rest) <= 2:
            raise ConfigError(f"{text!r} names no dataset", hint=_HINT)
        if len(rest) == 1:
            return cls(layer, check_dataset_name(rest[0]))
        name, version = rest if layer == "raw" else reversed(rest)
        ref = cls(layer, check_dataset_name(name))
        return ref if version == LATEST else ref.at(version)

    @classmethod
    def find(cls, path: str) -> "tuple[str, DatasetRef, str] | None":
        """Split a path into the lake's root, the dataset and what follows; ``None`` for others."""
        parts = path.split("/")
        for place in range(len(parts) - 2):
            if parts[place] not in LAYERS:
                continue
            try:
                ref = cls.parse("/".join(parts[place : place + 3]))
            except ConfigError:
                continue
            return "/".join(parts[:place]), ref, "/".join(parts[place + 3 :])
        return None

    def at(self, version: str) -> "DatasetRef":
        """Return the same dataset in a version.

        Raises
        ------
        ConfigError
        """
        if self.layer == "raw":
            return replace(self, version=_day(version))
        return replace(self, version=str(Version.parse(version)))


def check_dataset_name(name: str) -> str:
    """Return the name of an asset or feature set, or refuse it.

    Raises
    ------
    ConfigError
    """
    if not _NAME.fullmatch(name) or name == LATEST or Version.find(name) or _is_day(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a dataset",
            hint="letters, digits, '.', '_', '=', '+' and '-'; no version and no date",
        )
    return name


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _day(text: str) -> str:
    if not _is_day(text):
        raise ConfigError(f"{text!r} is no day", hint="raw snapshots are named 2024-01-15")
    return text
