"""Pointers of the online store: which batch a group-by serves, and which joins are served."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record, read_value
from gigacast.errors import ConfigError, DataError, DataNotFoundError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.json import from_json, semantic_digest, to_json
from gigacast.feature_store.definition.name import name_of
from gigacast.feature_store.online.key import batch_prefix, group_by_key, join_key
from gigacast.feature_store.online.store import OnlineStore, Versioned

FORMAT = 1
STATES, FEATURES = "states", "features"
"""Forms of a batch's values: states that go on with streamed events, or finished features."""


@dataclass(frozen=True)
class Batch:
    """What a batch is called and when it answers.

    Parameters
    ----------
    id : str
        End and digest of its inputs.
    digest : str
        Digest of the definition and the types of its columns.
    day : str
        Newest day of its rows, as ``2023-12-01``.
    end : int
        First moment after the day, epoch milliseconds.
    serving_ms : int
        Time after its end for which it is served.
    """

    id: str
    digest: str
    day: str
    end: int
    serving_ms: int

    @property
    def last(self) -> int:
        """Last moment that it answers."""
        return self.end + self.serving_ms


@dataclass(frozen=True)
class _Pointer:
    """The stored form of `ServedGroupBy`."""

    definition: Any
    batch: Batch
    form: str
    schema: str
    events: str
    uploaded_ms: int
    keys: int
    previous: Batch | None


@dataclass(frozen=True)
class ServedGroupBy:
    """The batch that a group-by serves.

    Parameters
    ----------
    group_by : GroupBy
    batch : Batch
    form : str
        `STATES` or `FEATURES`.
    schema : pyarrow.Schema
        Columns of the rows; of the features for `FEATURES`, after the keys.
    events : pyarrow.Schema
        Columns of the table: the types of streamed events.
    uploaded_ms : int
        Time of the upload.
    keys : int
        Number of entities of the batch.
    previous : Batch, optional
        Batch that was served before, which those who have just read the pointer still use.
    """

    group_by: GroupBy
    batch: Batch
    form: str
    schema: pa.Schema
    events: pa.Schema
    uploaded_ms: int
    keys: int
    previous: Batch | None = None

    @property
    def name(self) -> str:
        """Name of the group-by."""
        return name_of(self.group_by)

    @property
    def prefix(self) -> str:
        """Start of the keys of the batch."""
        return batch_prefix(self.name, self.batch.digest, self.batch.id)

    @property
    def has_mutations(self) -> bool:
        """Whether streamed rows are changes of entities."""
        return any(source.has_mutations for source in self.group_by.sources)

    def encode(self) -> bytes:
        """Return the content of the pointer."""
        content = {
            "format": FORMAT,
            "definition": to_json(self.group_by),
            "batch": asdict(self.batch),
            "form": self.form,
            "schema": _encode_schema(self.schema),
            "events": _encode_schema(self.events),
            "uploaded_ms": self.uploaded_ms,
            "keys": self.keys,
            "previous": None if self.previous is None else asdict(self.previous),
        }
        return _encode(content)

    @classmethod
    def decode(cls, content: bytes, key: str) -> "ServedGroupBy":
        """Return the pointer of a content.

        Raises
        ------
        DataError
        """
        source = _source(key)
        stored = read_record(_Pointer, _decode(content, source), source, ignore_unknown=True)
        return cls(
            from_json(stored.definition, key),
            stored.batch,
            stored.form,
            _decode_schema(stored.schema, source),
            _decode_schema(stored.events, source),
            stored.uploaded_ms,
            stored.keys,
            stored.previous,
        )


def serving_digest(group_by: GroupBy, schema: pa.Schema) -> str:
    """Return the digest of a definition and of the types of its rows.

    Values of one digest can be merged, whatever batch or stream they come from.
    """
    return digest_value([semantic_digest(group_by), str(schema.remove_metadata())])


def read_group_by(store: OnlineStore, name: str) -> ServedGroupBy:
    """Return what a group-by serves.

    Raises
    ------
    DataNotFoundError
        If nothing was uploaded.
    """
    return decode_group_by(store.get_many([group_by_key(name)])[0], name)


def decode_group_by(stored: Versioned | None, name: str) -> ServedGroupBy:
    """Return what a group-by serves, of the value of its pointer."""
    if stored is None:
        raise DataNotFoundError(
            f"group-by {name}: nothing is uploaded", hint=f"gigacast feature-store upload {name}"
        )
    return ServedGroupBy.decode(stored.value, group_by_key(name))


def write_join(store: OnlineStore, join: Join) -> bool:
    """Write the definition of a join for fetches, and return whether it changed.

    Raises
    ------
    ConfigError
        If another definition was written at the same time.
    """
    key = join_key(name_of(join))
    content = _encode({"format": FORMAT, "definition": to_json(join)})
    stored = store.get_many([key])[0]
    if stored is not None and stored.value == content:
        return False
    if not store.put_if(key, stored.version if stored else None, content):
        raise ConfigError(
            f"join {name_of(join)}: was uploaded by another at the same time", hint="run it again"
        )
    return True


def decode_join(stored: Versioned | None, name: str) -> Join:
    """Return the served definition of a join.

    Raises
    ------
    DataNotFoundError
        If it was not uploaded.
    """
    if stored is None:
        raise DataNotFoundError(
            f"join {name}: its definition is not uploaded",
            hint=f"gigacast feature-store upload-metadata {name}",
        )
    key = join_key(name)
    join: Join = from_json(_decode(stored.value, _source(key)).get("definition"), key)
    return join


def _source(key: str) -> Source:
    return Source(f"online store: {key}", DataError, "is damaged", "upload it again")


def _encode(content: Mapping[str, Any]) -> bytes:
    # What is served follows from it: a flipped bit would be another feature, or another type. The
    # digest is a field beside the others, which earlier releases leave aside.
    return json.dumps({**content, "digest": digest_value(content, 32)}, ensure_ascii=False).encode()


def _decode(content: bytes, source: Source) -> Mapping[str, Any]:
    values: dict[str, Any] = read_value(dict[str, Any], decode_json(content, source), source)
    # Those of earlier releases have none.
    digest = values.pop("digest", None)
    if digest is not None and digest != digest_value(values, 32):
        raise source.refuse("not the digest of its values", "digest")
    if values.get("format") != FORMAT:
        raise DataError(
            f"{source.where} has the format {values.get('format')}, which this release cannot read",
            hint="upload it again with this release",
        )
    return values


def _encode_schema(schema: pa.Schema) -> str:
    return base64.b64encode(schema.remove_metadata().serialize().to_pybytes()).decode()


def _decode_schema(text: str, source: Source) -> pa.Schema:
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    except (ValueError, OSError, pa.ArrowException) as error:
        raise source.refuse("its schema is none") from error
