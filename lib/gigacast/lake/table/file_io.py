"""The files of pyiceberg's metadata in the job's own store: its endpoint, credentials and retries.

pyiceberg makes a `JobFileIO` by its name (``py-io-impl``) wherever it opens a table.
"""

import io
from types import TracebackType
from typing import Self

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.typedef import EMPTY_DICT, Properties

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.table.place import TablePlaces
from gigacast.storage.parquet.read import open_object


class JobFileIO(FileIO):  # type: ignore[misc]
    """Opens, writes and deletes files by their URL.

    Parameters
    ----------
    properties : mapping of str to str
        ``gigacast.endpoint_url`` and ``gigacast.region`` are those of the job.
    """

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self.places = TablePlaces(
            properties.get("gigacast.endpoint_url"), properties.get("gigacast.region")
        )

    def new_input(self, location: str) -> InputFile:
        """Return a file to read."""
        return _Stored(location, self.places)

    def new_output(self, location: str) -> OutputFile:
        """Return a file to write."""
        return _New(location, self.places)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file; one that does not exist is ignored."""
        url = location if isinstance(location, str) else location.location
        store, key = self.places.find(url)
        store.delete([key])


class _Stored(InputFile):  # type: ignore[misc]
    """A file of a store, opened by ranges if it is large."""

    def __init__(self, location: str, places: TablePlaces) -> None:
        super().__init__(location)
        self._store, self._key = places.find(location)

    def __len__(self) -> int:
        return self._store.head(self._key).size_bytes

    def exists(self) -> bool:
        """Return whether the file exists."""
        try:
            self._store.head(self._key)
        except ObjectNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        """Open the file."""
        try:
            return open_object(self._store, self._key)
        except ObjectNotFoundError as error:
            # As pyiceberg's own implementations.
            raise FileNotFoundError(f"{self.location} does not exist") from error


class _New(OutputFile):  # type: ignore[misc]
    """A file that is put into a store as a whole when it is closed."""

    def __init__(self, location: str, places: TablePlaces) -> None:
        super().__init__(location)
        self._places = places
        self._store, self._key = places.find(location)

    def __len__(self) -> int:
        return self._store.head(self._key).size_bytes

    def exists(self) -> bool:
        """Return whether the file exists."""
        return _Stored(self.location, self._places).exists()

    def to_input_file(self) -> InputFile:
        """Return the written file."""
        return _Stored(self.location, self._places)

    def create(self, overwrite: bool = False) -> OutputStream:
        """Open the file for writing."""
        return _Sink(self, overwrite=overwrite)

    def put(self, content: bytes, *, overwrite: bool) -> None:
        """Write the file."""
        try:
            if overwrite:
                self._store.put(self._key, content)
            else:
                self._store.put_if_absent(self._key, content)
        except PreconditionFailedError as error:
            raise FileExistsError(f"{self.location} exists") from error


class _Sink(io.BytesIO):
    """Collects a file in memory; a data file of a table has a bounded number of rows."""

    def __init__(self, file: _New, *, overwrite: bool) -> None:
        super().__init__()
        self._file = file
        self._overwrite = overwrite
        self._is_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_failed = kind is not None
        self.close()

    def close(self) -> None:
        """Write the file, unless an error ended its block."""
        if not self.closed:
            content = b"" if self._is_failed else self.getvalue()
            super().close()
            if content:
                self._file.put(content, overwrite=self._overwrite)
