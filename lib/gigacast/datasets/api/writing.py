"""The public functions that write datasets with contracts and lineage, and plain Parquet files."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gigacast.core.contract.definition import Mode
from gigacast.datasets.api.form import SOURCE, Data, Path_, batches_of
from gigacast.datasets.api.schema import Schema, contract_of, mode_of
from gigacast.datasets.files import FileRules
from gigacast.datasets.metadata import MetadataManager
from gigacast.datasets.publish import PublishOptions, publish_rows
from gigacast.datasets.resolve import (
    check_layer,
    dataset_location,
    dependencies_of,
)
from gigacast.datasets.write import Promise, write_files
from gigacast.job.audit import this_author
from gigacast.job.location import Location, locate
from gigacast.settings.argument import check_argument, checked


@checked
def write_parquet_validated(  # noqa: PLR0913 - keywords, each with a default
    data: Data,
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    compression: str | None = "snappy",
    partition_by: Sequence[str] | None = (),
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write a Parquet file if the rows keep a contract.

    Parameters
    ----------
    data : DataFrame, Table or batches
        Rows to write. Batches are streamed, with a row group in memory at a time.
    path : str or Path
        Path of the file. In the folder of a layer a version is published, as by
        `write_cleaned_data`.
    schema : Contract or str, optional
        Contract or its name; no check by default.
    mode : {"strict", "coerce", "ignore"}
        Handling of rows that break the contract: an error, an error after converting types, or a
        warning.
    compression : {"snappy", "zstd", "gzip", "none"}
        Codec of the file.
    partition_by : sequence of str
        Levels of folders: ``date``, ``month``, ``year`` or columns. ``path`` is then a folder.
    metadata : mapping of str to str, optional
        Custom keys of the file's metadata; none by default.

    Returns
    -------
    dict
        Metadata of the written files.

    Raises
    ------
    SchemaMismatchError
        If a row breaks the contract, with all violations. Nothing is written.
    """
    location = locate(path)
    if location.ref is not None:
        return _publish(data, path, schema, mode, compression, partition_by)
    files = _file_rules(location.key, compression, partition_by)
    for name, value in (metadata or {}).items():
        check_argument(f"metadata: {name!r}", value, str)
    return _write_plain(data, location, schema, mode_of(mode), files, metadata or {})


@checked
def write_cleaned_data(  # noqa: PLR0913 - keywords, each with a default
    data: Data,
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    compression: str | None = "snappy",
    partition_by: Sequence[str] | None = (),
    append: bool = False,
    what: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    """Publish data as a version of the cleaned layer: ``cleaned/v{X}/{asset}/``.

    The version becomes visible when it is complete, and never changes. Publishing the same data
    again changes nothing; other data is an error. ``cleaned/latest/{asset}`` publishes the next
    version.

    Parameters
    ----------
    data : DataFrame, Table or batches
        Rows to publish. Batches are streamed, with a row group in memory at a time.
    path : str or Path
        Path of the dataset, or of a file in it.
    schema : Contract or str, optional
        Contract or its name; no check by default.
    mode : {"strict", "coerce", "ignore"}
        Handling of rows that break the contract: an error, an error after converting types, or a
        warning.
    compression : {"snappy", "zstd", "gzip", "none"}
        Codec of the files.
    partition_by : sequence of str
        Levels of folders: ``date``, ``month``, ``year`` or columns.
    append : bool
        Whether to append the rows to those of the version before. The new version shares its
        files.
    what : str
        Description of the change, for the changelog.
    dependencies : sequence of str or Path
        Paths of the data from which these rows were made. The source of a frame that was read by
        this package is added.

    Returns
    -------
    dict
        Metadata of the version.

    Raises
    ------
    SchemaMismatchError
        If a row breaks the contract.
    DatasetConflictError
        If the version exists with other content.
    ConfigError
        If the path is not in the cleaned layer, or the version number is too low for the change.
    """
    check_layer(path, "cleaned")
    return _publish(data, path, schema, mode, compression, partition_by, append, what, dependencies)


@checked
def write_features(  # noqa: PLR0913 - keywords, each with a default
    data: Data,
    path: Path_,
    schema: Schema | None = None,
    mode: str | Mode = Mode.STRICT,
    *,
    compression: str | None = "snappy",
    partition_by: Sequence[str] | None = (),
    append: bool = False,
    what: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    """Publish data as a version of a feature set: ``features/v{Y}/{feature_set}/``.

    Parameters and errors are those of `write_cleaned_data`.
    """
    check_layer(path, "features")
    return _publish(data, path, schema, mode, compression, partition_by, append, what, dependencies)


def _file_rules(key: str, compression: str | None, partition_by: Sequence[str] | None) -> FileRules:
    by = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by or ())
    name = key.rpartition("/")[2]
    if name.endswith(".parquet"):
        return FileRules(by, compression or "none", name)
    return FileRules(by, compression or "none")


def _publish(  # noqa: PLR0913, PLR0917 - the arguments of the public functions
    data: Data,
    path: Path_,
    schema: Schema | None,
    mode: str | Mode,
    compression: str | None,
    partition_by: Sequence[str] | None,
    append: bool = False,
    change: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    location = dataset_location(path)
    assert location.ref is not None  # noqa: S101 - dataset_location has checked it
    # A frame that was read from a dataset remembers it, and what is written from it names it.
    origin = data.attrs.get(SOURCE) if isinstance(data, pd.DataFrame) else None
    sources = [*dependencies, *([origin["path"]] if origin else [])]
    objects = (entry for source in sources for entry in dependencies_of(source, location))
    options = PublishOptions(
        contract=contract_of(schema) if schema is not None else None,
        mode=mode_of(mode),
        append=append,
        what=change,
        dependencies=tuple(dict.fromkeys(objects)),
        files=_file_rules(location.key, compression, partition_by),
    )
    columns, batches = batches_of(data)
    published = publish_rows(
        location.lake(), location.ref, batches, columns, options, this_author()
    )
    return MetadataManager.read_metadata_file(f"{location.address.url}/{published.manifest.ref}")


def _write_plain(
    data: Data,
    location: Location,
    schema: Schema | None,
    mode: Mode,
    files: FileRules,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    columns, batches = batches_of(data)
    promise = Promise(contract_of(schema), mode) if schema is not None else None
    return write_files(location, batches, columns, promise, files, custom)
