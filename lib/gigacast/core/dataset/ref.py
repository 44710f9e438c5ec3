"""References to datasets by layer, name and version, read from texts and keys."""

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
    """A reference to a dataset, or to a version of it.

    Parameters
    ----------
    layer : {"raw", "cleaned", "features"}
        Layer of the lake.
    name : str
        Name of the asset or feature set.
    version : str, optional
        Version, such as ``v3.1``, or the day of a raw snapshot; the latest by default.

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
        """Return the reference ``LAYER/NAME``, ``LAYER/VERSION/NAME`` or ``raw/NAME/DAY``.

        Raises
        ------
        ConfigError
            If the text has another form.
        """
        layer, *parts = text.strip("/").split("/")
        if layer not in LAYERS or not 1 <= len(parts) <= 2:
            raise ConfigError(f"{text!r} is not a dataset", hint=_HINT)
        if len(parts) == 1:
            return cls(layer, check_dataset_name(parts[0]))
        name, version = parts if layer == "raw" else reversed(parts)
        ref = cls(layer, check_dataset_name(name))
        return ref if version == LATEST else ref.at(version)

    @classmethod
    def find(cls, path: str) -> "tuple[str, DatasetRef, str] | None":
        """Return root, dataset and remainder of a path; ``None`` if it contains no dataset."""
        parts = path.split("/")
        for start in range(len(parts) - 2):
            if parts[start] not in LAYERS:
                continue
            try:
                ref = cls.parse("/".join(parts[start : start + 3]))
            except ConfigError:
                continue
            return "/".join(parts[:start]), ref, "/".join(parts[start + 3 :])
        return None

    def at(self, version: str) -> "DatasetRef":
        """Return the reference to a version of the same dataset.

        Raises
        ------
        ConfigError
            If the text is not a version, or not a day for a raw dataset.
        """
        if self.layer == "raw":
            return replace(self, version=_day(version))
        return replace(self, version=str(Version.parse(version)))


def check_dataset_name(name: str) -> str:
    """Return a name if it can be that of an asset or feature set.

    Raises
    ------
    ConfigError
        If it has other characters, or reads like a version or a day.
    """
    # A name like a version or a day would make keys ambiguous: cleaned/v3/NAME, raw/NAME/DAY.
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
    return len(text) == 10  # Python also reads 20240115 as a date


def _day(text: str) -> str:
    if not _is_day(text):
        raise ConfigError(f"{text!r} is not a day", hint="raw snapshots are named 2024-01-15")
    return text
