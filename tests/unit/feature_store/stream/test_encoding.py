"""Records of Avro and Protobuf are read as those of JSON; others are garbage, with the reason."""

import contextlib
import io
import json
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    TransientStorageError,
    UnknownSchemaError,
)
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.encoding import Parse, stored_parsers, to_milliseconds
from gigacast.feature_store.stream.stream import Record
from gigacast.lake.feature_layout import schema_key
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.features.served_events import END, NAME, Event, ask, backfill, record, serve

fastavro = pytest.importorskip("fastavro", reason="fastavro is not installed")
pytest.importorskip("google.protobuf", reason="protobuf is not installed")

from google.protobuf import (  # noqa: E402
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
)

AVRO = {"format": "avro", "schema": "returns"}
PROTOBUF = {"format": "protobuf", "schema": "returns", "message": "shop.Return"}
SCHEMA = {
    "type": "record",
    "name": "Return",
    "fields": [
        {"name": "user", "type": "string"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": ["null", "double"]},
    ],
}
Types = descriptor_pb2.FieldDescriptorProto


def descriptors() -> Any:
    """Return the set of descriptors that ``protoc`` would write of a small message."""
    files = descriptor_pb2.FileDescriptorSet()
    files.file.add().ParseFromString(timestamp_pb2.DESCRIPTOR.serialized_pb)
    file = files.file.add(name="shop.proto", package="shop", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="NEW", number=0)
    kind.value.add(name="USED", number=1)
    message = file.message_type.add(name="Return")
    entry = message.nested_type.add(name="SharesEntry")
    entry.options.map_entry = True
    for name, number, of in (("key", 1, Types.TYPE_STRING), ("value", 2, Types.TYPE_DOUBLE)):
        entry.field.add(name=name, number=number, type=of, label=Types.LABEL_OPTIONAL)
    singles: list[tuple[str, int, str | None]] = [
        ("user", Types.TYPE_STRING, None),
        ("ts", Types.TYPE_INT64, None),
        ("price", Types.TYPE_DOUBLE, None),
        ("kind", Types.TYPE_ENUM, ".shop.Kind"),
        ("at", Types.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
    ]
    for number, (name, of, own) in enumerate(singles, 1):
        field = message.field.add(name=name, number=number, type=of, label=Types.LABEL_OPTIONAL)
        if own:
            field.type_name = own
        if name == "price":
            field.proto3_optional, field.oneof_index = True, 0
            message.oneof_decl.add(name="_price")
    message.field.add(name="tags", number=6, type=Types.TYPE_STRING, label=Types.LABEL_REPEATED)
    message.field.add(
        name="shares", number=7, type=Types.TYPE_MESSAGE, label=Types.LABEL_REPEATED
    ).type_name = ".shop.Return.SharesEntry"
    return files


def message_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors().file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Return"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    store.put(schema_key("returns.avsc"), json.dumps(SCHEMA).encode())
    store.put(schema_key("returns.desc"), descriptors().SerializeToString())
    return store


def in_avro(event: Event, schema: Any = SCHEMA) -> bytes:
    buffer = io.BytesIO()
    fields = dict(zip(("user", "ts", "price"), event, strict=True))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), fields)
    return buffer.getvalue()


def in_protobuf(event: Event) -> bytes:
    user, ts, price = event
    content: bytes = message_class()(user=user, ts=ts, price=price).SerializeToString()
    return content


EVENTS: list[Event] = [("a", END + n * 1000, None if n % 5 == 0 else n / 4) for n in range(12)]


@pytest.mark.parametrize(
    ("parameters", "write"), [(AVRO, in_avro), (PROTOBUF, in_protobuf), ({}, record)]
)
def test_events_of_every_form_give_the_features_of_a_backfill(
    store: Store, parameters: dict[str, str], write: Callable[[Event], bytes]
) -> None:
    # The topic of the definition is of lines with commas; its form is that of the parameters.
    own = parameters or {"fields": "user,ts,price"}
    served = MemoryOnlineStore()
    serve(served, [])
    applier = StreamApplier(served, NAME, "returns", parsers=lambda _: stored_parsers(store)(own))

    applier.apply([Record("0", str(n), write(event)) for n, event in enumerate(EVENTS)])

    assert applier.counts.garbage == 0
    at = END + 60_000
    assert ask(served, "a", at) == backfill(EVENTS, "a", at)


def test_nested_fields_of_a_message_are_lists_maps_names_and_times(store: Store) -> None:
    message = message_class()(user="a", kind=1, tags=["x", "y"], shares={"b": 0.5})
    message.at.FromMilliseconds(END + 7)

    fields = stored_parsers(store)(PROTOBUF)(message.SerializeToString())

    assert fields == {
        "user": "a",
        "ts": 0,
        "price": None,
        "kind": "USED",
        "at": datetime.fromtimestamp((END + 7) / 1000, UTC),
        "tags": ["x", "y"],
        "shares": {"b": 0.5},
    }
    assert to_milliseconds(fields["at"]) == END + 7


def test_a_framed_record_is_read_by_the_schema_whose_number_it_has(store: Store) -> None:
    older = {**SCHEMA, "fields": SCHEMA["fields"][:2]}
    store.put(schema_key("returns.7.avsc"), json.dumps(older).encode())
    store.put(schema_key("returns.8.avsc"), json.dumps(SCHEMA).encode())
    parse = stored_parsers(store)({**AVRO, "framing": "registry"})

    def framed(number: int, schema: Any) -> bytes:
        return b"\0" + number.to_bytes(4, "big") + in_avro(("a", END, 2.5), schema)

    assert set(parse(framed(7, older))) == {"user", "ts"}
    assert parse(framed(8, SCHEMA))["price"] == 2.5
    with pytest.raises(UnknownSchemaError, match=r"schemas/returns\.9\.avsc"):
        parse(framed(9, SCHEMA))
    store.put(schema_key("returns.9.avsc"), json.dumps(SCHEMA).encode())
    assert parse(framed(9, SCHEMA))["price"] == 2.5
    store.put(schema_key("returns.10.avsc"), b"")
    with pytest.raises(DataError, match="is no schema of Avro"):
        parse(framed(10, SCHEMA))
    with pytest.raises(DataError, match="without a frame"):
        parse(in_avro(("a", END, 2.5)))


def test_a_uuid_is_a_text(store: Store) -> None:
    kind = {"type": "string", "logicalType": "uuid"}
    schema = {**SCHEMA, "fields": [{"name": "user", "type": kind}]}
    store.put(schema_key("returns.avsc"), json.dumps(schema).encode())
    name = uuid.UUID(int=5)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), {"user": name})

    assert stored_parsers(store)(AVRO)(buffer.getvalue()) == {"user": str(name)}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.sampled_from(["avro", "protobuf"]))
def test_bytes_that_are_no_record_raise_nothing_but_what_counts_as_garbage(
    parsers: dict[str, Parse], value: bytes, form: str
) -> None:
    with contextlib.suppress(DataError):
        assert {"user", "ts", "price"} <= set(parsers[form](value))


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parse]:
    store = open_store(StoreAddress(f"file://{tmp_path_factory.mktemp('schemas')}"))
    store.put(schema_key("returns.avsc"), json.dumps(SCHEMA).encode())
    store.put(schema_key("returns.desc"), descriptors().SerializeToString())
    choose = stored_parsers(store)
    return {"avro": choose(AVRO), "protobuf": choose(PROTOBUF)}


def test_a_record_cut_short_or_with_bytes_behind_is_garbage(store: Store) -> None:
    parse = stored_parsers(store)(AVRO)
    whole = in_avro(("a", END, 2.5))

    for value in (whole[:-1], whole + b"\0", b""):
        with pytest.raises(DataError, match="a record"):
            parse(value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"format": "xml"}, "format=xml is none"),
        ({"format": "avro"}, "without the name of a schema"),
        ({"format": "avro", "schema": "../secret"}, "without the name of a schema"),
        ({"format": "avro", "schema": "absent"}, r"schemas/absent\.avsc: the schema of a topic"),
        ({**AVRO, "framing": "odd"}, "framing=odd is none"),
        ({**PROTOBUF, "framing": "registry"}, "not read of Protobuf"),
        ({**PROTOBUF, "message": "shop.Absent"}, "describes no message 'shop.Absent'"),
        ({"format": "protobuf", "schema": "broken"}, "describes no message"),
        ({"format": "avro", "schema": "broken"}, "is no schema of Avro"),
    ],
)
def test_a_topic_whose_form_cannot_be_read_is_refused(
    store: Store, parameters: dict[str, str], message: str
) -> None:
    store.put(schema_key("broken.avsc"), b"\xff{")
    store.put(schema_key("broken.desc"), b"\xff\xff\xff")

    with pytest.raises(ConfigError, match=message):
        stored_parsers(store)(parameters)


@pytest.mark.parametrize(("parameters", "extra"), [(AVRO, "avro"), (PROTOBUF, "protobuf")])
def test_a_missing_library_is_named_with_its_extra(
    store: Store, parameters: dict[str, str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)

    with pytest.raises(MissingExtraError) as caught:
        stored_parsers(store)(parameters)

    assert caught.value.hint == f"pip install 'gigacast[{extra}]'"


def test_records_wait_for_a_schema_whose_store_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = stored_parsers(store)({**AVRO, "framing": "registry"})

    def fail(key: str, **more: Any) -> bytes:
        raise TransientStorageError("away")

    monkeypatch.setattr(store, "get", fail)
    with pytest.raises(TransientStorageError):
        parse(b"\0\0\0\0\7" + in_avro(("a", END, 2.5)))
