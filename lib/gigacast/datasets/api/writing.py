"""Writing datasets, held against contracts, with lineage; and plain Parquet files."""

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
from gigacast.datasets.write import write_files
from gigacast.job.audit import this_author
from gigacast.job.location import Location, locate


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
    """Write a Parquet file that keeps a contract, or nothing.

    Parameters
    ----------
    data : DataFrame, Table or batches
        Batches are streamed: a row group at a time is held.
    path : str or Path
        In a layer's folder a version is published; see `write_cleaned_data`.
    schema : Contract or str, optional
    mode : {"strict", "coerce", "ignore"}
    compression : {"snappy", "zstd", "gzip", "none"}
    partition_by : sequence of str
        ``date``, ``month``, ``year`` or columns: ``path`` is a folder then.
    metadata : mapping of str to str, optional
        Custom keys of the file.

    Returns
    -------
    dict
        The metadata of what was written.

    Raises
    ------
    SchemaMismatchError
        With every violation; nothing was written.
    """
    where = locate(path)
    if where.ref is not None:
        return _publish(data, path, schema, mode, compression, partition_by)
    files = _file_rules(where.key, compression, partition_by)
    return _write_plain(data, where, schema, mode_of(mode), files, metadata or {})


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

    The version is visible when all of it is, and never changes. The same data again changes
    nothing; other data is refused. ``cleaned/latest/{asset}`` takes the next version.

    Parameters
    ----------
    data : DataFrame, Table or batches
    path : str or Path
        The dataset, or a file name in it.
    schema : Contract or str, optional
    mode : {"strict", "coerce", "ignore"}
    compression : {"snappy", "zstd", "gzip", "none"}
    partition_by : sequence of str
        ``date``, ``month``, ``year`` or columns.
    append : bool
        Whether the rows follow those of the version before, whose files are shared.
    what : str
        For the changelog.
    dependencies : sequence of str or Path
        What the data was made from; a frame read here remembers it by itself.

    Returns
    -------
    dict
        The metadata of the version.

    Raises
    ------
    SchemaMismatchError, DatasetConflictError, ConfigError
    """
    check_layer(path, "cleaned")
    return _publish(data, path, schema, mode, compression, partition_by, append, what, dependencies)


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

    As `write_cleaned_data`.
    """
    check_layer(path, "features")
    return _publish(data, path, schema, mode, compression, partition_by, append, what, dependencies)


def _file_rules(key: str, compression: str | None, partition_by: Sequence[str] | None) -> FileRules:
    by = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by or ())
    name = key.rpartition("/")[2]
    if name.endswith(".parquet"):
        return FileRules(by, compression or "none", name)
    return FileRules(by, compression or "none")


def _publish(  # noqa: PLR0913, PLR0917 - handed on as they came
    data: Data,
    path: Path_,
    schema: Schema | None,
    mode: str | Mode,
    compression: str | None,
    partition_by: Sequence[str] | None,
    append: bool = False,
    what: str = "",
    dependencies: Sequence[Path_] = (),
) -> dict[str, Any]:
    where = dataset_location(path)
    assert where.ref is not None  # noqa: S101 - just looked
    remembered = data.attrs.get(SOURCE) if isinstance(data, pd.DataFrame) else None
    sources = [*dependencies, *([remembered["path"]] if remembered else [])]
    found = (one for source in sources for one in dependencies_of(source, where))
    options = PublishOptions(
        contract=contract_of(schema) if schema is not None else None,
        mode=mode_of(mode),
        append=append,
        what=what,
        dependencies=tuple(dict.fromkeys(found)),
        files=_file_rules(where.key, compression, partition_by),
    )
    columns, batches = batches_of(data)
    done = publish_rows(where.lake(), where.ref, batches, columns, options, this_author())
    return MetadataManager.read_metadata_file(f"{where.address.url}/{done.manifest.ref}")


def _write_plain(
    data: Data,
    where: Location,
    schema: Schema | None,
    mode: Mode,
    files: FileRules,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    columns, batches = batches_of(data)
    contract = (contract_of(schema), mode) if schema is not None else None
    return write_files(where, batches, columns, contract, files, custom)
