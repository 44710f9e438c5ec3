"""Types of fields as definitions write them."""

from collections.abc import Mapping

import pyarrow as pa

from gigacast.errors import ConfigError

_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "text": pa.string(),
    "long": pa.int64(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "short": pa.int16(),
    "double": pa.float64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "bool": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def arrow_type(text: str, label: str) -> pa.DataType:
    """Return the type of a field's word, as ``long`` or ``list<double>``.

    Raises
    ------
    ConfigError
        If it is no type; the message begins with the label.
    """
    word = text.strip().lower()
    for start in ("list<", "array<"):
        if word.startswith(start) and word.endswith(">"):
            return pa.list_(arrow_type(word[len(start) : -1], label))
    if word not in _TYPES:
        raise ConfigError(f"{label}: {text!r} is no type", hint=f"one of {', '.join(_TYPES)}")
    return _TYPES[word]
