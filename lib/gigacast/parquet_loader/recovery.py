"""Files that cannot be read: a fallback root serves them, or they are left out if allowed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from gigacast.errors import CorruptedFileError, GigacastError, ObjectNotFoundError, SchemaError
from gigacast.parquet_loader.dataset import LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo, path_of
from gigacast.storage.store import Store

T = TypeVar("T")
BAD = (CorruptedFileError, SchemaError)
"""Errors of a file's content. Others, such as outages, never make a file be left out."""


class Recovery:
    """Reads files, or those of a fallback root in their place.

    Several threads may use it.

    Parameters
    ----------
    fallbacks : sequence of Store
        Roots in which a file that cannot be read is looked for under the same key, in order.
    skip : bool
        Whether a file that no root can serve is left out; its error is raised by default.
    """

    def __init__(self, fallbacks: Sequence[Store] = (), *, skip: bool = False) -> None:
        self._fallbacks = fallbacks
        self._skip = skip
        # None for a file that is left out.
        self._instead: dict[ParquetFileInfo, ParquetFileInfo | None] = {}
        self._errors: dict[str, GigacastError] = {}

    def attempt(
        self, info: ParquetFileInfo, read: Callable[[ParquetFileInfo], T | None]
    ) -> T | None:
        """Return what ``read`` returns for a file; ``None`` if the file is left out.

        Raises
        ------
        CorruptedFileError, SchemaError
            If no root has a readable file, and files are not left out.
        """
        chosen = self._instead.get(info, info)
        if chosen is None:
            return None
        try:
            return read(chosen)
        except BAD as error:
            return self._recover(info, read, error)

    def leave_out(self, info: ParquetFileInfo, error: CorruptedFileError | SchemaError) -> None:
        """Leave out the rest of a file that is found damaged while its rows are being given.

        Raises
        ------
        CorruptedFileError, SchemaError
            The error, if files are not left out.
        """
        self._errors.setdefault(info.key, error)
        if not self._skip:
            raise error
        self._instead[info] = None

    def _recover(
        self,
        info: ParquetFileInfo,
        read: Callable[[ParquetFileInfo], T | None],
        error: CorruptedFileError | SchemaError,
    ) -> T | None:
        for candidate in self._candidates(info):
            try:
                content = read(candidate)
            except BAD:
                continue
            self._instead[info] = candidate
            return content
        self.leave_out(info, error)
        return None

    def _candidates(self, info: ParquetFileInfo) -> Iterable[ParquetFileInfo]:
        for store in self._fallbacks:
            if store.address.url == info.root:
                continue
            try:
                entry = store.head(info.key)
            except ObjectNotFoundError:
                continue
            yield replace(
                info,
                file_path=path_of(store, info.key),
                etag=entry.etag,
                size_bytes=entry.size_bytes,
                root=store.address.url,
                metadata_key=None,
            )

    def files_read(self, files: Sequence[ParquetFileInfo]) -> tuple[ParquetFileInfo, ...]:
        """Return the files that were read in the place of these."""
        chosen = (self._instead.get(info, info) for info in files)
        return tuple(info for info in chosen if info is not None)

    def note(self, stats: LoadStats) -> None:
        """Name the files that were left out or replaced in statistics."""
        # In the order of keys: threads find them in any order.
        for info, instead in sorted(self._instead.items(), key=lambda entry: entry[0].key):
            if instead is None:
                stats.bad_files[info.key] = self._errors[info.key].message
            else:
                stats.replaced[info.key] = instead.file_path

    def check_some_left(self) -> None:
        """Raise the first error if files were left out; the caller has no file left."""
        for error in self._errors.values():
            raise error
