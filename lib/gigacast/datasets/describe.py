"""The description of a Parquet file and of rows, and the changes between two versions."""

from typing import Any

import pyarrow as pa

from gigacast.core.contract.definition import Contract, format_contract
from gigacast.core.contract.drift import (
    Drift,
    drift_of_contracts,
    drift_of_nulls,
    drift_of_schemas,
)
from gigacast.core.contract.inference import infer_contract
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.datasets.check import RowSource
from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.metadata import EMBEDDED, check_metadata
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.parquet.statistics import group_bounds
from gigacast.storage.store import Store

# Keys that pandas and pyarrow write for themselves: the schema once more, in forms of their own.
_PANDAS = b"pandas"
_ARROW = b"ARROW:schema"


def describe_parquet(store: Store, key: str) -> dict[str, Any]:
    """Return the contents of a file's footer, without reading its rows.

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


def propose_contract(name: str, rows: RowSource) -> tuple[Contract, str]:
    """Return a contract that rows keep, and its text in YAML."""
    contract = infer_contract(name, rows.schema, rows.open(None))
    return contract, format_contract(contract)


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
        for position in range(group.num_columns):
            column = group.column(position)
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


def _nulls_of(kind: pa.DataType, counted: int, rows: int) -> int | None:
    """Return the number of nulls, or ``None`` for lists and structs."""
    # The statistics of lists and structs count their elements, not the rows.
    if pa.types.is_nested(kind):
        return None
    return rows if pa.types.is_null(kind) else counted


def _embedded(text: str | None, key: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        values = decode_json(text, Source(key, CorruptedFileError))
    except CorruptedFileError:
        return None
    return check_metadata(values, key)


def drift_of_versions(old: DatasetManifest, new: DatasetManifest) -> list[Drift]:
    """Return the changes between two versions: of columns, nulls and the contract."""
    drifts = drift_of_schemas(old.schema, new.schema)
    drifts += drift_of_nulls(old.null_counts, old.rows, new.null_counts, new.rows)
    before, after = _contract(old), _contract(new)
    # A column that changes its type usually does so in the contract as well: reported once.
    if before is not None and after is not None:
        reported = {(drift.field, drift.kind) for drift in drifts}
        drifts += [
            drift
            for drift in drift_of_contracts(before, after)
            if (drift.field, drift.kind) not in reported
        ]
    return drifts


def _contract(manifest: DatasetManifest) -> Contract | None:
    try:
        return None if manifest.contract is None else Contract.from_dict(manifest.contract)
    except ConfigError:
        return None  # written by a later release, with rules unknown here
