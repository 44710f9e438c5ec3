"""Tiles of source partitions in a store: each partition is read once."""

import io
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from gigacast.core.digest import digest_value
from gigacast.core.footer import DamagedParquetError, VerifiedParquet
from gigacast.errors import DataError, ObjectNotFoundError
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store


@dataclass
class TileStore:
    """Tiles by their keys, the last used ones in memory.

    Parameters
    ----------
    store : Store
        Store that holds ``feature_store/``.
    memory : int
        Bytes of tiles that are kept in memory: neighbouring days read nearly the same.
    rows : Path, optional
        Folder of this machine that keeps, for the length of a run, the rows of partitions that some
        queries see a part of; by default none are kept.
    """

    store: Store
    memory: int = 1 << 28
    rows: Path | None = None
    _recent: "OrderedDict[str, pa.Table]" = field(default_factory=OrderedDict)
    _size: int = 0

    def read(self, key: str) -> pa.Table | None:
        """Return a tile; None if there is none.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        try:
            content = self.store.get(key)
        except ObjectNotFoundError:
            return None
        try:
            tile = VerifiedParquet(io.BytesIO(content)).read()
        except (DamagedParquetError, OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{key}: the tile is damaged: {error}",
                hint="delete the file; the next backfill makes it again",
            ) from error
        self._remember(key, tile)
        return tile

    def has(self, key: str) -> bool:
        """Return whether a tile is stored."""
        try:
            self.store.head(key)
        except ObjectNotFoundError:
            return False
        return True

    def write(self, key: str, tile: pa.Table) -> None:
        """Store a tile."""
        # Without a condition: two workers that made the same tile write the same rows.
        self.store.put(key, table_bytes(tile, "zstd"))
        self._remember(key, tile)

    def keep_rows(self, key: str, table: pa.Table) -> None:
        """Keep the rows that a tile was made of, if there is a folder for them."""
        if self.rows is None:
            return
        path = self._rows_path(self.rows, key)
        draft = path.with_suffix(f".{os.getpid()}")
        with pa.ipc.new_file(draft, table.schema) as writer:
            writer.write_table(table)
        # Other processes see a whole file, or none.
        draft.replace(path)

    def kept_rows(self, key: str) -> pa.Table | None:
        """Return the rows that a tile was made of; None if they were not kept."""
        if self.rows is None:
            return None
        path = self._rows_path(self.rows, key)
        if not path.exists():
            return None
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            return reader.read_all()

    @staticmethod
    def _rows_path(folder: Path, key: str) -> Path:
        return folder / f"{digest_value(key)}.arrow"

    def _remember(self, key: str, tile: pa.Table) -> None:
        self._recent[key] = tile
        self._size += tile.nbytes
        while self._size > self.memory and len(self._recent) > 1:
            _, old = self._recent.popitem(last=False)
            self._size -= old.nbytes
