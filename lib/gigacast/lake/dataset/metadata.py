"""Metadata of a dataset version, in its metadata.json and in the footer of each Parquet file.

Both follow the JSON Schema ``metadata.schema.json`` of this package and are checked against it when
they are written and when they are read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import CorruptedFileError
from gigacast.lake.dataset.manifest import DatasetFile, DatasetManifest

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", flags=re.ASCII)
EMBEDDED = "gigacast.metadata"
"""The key of the metadata in a Parquet file's footer."""


@cache
def metadata_schema() -> dict[str, Any]:
    """Return the published JSON Schema."""
    text = (
        files("gigacast.lake.dataset").joinpath("metadata.schema.json").read_text(encoding="utf-8")
    )
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _validator() -> Any:
    # Without a checker jsonschema ignores formats, and any text would pass for a time. Its own
    # checker of times needs another package, which not every environment has.
    checker = FormatChecker([])
    checker.checks("date-time", raises=ValueError)(_is_time)
    return Draft202012Validator(metadata_schema(), format_checker=checker)


def _is_time(value: object) -> bool:
    """Return whether a value is a time of RFC 3339, or no text."""
    if not isinstance(value, str):
        return True
    return _TIME.fullmatch(value) is not None and datetime.fromisoformat(value.upper()) is not None


def check_metadata(metadata: Any, label: str) -> dict[str, Any]:
    """Return metadata that follows the published schema.

    Raises
    ------
    CorruptedFileError
        Naming the entry that does not follow it.
    """
    problem = next(iter(_validator().iter_errors(metadata)), None)
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path) or "top level"
        message = problem.message if len(problem.message) < 200 else f"{problem.message[:200]}..."
        raise CorruptedFileError(
            f"{label}: {place}: {message}",
            hint="the form is gigacast/lake/dataset/metadata.schema.json",
        )
    checked: dict[str, Any] = metadata
    return checked


def parse_metadata(content: bytes, label: str) -> dict[str, Any]:
    """Read and check metadata.

    Raises
    ------
    CorruptedFileError
    """
    return check_metadata(decode_json(content, Source(label, CorruptedFileError)), label)


def metadata_bytes(metadata: Mapping[str, Any], label: str) -> bytes:
    """Return metadata as it is stored, checked."""
    return json.dumps(check_metadata(dict(metadata), label), indent=1, ensure_ascii=False).encode()


def describe_manifest(manifest: DatasetManifest) -> dict[str, Any]:
    """Return the metadata of a version: the content of its metadata.json."""
    return {
        "layer": manifest.layer,
        "feature_set" if manifest.layer == "features" else "asset": manifest.name,
        "version": manifest.version,
        "record_count": manifest.rows,
        "file_size_bytes": manifest.size_bytes,
        "created_at": manifest.created_at,
        "created_by": manifest.created_by,
        "digest": manifest.digest,
        "parent": manifest.parent,
        "compression": manifest.codec,
        "partition_by": list(manifest.partition_by),
        "time_range": _time_range(manifest),
        "schema": _schema(manifest),
        "quality": {
            "null_counts": manifest.null_counts,
            "completeness_percentage": manifest.completeness_percentage,
            "quality_flags": list(manifest.quality_flags),
        },
        "changelog": [asdict(entry) for entry in manifest.changelog],
        "dependencies": [asdict(dependency) for dependency in manifest.dependencies],
        "files": [_file(file) for file in manifest.files],
        "software": dict(manifest.software),
        **manifest.extra,
    }


def _time_range(manifest: DatasetManifest) -> dict[str, Any] | None:
    # A column may be called "", as that of row numbers in CSV of pandas.
    is_named = manifest.time_column is not None
    bounds = manifest.bounds.get(str(manifest.time_column)) if is_named else None
    if bounds is None:
        return None
    # Steps are numbers, and the form has texts.
    return {"start": str(_text(bounds[0])), "end": str(_text(bounds[1]))}


def _schema(manifest: DatasetManifest) -> dict[str, Any]:
    nulls, bounds = manifest.null_counts, manifest.bounds
    contract = manifest.contract or {}
    columns = [
        {
            "name": column.name,
            "type": str(column.type),
            "nullable": column.nullable,
            "null_count": nulls[column.name],
        }
        | _limits(bounds.get(column.name))
        for column in manifest.schema
    ]
    return {"name": contract.get("name"), "version": contract.get("version"), "columns": columns}


def _file(file: DatasetFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "key": file.key,
        "etag": file.etag,
        "sha256": file.sha256,
        "record_count": file.rows,
        "file_size_bytes": file.size_bytes,
    }


def _limits(bounds: tuple[Any, Any] | None) -> dict[str, Any]:
    return {} if bounds is None else {"minimum": _text(bounds[0]), "maximum": _text(bounds[1])}


def _text(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0:
        return str(value)  # JSON has no number for infinity
    return value.isoformat() if isinstance(value, datetime | date) else value
