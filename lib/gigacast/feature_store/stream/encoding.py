"""Forms of records: JSON, lines with commas, Avro and Protobuf, as mappings of fields.

A topic names its form: ``events.returns/format=avro/schema=returns``. The schema is a file in the
bucket, below ``feature_store/schemas/``, which process and function read alike.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from gigacast.core.problem import Source as Origin
from gigacast.core.record import decode_json, parse_json
from gigacast.errors import (
    ConfigError,
    DataError,
    GigacastError,
    MissingExtraError,
    ObjectNotFoundError,
    UnknownSchemaError,
)
from gigacast.lake.feature_layout import schema_key
from gigacast.storage.store import Store

Fields = Mapping[str, Any]
Parse = Callable[[bytes], Fields]
"""Function of a record's bytes that returns its fields, or raises `DataError`."""
Parsers = Callable[[Mapping[str, str]], Parse]
"""Function of a topic's parameters that returns the function of its records."""
ReadSchema = Callable[[str], bytes]

_RECORD = Origin("", DataError, "a record is no JSON object")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}")
_FRAME_BYTES = 5  # a zero and the number of the schema, as clients of schema registries write


def text_parser(parameters: Mapping[str, str]) -> Parse:
    """Return the function of records that are text.

    A record is a JSON object, or a line of values with commas if the topic names its ``fields``.
    """
    names = tuple(filter(None, parameters.get("fields", "").split(",")))
    return lambda value: _parse_text(value, names)


def stored_parsers(store: Store) -> Parsers:
    """Return the function of the form that topics name, with schemas of a store.

    It raises `ConfigError` for a form or a schema that is none, `MissingExtraError` without the
    library of the form, and `StorageError` if the store cannot be read.
    """

    def read(name: str) -> bytes:
        key = schema_key(name)
        try:
            return store.get(key)
        except ObjectNotFoundError:
            raise ConfigError(
                f"{key}: the schema of a topic is not there",
                hint="copy the file of the schema to this key of the bucket",
            ) from None

    def choose(parameters: Mapping[str, str]) -> Parse:
        form = parameters.get("format", "json")
        if form == "json":
            return text_parser(parameters)
        if form not in _BINARY:
            raise ConfigError(
                f"topic: format={form[:40]} is none", hint="write json, avro or protobuf"
            )
        if not _NAME.fullmatch(parameters.get("schema", "")):
            raise ConfigError(
                f"topic: format={form} without the name of a schema",
                hint=f"events.returns/format={form}/schema=returns",
            )
        return _translated(_BINARY[form](parameters, read), form)

    return choose


def to_milliseconds(value: Any) -> Any:
    """Return a time as epoch milliseconds, for columns of integers; other values as they are."""
    if not isinstance(value, datetime):
        return value
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _parse_text(value: bytes, names: tuple[str, ...]) -> Fields:
    try:
        text = value.decode()
        if text.lstrip().startswith("{"):
            return dict(decode_json(text, _RECORD))
        if not names:
            raise DataError("a record is no JSON object")
        [cells] = csv.reader([text])
        if len(cells) != len(names):
            raise DataError(f"a record of {len(cells)} values, not {len(names)}")
    except (ValueError, TypeError) as error:
        raise DataError("a record is no JSON object") from error
    return {name: cell or None for name, cell in zip(names, cells, strict=True)}


def _translated(parse: Parse, form: str) -> Parse:
    def translated(value: bytes) -> Fields:
        try:
            return parse(value)
        except GigacastError:
            raise  # of a store that cannot be read: the record is read again
        except Exception as error:  # whatever a library raises of bytes that are no record
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"a record is no {form} of its schema: {reason[:150]}") from error

    return translated


# -- Avro ------------------------------------------------------------------------------------------


def _avro_parser(parameters: Mapping[str, str], read: ReadSchema) -> Parse:
    """Return the function of records of Avro, bare or in frames with the number of a schema."""
    library, name = _load_avro(), parameters["schema"]

    @cache
    def schema_of(number: int | None) -> Any:
        return _read_avro_schema(library, name, number, read)

    def parse(value: bytes) -> Fields:
        content = io.BytesIO(value)
        number = None
        if is_framed:
            if len(value) < _FRAME_BYTES or value[0] != 0:
                raise DataError("a record without a frame: a zero and the number of a schema")
            number = int.from_bytes(content.read(_FRAME_BYTES)[1:], "big")
        try:
            schema = schema_of(number)
        except ConfigError as error:
            # Of a frame: the bare form has read its schema before the first record.
            raise DataError(error.message) from error
        fields = library.schemaless_reader(content, schema)
        if not isinstance(fields, dict):
            raise DataError("the schema is none of a record")
        if content.read(1):
            raise DataError("a record has bytes after its end: it is of another schema")
        return {n: str(v) if isinstance(v, UUID) else v for n, v in fields.items()}

    is_framed = _is_framed(parameters)
    if not is_framed:
        schema_of(None)
    return parse


def _read_avro_schema(library: Any, name: str, number: int | None, read: ReadSchema) -> Any:
    """Return the schema of a topic, or that of a number in the frames of its records."""
    file = f"{name}.avsc" if number is None else f"{name}.{number}.avsc"
    try:
        text = read(file)
    except ConfigError as error:
        if number is None:
            raise
        # Producers may use a schema before its file is copied: its records are not left out.
        raise UnknownSchemaError(
            error.message,
            hint="copy the file of the schema to this key of the bucket, and the stream goes on; "
            "with an empty file there its records count as garbage",
        ) from None
    try:
        return library.parse_schema(parse_json(text.decode()))
    except (ValueError, TypeError, KeyError, library.schema.SchemaParseException) as error:
        raise ConfigError(
            f"{schema_key(file)}: is no schema of Avro: {error}",
            hint="copy the file of the schema to this key again",
        ) from error


def _is_framed(parameters: Mapping[str, str]) -> bool:
    framing = parameters.get("framing", "none")
    if framing not in {"none", "registry"}:
        raise ConfigError(
            f"topic: framing={framing[:40]} is none",
            hint="write framing=registry if records begin with the number of their schema",
        )
    return framing == "registry"


def _load_avro() -> Any:
    try:
        import fastavro  # noqa: PLC0415 - an extra
        import fastavro.schema  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "records of Avro need fastavro, which is not installed",
            hint="pip install 'gigacast[avro]'",
        ) from error
    return fastavro


# -- Protobuf --------------------------------------------------------------------------------------


def _protobuf_parser(parameters: Mapping[str, str], read: ReadSchema) -> Parse:
    """Return the function of records of Protobuf, described by a set of descriptors."""
    library = _load_protobuf()
    file, name = f"{parameters['schema']}.desc", parameters.get("message", "")
    if parameters.get("framing", "none") != "none":
        raise ConfigError(
            "topic: framing= is not read of Protobuf", hint="write records without a frame"
        )
    pool = library.descriptor_pool.DescriptorPool()
    try:
        for described in library.descriptor_pb2.FileDescriptorSet.FromString(read(file)).file:
            pool.Add(described)
        message = library.message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    except (library.message.DecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{schema_key(file)}: describes no message {name!r}: {error}",
            hint="`protoc --include_imports --descriptor_set_out` makes it; write message=PACKAGE."
            "NAME in the topic",
        ) from error
    return lambda value: _fields_of(message.FromString(value))


def _fields_of(message: Any) -> dict[str, Any]:
    """Return the fields of a message; those with presence that are not set are null."""
    return {
        field.name: None
        if field.has_presence and not message.HasField(field.name)
        else _field(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
    }


def _field(field: Any, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        own = kind.fields_by_name["value"]
        return {key: _single(own, value[key]) for key in value}
    if field.is_repeated:
        return [_single(field, entry) for entry in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return value.ToDatetime(tzinfo=UTC)
        return _fields_of(value)
    if field.enum_type is not None:
        # A number that the set of descriptors does not know, of a later one, stays a number.
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    return value


def _load_protobuf() -> Any:
    try:
        import google.protobuf as library  # noqa: PLC0415 - an extra
        from google.protobuf import (  # noqa: PLC0415
            descriptor_pb2,
            descriptor_pool,
            message,
            message_factory,
            timestamp_pb2,
        )
    except ImportError as error:
        raise MissingExtraError(
            "records of Protobuf need protobuf, which is not installed",
            hint="pip install 'gigacast[protobuf]'",
        ) from error
    del descriptor_pb2, descriptor_pool, message, message_factory, timestamp_pb2  # now attributes
    return library


_BINARY: Mapping[str, Callable[[Mapping[str, str], ReadSchema], Parse]] = {
    "avro": _avro_parser,
    "protobuf": _protobuf_parser,
}
