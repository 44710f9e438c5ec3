"""A snapshot of a table as a read-only store: an object of Parquet for each of its partitions.

The ETag of an object is a digest of the data files of its partition, of their deleted rows and of
the table's columns. So only partitions that changed are forecast again.

A partition of one data file is that file. Of several, or with deleted rows, its rows are written to
a temporary file when they are first read; memory holds a batch.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError, StorageError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.content import TableContent
from gigacast.lake.table.part import TableObject, objects_of
from gigacast.lake.table.place import TablePlaces
from gigacast.lake.table.rows import RowReader
from gigacast.scratch import ScratchFolder
from gigacast.storage.key import check_folder_prefix
from gigacast.storage.parquet.writer import scratch_writer
from gigacast.storage.store import Folder, ObjectMeta, Store, StoreAddress, cut_pages, fold_level

_KEPT = 3
"""Temporary files of a store: a task reads its own partition a few times."""


class TableStore(Store):
    """The partitions of a snapshot.

    Parameters
    ----------
    address : StoreAddress
        Pinned address of the table.
    content : TableContent
    places : TablePlaces

    Raises
    ------
    SchemaError
        If the table cannot be divided into partitions.
    """

    def __init__(self, address: StoreAddress, content: TableContent, places: TablePlaces) -> None:
        self.address = address
        table = TableAddress.parse(address.url)
        self._objects = {part.key: part for part in objects_of(content, table)}
        self._modified_ns = content.modified_ns
        self._rows = RowReader(content, places)
        self._made: OrderedDict[str, Path] = OrderedDict()
        self._folder: ScratchFolder | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Do nothing: the table was read when it was opened."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Iterate over the partitions, a page at a time."""
        return cut_pages(
            self._meta(part)
            for key, part in sorted(self._objects.items())
            if key.startswith(prefix) and (not start_after or key > start_after)
        )

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``."""
        entries = [meta for page in self.list(check_folder_prefix(prefix)) for meta in page]
        return fold_level(prefix, entries)

    def head(self, key: str) -> ObjectMeta:
        """Return the metadata of a partition."""
        return self._meta(self._find(key))

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes ``start`` to ``stop`` of a partition as Parquet."""
        with self._open(key, if_match) as file:
            file.seek(start)
            return file.read() if stop is None else file.read(max(0, stop - start))

    def open_file(self, key: str, *, if_match: str | None = None) -> BinaryIO | None:
        """Open a partition as a Parquet file."""
        return self._open(key, if_match)

    def _open(self, key: str, if_match: str | None) -> BinaryIO:
        part = self._find(key)
        if if_match is not None and if_match != part.etag:
            raise PreconditionFailedError(f"{self.address.url}/{key} is no longer {if_match}")
        # One at a time: threads that open the same partition must not write it twice.
        with self._lock:
            if key not in self._made:
                if (file := self._rows.open_whole(part)) is not None:
                    return file
                self._made[key] = self._write(part)
                self._drop_oldest()
            self._made.move_to_end(key)
            return self._made[key].open("rb")

    def _write(self, part: TableObject) -> Path:
        if self._folder is None:
            self._folder = ScratchFolder("table")
            # Whoever opens a store does not close it: the folder goes with the last reference.
            weakref.finalize(self, self._folder.close)
        path = self._folder.path / f"{part.etag}.parquet"
        with scratch_writer(path, self._rows.schema(part)) as writer:
            for batch in self._rows.batches(part):
                writer.write(batch)
        return path

    def _drop_oldest(self) -> None:
        while len(self._made) > _KEPT:
            _, path = self._made.popitem(last=False)
            # Open files of it stay readable.
            with suppress(OSError):
                path.unlink()

    def _meta(self, part: TableObject) -> ObjectMeta:
        return ObjectMeta(part.key, part.etag, part.size_bytes, self._modified_ns)

    def _find(self, key: str) -> TableObject:
        if key not in self._objects:
            raise ObjectNotFoundError(f"{self.address.url} has no partition {key}")
        return self._objects[key]

    # -- writes ------------------------------------------------------------------------------------

    def put(self, key: str, content: bytes | Path) -> str:
        """Refuse: a snapshot never changes."""
        self._refuse(key)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Refuse: a snapshot never changes."""
        self._refuse(key)

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Refuse: a snapshot never changes."""
        self._refuse(key)

    def delete(self, keys: Iterable[str]) -> None:
        """Refuse: a snapshot never changes."""
        self._refuse(next(iter(keys), ""))

    def __reduce__(self) -> Any:
        raise TypeError("a table is opened anew in each process")

    def _refuse(self, key: str) -> NoReturn:
        raise StorageError(
            f"{self.address.url}/{key} can't be written: a table is read as it is",
            hint="write forecasts to a table by --output_table",
        )
