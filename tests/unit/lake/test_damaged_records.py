"""Every record that is read from a bucket or a file, damaged in every way, gives a named error."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.contract.definition import Column, Contract, parse_contract
from gigacast.core.contract.rule import Rule
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.problem import Source
from gigacast.core.record import MAX_DEPTH, decode_json, decode_yaml
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DatasetIntegrityError,
    GigacastError,
    ModelIntegrityError,
    PlanError,
)
from gigacast.feature_sets.build import parse_recipe
from gigacast.feature_sets.kernel.scaling import Scaler
from gigacast.lake.dataset.manifest import (
    ChangelogEntry,
    DatasetFile,
    DatasetManifest,
    Dependency,
    digest_dataset,
    parse_dataset_manifest,
)
from gigacast.lake.dataset.metadata import describe_manifest, parse_metadata
from gigacast.lake.layout import plan_key
from gigacast.lake.model.active import Active, Change, parse_active
from gigacast.lake.model.file import ModelFile, digest_files
from gigacast.lake.model.manifest import ModelManifest, parse_manifest
from gigacast.lake.plan.audit import Audit
from gigacast.lake.plan.plan_file import PlanFile, Share, read_plan, read_tasks
from gigacast.lake.plan.receipt import Receipt
from gigacast.quality.measures import ColumnQuality, Compliance, KeyQuality, PartitionQuality
from gigacast.storage.memory import MemoryStore
from tests.unit.feature_sets.recipes import EVERYTHING

WHERE = "some/key"
NOW = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Kind:
    """One kind of record: a valid one as plain values, and how it is read and written again."""

    plain: Any
    read: Callable[[bytes], Any]
    write: Callable[[Any], Any]
    error: type[GigacastError]


def receipt() -> Receipt:
    return Receipt(
        job="forecast",
        partition="2024/01/part-0",
        run_id="run",
        finished_at=NOW,
        inputs=[{"key": "a", "etag": "e", "size_bytes": 100}],
        output={"key": "o", "etag": "f", "size_bytes": 10, "rows": 3},
        rows=30,
        series=10,
        seconds={"total": 2.0},
        reasons={"all_null": 1},
        model="m",
        version="v",
        digest="d",
        spec="s",
        horizon=3,
        batch_sizes=[4, 2],
        reason_items={"all_null": ["x"]},
        newest_timestamp=NOW,
        covariates={"past": ["y"]},
        host={"pid": 1},
    )


def model_manifest() -> ModelManifest:
    files = (ModelFile("config.json", 2, "0" * 64), ModelFile("model.safetensors", 9, "1" * 64))
    source = {"kind": "folder", "path": "here"}
    return ModelManifest("tiny", "v1", digest_files(files), files, source, NOW)


def dataset_manifest() -> DatasetManifest:
    bounds = {"close": (1.0, 2.0), "timestamp": (datetime(2024, 1, 1, tzinfo=UTC),) * 2}
    key = "cleaned/v1/x/p.parquet"
    file = DatasetFile("p.parquet", key, "e", 9, 3, "0" * 64, "c", {"close": 0}, bounds)
    return DatasetManifest(
        layer="cleaned",
        name="x",
        version="v1",
        digest=digest_dataset([(file.path, file.content)]),
        files=(file,),
        schema=pa.schema({"timestamp": pa.timestamp("us", "UTC"), "close": pa.float64()}),
        created_at=NOW,
        created_by="me",
        changelog=(ChangelogEntry("v1", NOW, "me", "new"),),
        dependencies=(Dependency("k", "e"),),
        contract={"name": "bars"},
    )


CONTRACT = Contract(
    "bars",
    (Column("high", "float64", minimum=0, allowed=(1.0, 2.0)), Column("low", "float64")),
    unique=(("high", "low"),),
    ordered_by=("high",),
    rules=(Rule("high >= low"),),
    description="of an hour",
)
QUALITY = PartitionQuality(
    "p",
    KeyQuality(rows=3, frequencies={"min": 1}, longest_gap={"steps": 2}, first=NOW, last=NOW),
    (ColumnQuality("close", "double", 3, 1, {"iqr": 1}),),
    Compliance("bars", 1, 2, 1, ({"column": "close"},)),
)
SCALER = Scaler("standard", {"x": 1.0}, {"x": 2.0}, 10, "2020-01-01")
TASK = Task("p", "2024-01", (InputObject("k", "e", 9, "parquet"),), 1, 3, "s", "o", "EURUSD")
PRICES = {
    "as_of": "2025-07-01",
    "region": "r",
    "source": "a list",
    "instances": {"g": {"vcpus": 4, "gpus": 1, "on_demand": 1.5, "spot": 0.4}},
}


def parse_prices(content: bytes) -> PriceTable:
    values = decode_yaml(content, Source(WHERE, ConfigError))
    if isinstance(values, dict) and values.get("as_of") == PRICES["as_of"]:
        values["as_of"] = date(2025, 7, 1)  # unquoted in YAML, it is a date
    return PriceTable.parse(values)


def parse_plan(content: bytes) -> PlanFile:
    store = MemoryStore("damaged-plan")
    store.put(plan_key(WHERE), content)
    return read_plan(store, WHERE)


def parse_tasks(content: bytes) -> list[Task]:
    from gigacast.lake.plan.plan_file import _digest

    store = MemoryStore("damaged-tasks")
    store.put(plan_key(WHERE, 0), content)
    return read_tasks(store, PlanFile(WHERE, NOW, NOW, {}, (Share(_digest(content), 1, 9),)), 0)


HEAD = {"format": 2, "run_id": "r", "created_at": NOW, "expires_at": NOW, "setup": {"a": [1]}}
KINDS = {
    "receipt": Kind(
        json.loads(receipt().to_json()),
        lambda content: Receipt.from_json(content, WHERE),
        Receipt.to_json,
        CorruptedFileError,
    ),
    "audit": Kind(
        json.loads(Audit("run", NOW, year_range=[2024], failures=[{"a": 1}]).to_json()),
        lambda content: Audit.from_json(content, WHERE),
        Audit.to_json,
        CorruptedFileError,
    ),
    "model manifest": Kind(
        model_manifest().to_json(),
        lambda content: parse_manifest(content, WHERE),
        ModelManifest.to_bytes,
        ModelIntegrityError,
    ),
    "active version": Kind(
        json.loads(Active("v1", (Change("v1", NOW, "me"),)).to_bytes()),
        lambda content: parse_active(content, WHERE),
        Active.to_bytes,
        ModelIntegrityError,
    ),
    "dataset manifest": Kind(
        json.loads(dataset_manifest().to_bytes()),
        lambda content: parse_dataset_manifest(content, WHERE),
        DatasetManifest.to_bytes,
        DatasetIntegrityError,
    ),
    "metadata": Kind(
        describe_manifest(dataset_manifest()),
        lambda content: parse_metadata(content, WHERE),
        json.dumps,
        CorruptedFileError,
    ),
    "plan": Kind({**HEAD, "shares": [["d", 1, 9]]}, parse_plan, repr, PlanError),
    "tasks": Kind(
        [{**{name: getattr(TASK, name) for name in Task.__slots__}}], parse_tasks, repr, PlanError
    ),
    "measures": Kind(
        QUALITY.to_dict(),
        lambda content: PartitionQuality.from_json(content, WHERE),
        lambda quality: json.dumps(quality.to_dict()),
        CorruptedFileError,
    ),
    "scaler": Kind(
        SCALER.to_dict(),
        lambda content: Scaler.from_json(content, WHERE),
        Scaler.to_json,
        CorruptedFileError,
    ),
    "contract": Kind(
        CONTRACT.to_dict(),
        lambda content: parse_contract(content, WHERE),
        lambda contract: repr(contract.to_dict()),
        ConfigError,
    ),
    "recipe": Kind(
        EVERYTHING.to_dict(),
        lambda content: parse_recipe(content, WHERE),
        lambda recipe: repr(recipe.to_dict()),
        ConfigError,
    ),
    "prices": Kind(PRICES, parse_prices, repr, ConfigError),
}
DEEP, HUGE = '"@deep@"', '"@huge@"'
REPLACEMENTS = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "text",
    "../..",
    "\ud800",
    "\x1b[31m",
    [],
    {},
    [[]],
    {"a": None},
    "@deep@",
    "@huge@",
]


def places_in(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places of all values inside a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in entries:
        yield (*place, key)
        if isinstance(child, dict | list | tuple):
            yield from places_in(child, (*place, key))


def changed(plain: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    copy = json.loads(json.dumps(plain))
    container = copy
    for key in place[:-1]:
        container = container[key]
    change(container, place[-1])
    return copy


def drop(container: dict[str, Any], key: str) -> None:
    del container[key]


def extend(container: dict[str, Any], key: str) -> None:
    container[f"{key} of a later release"] = 1


def encoded(plain: Any, depth: int = 10_000) -> bytes:
    text = json.dumps(plain)
    deep = "[" * depth + "]" * depth
    return text.replace(DEEP, deep).replace(HUGE, "9" * 5000).encode()


def check(kind: Kind, content: bytes) -> None:
    """Read a damaged record: it is the named error, or a record that can be written again."""
    try:
        record = kind.read(content)
    except kind.error as error:
        text = str(error)
        assert WHERE in text or text.startswith(("prices", "the plan of"))
        assert text.isprintable() or "not valid YAML" in text
        assert len(text) < 1000
    else:
        assert kind.write(record)


@pytest.mark.parametrize("name", KINDS)
def test_an_undamaged_record_is_read(name: str) -> None:
    kind = KINDS[name]
    record = kind.read(encoded(kind.plain))
    assert kind.write(record) == kind.write(kind.read(encoded(kind.plain)))


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_a_value_of_another_type_gives_a_named_error(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    place = data.draw(st.sampled_from(list(places_in(kind.plain))))
    value = data.draw(st.sampled_from(REPLACEMENTS))
    damaged = changed(kind.plain, place, lambda c, k: c.__setitem__(k, value))
    # The YAML library takes seconds for what it will not parse in the end.
    check(kind, encoded(damaged, 300 if kind.error is ConfigError else 10_000))


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_a_missing_or_unknown_key_gives_a_named_error(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    keys = [place for place in places_in(kind.plain) if isinstance(place[-1], str)]
    place = data.draw(st.sampled_from(keys))
    check(kind, encoded(changed(kind.plain, place, data.draw(st.sampled_from([drop, extend])))))


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_bytes_that_were_cut_or_overwritten_give_a_named_error(
    name: str, data: st.DataObject
) -> None:
    kind = KINDS[name]
    content = bytearray(encoded(kind.plain))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] = data.draw(st.sampled_from([0, 0x22, 0x5B, 0x7B, 0xC3, 0xED, 0xFF]))
    else:
        del content[at:]
    check(kind, bytes(content))


@pytest.mark.parametrize("content", [b"[" * 10**5, b'{"a":' * 10**5, b"[" * 200 + b"]" * 200])
@pytest.mark.parametrize("decode", [decode_json, decode_yaml])
def test_nesting_is_refused_before_it_ends_the_program(
    decode: Callable[[bytes, Source], Any], content: bytes
) -> None:
    with pytest.raises(CorruptedFileError, match=WHERE):
        decode(content[:2000], Source(WHERE, CorruptedFileError))


def test_nesting_up_to_the_limit_is_read() -> None:
    content = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    source = Source(WHERE, CorruptedFileError)
    assert decode_json(content, source) == decode_yaml(content, source)


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(ConfigError, match="multiply its text"):
        decode_yaml("\n".join(lines), Source(WHERE, ConfigError))


def test_a_list_that_contains_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="contains itself"):
        decode_yaml("&a [*a]", Source(WHERE, ConfigError))


@pytest.mark.parametrize("text", ["!!timestamp x", "!!int ''", "!!bool x", "2024-13-45", "\x00"])
def test_scalars_that_the_yaml_library_cannot_parse_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match=f"{WHERE}: not valid YAML"):
        decode_yaml(f"a: {text}", Source(WHERE, ConfigError))


def test_a_lone_surrogate_is_refused_and_a_pair_is_read() -> None:
    source = Source(WHERE, CorruptedFileError)
    assert decode_json(rb'"\ud83d\ude00"', source) == "\N{GRINNING FACE}"
    for content in (rb'"\ud83d"', b'"\xed\xa0\xbd"'):
        with pytest.raises(CorruptedFileError, match="not JSON"):
            decode_json(content, source)
