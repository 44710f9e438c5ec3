"""Tables of JSON: records (or one per line), an object of columns, pandas' ``split`` and ``table``.

Whole numbers beyond int64 become uint64 or, as values may, float64: no ids are made of those.
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from gigacast.core.record import parse_json


def table_of_json(content: bytes) -> pa.Table:
    """Return the table of a JSON document.

    Raises
    ------
    ValueError
        If it is no JSON, has a name twice in one object, or is in none of the forms.
    pa.ArrowException
        If a column has values of several types.
    """
    text = content.decode("utf-8-sig").strip()
    if not text:
        raise ValueError("the file is empty")
    return _table_of(_parse_json(text))


def _parse_json(text: str) -> Any:
    # JSON lines are tried second: a document may have line breaks, lines are no document. If both
    # fail, the error of the document has the better position.
    try:
        return parse_json(text, _unique_names)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        try:
            return [parse_json(line, _unique_names) for line in lines]
        except json.JSONDecodeError:
            raise error from None


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of some pairs; Python would keep the last of two values in silence."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        _refuse_twins([name for name, _ in pairs])
    return unique


def _refuse_twins(names: Sequence[str]) -> None:
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise ValueError(f"the name {str(twin)[:80]!r} is twice in one object")


def _table_of(content: Any) -> pa.Table:
    content = _records_of_pandas(content)
    # A single record may have lists as well: those of a series, beside its id or start.
    if isinstance(content, dict) and not all(isinstance(v, list | dict) for v in content.values()):
        content = [content]
    if isinstance(content, dict):
        return pa.table({n: _column_of(v) for n, v in _by_label(content).items()})
    if isinstance(content, list) and all(isinstance(record, dict) for record in content):
        names = dict.fromkeys(name for record in content for name in record)
        columns = {name: [record.get(name) for record in content] for name in names}
        return pa.table({name: _column_of(values) for name, values in columns.items()})
    raise ValueError("the JSON is neither records nor an object of columns")


def _records_of_pandas(content: Any) -> Any:
    """Return the content of pandas' orientations ``split`` and ``table`` as columns or records."""
    if not (isinstance(content, dict) and isinstance(rows := content.get("data"), list)):
        return content
    names = content.get("columns")
    if isinstance(names, list) and content.keys() <= {"columns", "index", "data"}:
        _refuse_twins(names)
        return {
            str(name): list(column)
            for name, column in zip(names, zip(*rows, strict=True), strict=True)
        }
    return rows if content.keys() == {"schema", "data"} else content


def _by_label(columns: dict[str, Any]) -> dict[str, list[Any]]:
    """Return columns as lists. pandas' default orientation has an object of row labels for each."""
    labels: list[str] | None = None
    lists: dict[str, list[Any]] = {}
    for name, value in columns.items():
        if isinstance(value, dict):
            labels = labels if labels is not None else list(value)
            if value.keys() != set(labels):
                raise ValueError(f"the column {name[:80]!r} has other row labels than the first")
            # In the order of the first column: only the labels say which values are of one row.
            value = [value[label] for label in labels]  # noqa: PLW2901
        lists[name] = value
    return lists


def _column_of(values: Sequence[Any]) -> pa.Array:
    kinds = set(map(type, values))
    # Python counts True as 1.
    if bool in kinds and kinds & {int, float}:
        raise ValueError("a column has true or false among numbers")
    try:
        return pa.array(values)
    except OverflowError:
        pass
    try:
        return pa.array(values, pa.uint64())
    except (OverflowError, pa.ArrowException):
        pass
    try:
        floats = [None if v is None else float(v) for v in values]
        if len(set(floats)) < len(set(values)):
            raise ValueError("it has whole numbers that differ in digits that no float holds")
        return pa.array(floats, pa.float64())
    except (OverflowError, TypeError) as error:
        raise ValueError("it has whole numbers beyond 64 bits") from error
