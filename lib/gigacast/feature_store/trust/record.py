"""Records of served answers: what a log holds of a request and of its answer.

Values are texts of JSON, so that a log is read without the definition that answered, and records of
several definitions may be in one file. Floats are written with all their digits.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from gigacast.feature_store.online.question import Response
from gigacast.feature_store.online.typed import to_json

SCHEMA = pa.schema(
    [
        pa.field("at", pa.int64(), nullable=False),
        pa.field("logged_ms", pa.int64(), nullable=False),
        pa.field("definition", pa.string(), nullable=False),
        pa.field("keys", pa.string(), nullable=False),
        pa.field("values", pa.string(), nullable=False),
        pa.field("errors", pa.string(), nullable=False),
        pa.field("batch_ends", pa.string(), nullable=False),
        pa.field("freshness_ms", pa.int64()),
    ]
)
"""Columns of a log; texts of JSON but for the digest of the definition and the times."""
HOUR_MS = 3_600_000
MAP_KEY, MAP_VALUE = "key", "value"


class Record(NamedTuple):
    """An answer as a log holds it: a row of `SCHEMA`."""

    at: int
    logged_ms: int
    definition: str
    keys: str
    values: str
    errors: str
    batch_ends: str
    freshness_ms: int | None

    @property
    def size_bytes(self) -> int:
        """Approximate memory of the record."""
        texts = (self.keys, self.values, self.errors, self.batch_ends)
        return 200 + sum(map(len, texts))


def record_of(
    definition: str, response: Response, batch_ends: Mapping[str, int], logged_ms: int
) -> Record:
    """Return the record of an answer.

    Parameters
    ----------
    definition : str
        Digest of the definition that answered.
    response : Response
    batch_ends : mapping of str to int
        End of the batch that answered, by part.
    logged_ms : int
        Time of the answer, epoch milliseconds.
    """
    keys = {name: _key_text(value) for name, value in response.request.keys.items()}
    # Without the entries that repeat the errors.
    failed = {f"{part}_exception" for part in response.errors}
    values = {n: _plain(value) for n, value in response.values.items() if n not in failed}
    return Record(
        response.at,
        logged_ms,
        definition,
        _text(keys),
        _text(values),
        _text(response.errors),
        _text(batch_ends),
        response.freshness_ms,
    )


def table_of(records: Sequence[Record]) -> pa.Table:
    """Return records as a table."""
    columns = zip(*records, strict=True) if records else ([] for _ in SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def hour_of(at: int) -> tuple[str, str]:
    """Return the day and the hour (UTC) of a moment, as ``2024-01-31`` and ``07``."""
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return moment.strftime("%Y-%m-%d"), moment.strftime("%H")


def _key_text(value: Any) -> str | None:
    """Return a key as text: of one type, whatever types requests use for it."""
    plain = to_json(value)
    if plain is None or isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """Return a feature for JSON. Maps are lists of pairs, which columns can be read from."""
    if isinstance(value, Mapping):
        return [{MAP_KEY: str(name), MAP_VALUE: _plain(entry)} for name, entry in value.items()]
    return to_json(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
