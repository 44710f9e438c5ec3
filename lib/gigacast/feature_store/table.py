"""Tables by their names: where they are, and their files by day."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gigacast.core.dataset.ref import LAYERS, DatasetRef
from gigacast.errors import ConfigError, DataError, DataNotFoundError
from gigacast.feature_store.definition.name import DEFAULT_NAMESPACE, PARTITION_COLUMN
from gigacast.feature_store.definition.source import split_table
from gigacast.feature_store.offline.day import is_day
from gigacast.lake.dataset.catalog import PLAIN, Lake
from gigacast.lake.dataset.store import DatasetStore
from gigacast.lake.feature_layout import feature_table_prefix, partition_values, source_table_prefix
from gigacast.storage.opening import open_store, unescape_file_url
from gigacast.storage.store import ObjectMeta, Store, StoreAddress

logger = logging.getLogger(__name__)

NO_DAY = "__HIVE_DEFAULT_PARTITION__"
"""Folder in which Hive and Spark put rows whose day is null."""
FORMATS = ("parquet", "csv", "json")
"""Endings of the files of tables."""
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True)
class Table:
    """A table: its store, and which objects are its files.

    Parameters
    ----------
    name : str
        Name in definitions, without sub-partitions.
    store : Store
    prefix : str
        Folder of its files, or the key of its only file.
    sub_partitions : mapping of str to str
        Values of folders that its files must have.
    """

    name: str
    store: Store
    prefix: str
    sub_partitions: Mapping[str, str]

    @property
    def url(self) -> str:
        """Place of the table, for messages."""
        return f"{self.store.address.url.rstrip('/')}/{self.prefix}"

    def partitions(
        self, partition_column: str = PARTITION_COLUMN
    ) -> dict[str, tuple[ObjectMeta, ...]]:
        """Return the files of each day, both sorted.

        Files outside folders such as ``ds=2024-01-31`` have the day "": their rows say it.

        Parameters
        ----------
        partition_column : str
            Name of the folders of days.

        Raises
        ------
        DataNotFoundError
            If the table has no files, or none in its sub-partitions.
        DataError
            If a folder of days is none: queries compare days as texts, and would miss it.
        """
        files: dict[str, list[ObjectMeta]] = {}
        for page in self.store.list(self.prefix):
            for meta in page:
                path = meta.key.removeprefix(self.prefix)
                values = partition_values(path)
                if _is_data(path or meta.key) and self._is_wanted(values):
                    files.setdefault(values.get(partition_column, ""), []).append(meta)
        if files.pop(NO_DAY, None):
            logger.warning(
                "table %s: the rows in %s=%s have no day, and no query sees them",
                *(self.name, partition_column, NO_DAY),
            )
        if not files:
            raise DataNotFoundError(
                f"table {self.name}: no {', '.join(FORMATS)} files at {self.url}"
                + (f" in {self._wanted()}" if self.sub_partitions else ""),
                hint=f"put them into {self.prefix or '.'}{partition_column}=2024-01-31/, or name "
                "their place in the setting tables",
            )
        odd = next((day for day in files if day and not is_day(day)), None)
        if odd is not None:
            raise DataError(
                f"the folder {odd[:80]!r} of table {self.name} is no day",
                hint=f"name folders as {partition_column}=2024-01-31",
            )
        return {day: tuple(files[day]) for day in sorted(files)}

    def _is_wanted(self, values: Mapping[str, str]) -> bool:
        return all(values.get(name) == value for name, value in self.sub_partitions.items())

    def _wanted(self) -> str:
        return "/".join(f"{name}={value}" for name, value in self.sub_partitions.items())


@dataclass(frozen=True)
class Tables:
    """The tables of definitions.

    Parameters
    ----------
    root : StoreAddress
        Folder that holds tables, datasets and ``feature_store/``.
    places : mapping of str to str
        Places by table: the setting ``tables``.
    store : Store
        Store at the root.
    """

    root: StoreAddress
    places: Mapping[str, str]
    store: Store

    @classmethod
    def at(cls, root: StoreAddress, places: Mapping[str, str] | None = None) -> "Tables":
        """Return the tables below a root, which is opened."""
        return cls(root, places or {}, open_store(root))

    def find(self, table: str) -> Table:
        """Return a table by its name in a definition.

        The place is that of the setting ``tables``, else ``{namespace}/{table}/`` below the root,
        else the output of the feature store of that name. Datasets and URLs are their own names.

        Raises
        ------
        ConfigError
            If the text is no name of a table.
        DataNotFoundError
            If it names a dataset that is not published.
        """
        name, sub_partitions = split_table(table)
        place = self.places.get(table) or self.places.get(name)
        if place is not None:
            return self._at(name, place, {} if table in self.places else sub_partitions)
        if "://" in name or name.partition("/")[0] in LAYERS:
            return self._at(name, name, sub_partitions)
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{table[:80]!r} is no name of a table",
                hint="write NAMESPACE.TABLE, a dataset as cleaned/EURUSD, or a URL",
            )
        qualified = name if "." in name else f"{DEFAULT_NAMESPACE}.{name}"
        for prefix in (source_table_prefix(qualified), feature_table_prefix(qualified)):
            if next(iter(self.store.list(prefix)), None):
                return Table(name, self.store, prefix, sub_partitions)
        return Table(name, self.store, source_table_prefix(qualified), sub_partitions)

    def partitions(
        self, table: str, partition_column: str = PARTITION_COLUMN
    ) -> dict[str, tuple[ObjectMeta, ...]]:
        """Return the files of each day of a table; see `Table.partitions`."""
        return self.find(table).partitions(partition_column)

    def _at(self, name: str, place: str, sub_partitions: Mapping[str, str]) -> Table:
        if place.partition("/")[0] in LAYERS and "://" not in place:
            return self._dataset(name, DatasetRef.parse(place), sub_partitions)
        url = self._url(place)
        folder, _, file = url.rpartition("/")
        if file.rpartition(".")[2].lower() in FORMATS:
            return Table(name, self._open(folder), file, sub_partitions)
        return Table(name, self._open(url), "", sub_partitions)

    def _dataset(self, name: str, ref: DatasetRef, sub_partitions: Mapping[str, str]) -> Table:
        lake = Lake(self.store)
        resolved = lake.resolve(ref)
        if lake.state(resolved) == PLAIN:
            return Table(name, lake.store, f"{resolved}/", sub_partitions)
        manifest = lake.read(resolved)
        address = lake.store.address.child(str(manifest.ref))
        store = DatasetStore(lake.store, manifest, address, self.root.verify)
        return Table(name, store, "", sub_partitions)

    def _url(self, place: str) -> str:
        """Return the URL of a place: relative ones are below the root."""
        if "://" in place:
            return unescape_file_url(place).rstrip("/")
        path = Path(place).expanduser()
        if path.is_absolute():
            return f"file://{path}"
        return self.root.child(place).url

    def _open(self, url: str) -> Store:
        return open_store(replace(self.root, url=url))


def _is_data(path: str) -> bool:
    """Return whether a path is a file of rows: not hidden, and of a known format."""
    hidden = any(part.startswith(("_", ".")) for part in path.split("/"))
    return not hidden and path.rpartition(".")[2].lower() in FORMATS
