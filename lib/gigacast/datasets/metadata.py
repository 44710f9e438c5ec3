"""`MetadataManager`, for metadata of datasets that are written by hand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gigacast.core.contract.definition import Contract
from gigacast.datasets.describe import describe_parquet
from gigacast.datasets.resolve import open_rows, plain_location
from gigacast.datasets.rows import software
from gigacast.errors import DataNotFoundError, DatasetConflictError, ObjectNotFoundError
from gigacast.job.location import locate
from gigacast.lake.dataset.metadata import check_metadata, metadata_bytes, parse_metadata
from gigacast.lake.layout import DATASET_METADATA
from gigacast.storage.opening import open_store


class MetadataManager:
    """Metadata of datasets as dictionaries, in the form published as ``metadata.schema.json``."""

    @staticmethod
    def create_metadata(  # noqa: PLR0913 - the fields of the document
        layer: str,
        asset: str | None = None,
        record_count: int = 0,
        file_size_bytes: int = 0,
        *,
        feature_set: str | None = None,
        version: str | None = None,
        schema: Contract | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Return new metadata after checking its form.

        Raises
        ------
        CorruptedFileError
            If an entry is invalid; the message names it.
        """
        metadata: dict[str, Any] = {
            "layer": layer,
            **({"asset": asset} if asset is not None else {}),
            **({"feature_set": feature_set} if feature_set is not None else {}),
            **({"version": version} if version is not None else {}),
            "record_count": record_count,
            "file_size_bytes": file_size_bytes,
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "software": software(),
            **more,
        }
        if schema is not None:
            contract = schema
            columns = [
                {"name": c.name, "type": c.type, "nullable": c.nullable} for c in contract.columns
            ]
            metadata["schema"] = {
                "name": contract.name,
                "version": contract.version,
                "columns": columns,
            }
        return check_metadata(metadata, "the metadata")

    @staticmethod
    def write_metadata_file(metadata: Mapping[str, Any], path: str | Path) -> None:
        """Check metadata and write it as JSON.

        Raises
        ------
        CorruptedFileError
            If it does not have the published form.
        DatasetConflictError
            If the path is in a published version.
        """
        location = locate(path)
        content = metadata_bytes(metadata, str(path))
        if location.ref is not None and location.ref.version and location.lake().find(location.ref):
            raise DatasetConflictError(
                f"{path}: published versions never change",
                hint="their metadata is written when they are published",
            )
        plain = plain_location(path)
        open_store(plain.address).put(plain.key, content)

    @staticmethod
    def read_metadata_file(path: str | Path) -> dict[str, Any]:
        """Read and check a metadata file, or the metadata of a dataset.

        Raises
        ------
        DataNotFoundError, CorruptedFileError
        """
        location = locate(path)
        if location.ref is not None and not location.key:
            ref = location.lake().resolve(location.ref)
            path = f"{location.address.url}/{ref}/{DATASET_METADATA}"
        plain = plain_location(path)
        try:
            return parse_metadata(open_store(plain.address).get(plain.key), str(path))
        except ObjectNotFoundError as error:
            raise DataNotFoundError(f"{path}: there is no such file") from error

    @staticmethod
    def add_file_info(
        metadata: dict[str, Any],
        path: str,
        record_count: int | None = None,
        file_size_bytes: int | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Add the entry of a file. A missing count or size is read from the file itself."""
        if record_count is None or file_size_bytes is None:
            rows = open_rows(path)
            footer = describe_parquet(rows.store, rows.files[0].meta.key)
            record_count = footer["num_rows"] if record_count is None else record_count
            size = footer["file_size_bytes"]
            file_size_bytes = size if file_size_bytes is None else file_size_bytes
        entry = {"record_count": record_count, "file_size_bytes": file_size_bytes}
        metadata.setdefault("files", []).append({"path": str(path), **entry, **more})
        return check_metadata(metadata, "the metadata")

    @staticmethod
    def add_quality_metrics(
        metadata: dict[str, Any],
        null_counts: Mapping[str, int] | None = None,
        quality_flags: Sequence[str] = (),
        completeness_percentage: float | None = None,
    ) -> dict[str, Any]:
        """Add metrics of the quality."""
        quality = metadata.setdefault("quality", {})
        quality["null_counts"] = dict(null_counts or {})
        quality["quality_flags"] = list(quality_flags)
        if completeness_percentage is not None:
            quality["completeness_percentage"] = completeness_percentage
        return check_metadata(metadata, "the metadata")

    @staticmethod
    def add_dependencies(
        metadata: dict[str, Any], dependencies: Iterable[str | Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Add the sources of the dataset: keys, or mappings with ``key`` and ``etag``."""
        entries = [{"key": d} if isinstance(d, str) else dict(d) for d in dependencies]
        metadata["dependencies"] = [*metadata.get("dependencies", []), *entries]
        return check_metadata(metadata, "the metadata")
