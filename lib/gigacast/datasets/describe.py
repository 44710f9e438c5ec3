"""What is known of a file or a version, and what changed between two."""

import json
from typing import Any

import pyarrow as pa

from gigacast.core.contract.definition import Contract
from gigacast.core.contract.drift import (
    Drift,
    drift_of_contracts,
    drift_of_nulls,
    drift_of_schemas,
)
from gigacast.errors import ConfigError
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.metadata import EMBEDDED, check_metadata
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.parquet.statistics import group_bounds
from gigacast.storage.store import Store

_PANDAS = b"pandas"
_ARROW = b"ARROW:schema"


def describe_parquet(store: Store, key: str) -> dict[str, Any]:
    """Return what a file's footer says; none of its rows are read.

    Raises
    ------
    CorruptedFileError, ObjectNotFoundError
    """
    meta = store.head(key)
    with open_parquet(store, meta, selective=True) as file, translated_parquet(store, key):
        footer, schema = file.metadata, file.schema_arrow
        texts = {
            name.decode(errors="replace"): value.decode(errors="replace")
            for name, value in (footer.metadata or {}).items()
            if name not in {_PANDAS, _ARROW}
        }
        return {
            "key": key,
            "etag": meta.etag,
            "num_rows": footer.num_rows,
            "num_columns": footer.num_columns,
            "num_row_groups": footer.num_row_groups,
            "file_size_bytes": meta.size_bytes,
            "compression": _codec(footer),
            "created_by": footer.created_by,
            "columns": _columns(footer, schema),
            "metadata": _embedded(texts.pop(EMBEDDED, None), key),
            "custom": texts,
        }


def _codec(footer: Any) -> str | None:
    if not footer.num_row_groups or not footer.num_columns:
        return None
    name = footer.row_group(0).column(0).compression.lower()
    return "none" if name == "uncompressed" else str(name)


def _columns(footer: Any, schema: pa.Schema) -> list[dict[str, Any]]:
    nulls = dict.fromkeys(schema.names, 0)
    bounds: dict[str, tuple[Any, Any]] = {}
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in nulls and column.statistics is not None:
                nulls[column.path_in_schema] += column.statistics.null_count or 0
        for name, (low, high) in group_bounds(footer, index, schema.names).items():
            least, greatest = bounds.get(name, (low, high))
            bounds[name] = (min(least, low), max(greatest, high))
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "null_count": _nulls_of(field.type, nulls[field.name], int(footer.num_rows)),
            **dict(zip(("minimum", "maximum"), bounds.get(field.name, ()), strict=False)),
        }
        for field in schema
    ]


def _nulls_of(kind: pa.DataType, told: int, rows: int) -> int | None:
    """Return the missing values; of lists and structs a footer tells only what they hold."""
    if pa.types.is_nested(kind):
        return None
    return rows if pa.types.is_null(kind) else told


def _embedded(text: str | None, key: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return check_metadata(json.loads(text), key)
    except ValueError:
        return None


def drift_of_versions(old: DatasetManifest, new: DatasetManifest) -> list[Drift]:
    """Return what changed from one version to another: columns, missing values, the contract."""
    found = drift_of_schemas(old.schema, new.schema)
    found += drift_of_nulls(old.null_counts, old.rows, new.null_counts, new.rows)
    before, after = _contract(old), _contract(new)
    if before is not None and after is not None:
        told = {(one.field, one.kind) for one in found}
        found += [
            one for one in drift_of_contracts(before, after) if (one.field, one.kind) not in told
        ]
    return found


def _contract(manifest: DatasetManifest) -> Contract | None:
    try:
        return None if manifest.contract is None else Contract.from_dict(manifest.contract)
    except ConfigError:
        return None  # written by a release that knew more
