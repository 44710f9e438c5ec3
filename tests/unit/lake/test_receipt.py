"""Receipts: what they compute, which are found, which are deleted."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.lake.layout import output_id, parse_receipt_key, receipt_key
from gigacast.lake.plan.receipt import (
    Receipt,
    find_receipt,
    input_entries,
    list_receipts,
    merge_counts,
    read_receipt,
    write_receipt,
)
from gigacast.storage.memory import MemoryStore
from tests.unit.lake.test_records import receipt

OUTPUT = "forecasts/m/v/s/2024/01/a.parquet"
INPUTS = (
    InputObject("2023/12/a.parquet", "e0", 40, "parquet"),
    InputObject("2024/01/a.parquet", "e1", 60, "parquet"),
)
TASK = Task("2024/01/a", "2024-01", INPUTS, 1, 7, "s", OUTPUT)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def done(store: MemoryStore, content: bytes = b"forecast") -> tuple[str, Receipt]:
    etag = store.put(OUTPUT, content)
    output = {"key": OUTPUT, "etag": etag, "size_bytes": len(content), "rows": 3}
    proof = replace(receipt(), output=output, inputs=input_entries(TASK))
    return write_receipt(store, TASK, proof, etag), proof


# -- what a receipt computes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "speed"),
    [({"total": 4.0}, 2.5), ({"total": 0.0}, 0.0), ({}, 0.0), ({"read": 1.0}, 0.0)],
)
def test_speed_is_series_per_second_of_the_whole_task(
    seconds: dict[str, float], speed: float
) -> None:
    measured = replace(receipt(), seconds=seconds)
    assert measured.series_per_s == speed
    assert json.loads(measured.to_json())["series_per_s"] == speed


def test_speed_is_stored_with_three_digits() -> None:
    measured = replace(receipt(), series=1, seconds={"total": 3.0})
    assert json.loads(measured.to_json())["series_per_s"] == 0.333


@pytest.mark.parametrize(
    ("newest", "age"),
    [("2023-12-31T23:59:30+00:00", 30.0), ("2024-01-01T01:00:00+00:00", -3600.0), (None, None)],
)
def test_the_age_of_the_data_counts_from_its_newest_time_to_the_end_of_the_task(
    newest: str | None, age: float | None
) -> None:
    assert replace(receipt(), newest_timestamp=newest).data_age_s == age


def test_the_size_is_that_of_all_inputs() -> None:
    proof = replace(receipt(), inputs=input_entries(TASK))
    assert proof.size_bytes == 100
    assert proof.inputs == [
        {"key": "2023/12/a.parquet", "etag": "e0", "size_bytes": 40},
        {"key": "2024/01/a.parquet", "etag": "e1", "size_bytes": 60},
    ]


def test_fields_that_a_receipt_need_not_have_are_empty() -> None:
    proof = receipt()
    assert (proof.device, proof.precision, proof.peak_rss_bytes) == ("cpu", "float32", 0)


@pytest.mark.parametrize("kept", [0, 5])
def test_kept_series_are_stored_and_a_run_that_keeps_none_stores_no_field_of_them(
    kept: int,
) -> None:
    assert "kept" not in json.loads(receipt().to_json())
    assert json.loads(replace(receipt(), kept=kept).to_json())["kept"] == kept


def test_counts_are_added_by_name() -> None:
    counts = {"a": 1, "b": 2}
    merge_counts(counts, {"b": 3, "c": 4})
    assert counts == {"a": 1, "b": 5, "c": 4}


# -- what a receipt is about -----------------------------------------------------------------------


def test_a_receipt_describes_its_own_output_only() -> None:
    proof = receipt()
    proof.check_output("o", "f")
    more = replace(proof, output={**proof.output, "extra": 1})
    more.check_output("o", "f")
    for key, etag in (("x", "f"), ("o", "x")):
        with pytest.raises(CorruptedFileError, match=f"{key} does not describe it"):
            proof.check_output(key, etag)
    for name in ("rows", "size_bytes"):
        lacking = {n: v for n, v in proof.output.items() if n != name}
        with pytest.raises(CorruptedFileError):
            replace(proof, output=lacking).check_output("o", "f")


# -- which are found -------------------------------------------------------------------------------


def test_a_receipt_is_found_and_read_while_input_and_output_are_the_same(
    store: MemoryStore,
) -> None:
    assert find_receipt(store, TASK) is None
    key, proof = done(store)
    assert read_receipt(store, key) == find_receipt(store, TASK) == proof
    changed = (INPUTS[0], INPUTS[1]._replace(etag="e2"))
    assert find_receipt(store, replace(TASK, inputs=changed)) is None
    store.put(OUTPUT, b"other forecast")
    assert find_receipt(store, TASK) is None


def test_a_receipt_that_does_not_exist_can_not_be_read(store: MemoryStore) -> None:
    with pytest.raises(ObjectNotFoundError):
        read_receipt(store, "timings/none.json")


@pytest.mark.parametrize("content", [b"{", b"another's"])
def test_a_damaged_receipt_or_anothers_is_none(store: MemoryStore, content: bytes) -> None:
    key, proof = done(store)
    other = replace(proof, output={**proof.output, "key": "other"}).to_json()
    store.put(key, other if content == b"another's" else content)
    assert find_receipt(store, TASK) is None


def test_the_receipts_of_an_output_are_listed_without_those_of_longer_names(
    store: MemoryStore,
) -> None:
    keys = [receipt_key(OUTPUT, TASK.input_id, etag) for etag in ("f", "g")]
    longer = receipt_key(f"{OUTPUT}.b.parquet", TASK.input_id, "f")
    for key in (*keys, longer, f"timings/{OUTPUT}.notes.json"):
        store.put(key, b"{}")
    listed = dict(list_receipts(store, OUTPUT))
    assert sorted(listed) == sorted(keys)
    assert {(r.input_id, r.output_id) for r in listed.values()} == {
        (TASK.input_id, output_id("f")),
        (TASK.input_id, output_id("g")),
    }


# -- which are deleted -----------------------------------------------------------------------------


def test_a_receipt_replaces_the_stale_ones_but_never_itself(store: MemoryStore) -> None:
    key, proof = done(store)
    stale = [receipt_key(OUTPUT, "0" * 16, etag) for etag in ("f", "g")]
    for old in stale:
        store.put(old, b"{}")
    task = replace(TASK, stale_receipts=(key, *stale))
    assert write_receipt(store, task, proof, str(proof.output["etag"])) == key
    assert [entry.key for page in store.list("timings/") for entry in page] == [key]


_ANY_KEY = st.one_of(
    st.text(st.sampled_from("a/.0f\n"), max_size=60),
    st.builds(
        "{}{}.{}.{}{}".format,
        st.sampled_from(["timings/", "timing/", ""]),
        st.text(st.sampled_from("ab/.\n"), max_size=4),
        st.text(st.sampled_from("0f"), min_size=15, max_size=17),
        st.text(st.sampled_from("09aFfg_"), min_size=15, max_size=17),
        st.sampled_from([".json", ".jsonl", "json"]),
    ),
)


@given(_ANY_KEY)
def test_the_key_of_a_receipt_is_parsed_as_by_its_expression(key: str) -> None:
    expression = r"timings/(.+)\.([0-9a-f]{16})\.([0-9a-f]{16})\.json"
    match = re.fullmatch(expression, key)
    assert parse_receipt_key(key) == (match.groups() if match else None)


def test_equal_receipts_are_equal_bytes() -> None:
    content = json.loads(receipt().to_json())
    assert list(content) == sorted(content)
    assert receipt().to_json().decode().startswith('{\n "')
