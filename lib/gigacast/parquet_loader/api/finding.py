"""What finds files, and reads what lies beside them."""

import json
from collections.abc import Sequence
from typing import Any

from gigacast.core.partition.name import NamingPattern
from gigacast.errors import CorruptedFileError
from gigacast.parquet_loader.api.record import LoaderRecord
from gigacast.parquet_loader.discovery import FileDiscovery, ParquetFileInfo, Range
from gigacast.settings.loader import ParquetLoaderSettings
from gigacast.storage.store import Store


class LoaderFinding(LoaderRecord):
    """The methods of `ParquetDataLoader` that find files.

    Parameters
    ----------
    config : ParquetLoaderSettings
    inputs, outputs : Store
    """

    def __init__(self, config: ParquetLoaderSettings, inputs: Store, outputs: Store) -> None:
        super().__init__(config, inputs, outputs)
        patterns = config.file_patterns
        self._pattern = NamingPattern(patterns.naming_regex, patterns.panel_regex)
        self._files = inputs
        self.file_discovery = FileDiscovery(inputs, self._pattern)

    def discover_files(
        self,
        symbol: str,
        year: int | None = None,
        year_range: Range | None = None,
        month: int | None = None,
        month_range: Range | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> list[ParquetFileInfo]:
        """Return the files of a symbol, oldest first; months without one are no error.

        Parameters
        ----------
        symbol : str
            Or a panel part, as ``part-00042``.
        year, month : int, optional
        year_range, month_range : (int, int), optional
            Both ends included; a range of months applies to each year.
        timeframes : sequence of str, optional
            Only these, as ``1min``.

        Raises
        ------
        ConfigError
            When no year is given, one and a range are, or a range runs backwards.
        StorageError
        """
        found = self.file_discovery.discover_files(
            symbol, year, year_range, month, month_range, timeframes
        )
        self._session.note("files_discovered", found)
        return found

    def read_metadata(self, file_info: ParquetFileInfo) -> dict[str, Any]:
        """Return the JSON that lies beside a Parquet file; empty where there is none.

        Raises
        ------
        CorruptedFileError
            When it is no JSON object.
        """
        if file_info.metadata_key is None:
            return {}
        content = self._files.get(file_info.metadata_key)
        try:
            found = json.loads(content)
        except ValueError as error:
            message = f"{file_info.metadata_key}: not JSON: {error}"
            raise CorruptedFileError(message, hint="write it again, or remove it") from error
        if isinstance(found, dict):
            return found
        raise CorruptedFileError(f"{file_info.metadata_key}: expected one JSON object")
