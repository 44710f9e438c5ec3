"""The slice of the campaign in CI: a few trials of each kind, with seeds of their own.

It takes at most a minute of processor time. ``make campaign`` runs everything for hours.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gigacast.batch import setup
from tests.campaign import hostile
from tests.campaign.commands import BY_OTHER_TESTS, READS, disturbed, leaves
from tests.campaign.disturb import DISTURBANCES, OF_ARRAYS, ON_S3_ONLY
from tests.campaign.fault_proxy import KINDS, FaultProxy, Weather
from tests.campaign.fuzz import FILES, fuzz
from tests.campaign.jobs import ARRAYS, BY_ARRAY, JOBS
from tests.campaign.readers import WHERE, modules_that_read
from tests.campaign.run import BEGIN, END, Campaign, names, processor, read_results, write_table
from tests.campaign.sweep import (
    ANOMALIES,
    ELSEWHERE,
    EVALUATE,
    FORECAST,
    LATER,
    LATEST,
    READERS,
    Sweep,
    roots_without_readers,
)
from tests.support.moto_server import MotoServer

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
TRIALS = [
    ("kill", "forecast", "folder", 0),
    ("race", "forecast", "folder", 0),
    ("full disk", "forecast", "folder", 0),
    ("clock jumps", "forecast", "folder", 0),
    ("faults", "forecast", "s3", 0),
    ("kill", "forecast", "s3", 0),
    ("long outage", "forecast", "s3", 0),
    ("kill", "publish", "folder", 0),
    ("kill", "backfill", "folder", 0),
]
SWEPT = ("digests/", "forecasts/", "origins/")
SWEPT_MAKING = (FORECAST, LATER, FORECAST, EVALUATE, ANOMALIES, LATEST)
FUZZED = ("Parquet with checksums", "CSV", "receipt", "plan", "settings", "archive")


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with Campaign(SEED) as campaign:
        yield campaign


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", TRIALS, ids=lambda name: " ".join(map(str, name)))
def test_no_law_is_broken(campaign: Campaign, name: tuple[str, str, str, int]) -> None:
    record = campaign.attempt(name)
    assert record["problems"] == [], record


@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", FUZZED)
def test_no_damaged_file_breaks_a_law(file: str) -> None:
    assert fuzz(file, SEED, 6) == []


def test_no_hostile_name_breaks_a_law(tmp_path: Path) -> None:
    assert hostile.attempt("name of an item", random.Random(SEED), tmp_path) is None


@pytest.mark.timeout(900)
def test_no_damaged_object_of_a_bucket_breaks_a_law(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, SWEPT_MAKING)
    keys = sweep.keys_below(*SWEPT)
    assert {key.partition("/")[0] for key in keys} == {prefix.rstrip("/") for prefix in SWEPT}
    chosen = random.Random(SEED).sample(keys, 6)
    problems = [sweep.attempt(key, random.Random(f"{SEED} {key}")) for key in chosen]
    assert [problem for problem in problems if problem] == []


def test_the_campaign_covers_every_job_disturbance_and_file() -> None:
    trials = set(names(1))
    for name, job in JOBS.items():
        spared = job.spared | (frozenset() if name.endswith(BY_ARRAY) else OF_ARRAYS)
        for kind in set(DISTURBANCES) - spared:
            assert (kind, name, "s3", 0) in trials
            assert ((kind, name, "folder", 0) in trials) == (kind not in ON_S3_ONLY)
    assert ("outage of children", "forecast by an array", "s3", 0) in trials
    assert {subject for kind, subject, _, _ in trials if kind == "fuzz"} == set(FILES)
    assert {subject for kind, subject, _, _ in trials if kind == "sweep"} == set(READERS)
    assert {subject for kind, subject, _, _ in trials if kind == "names"} == set(hostile.PLACES)


def test_every_command_that_writes_is_disturbed_here_or_elsewhere() -> None:
    exceptions = READS | set(BY_OTHER_TESTS)
    assert disturbed() | exceptions == leaves()
    assert disturbed() & exceptions == set()
    assert [file for _, file in BY_OTHER_TESTS.values() if not (ROOT / file).is_file()] == []


def test_every_job_that_has_an_array_is_disturbed_as_one() -> None:
    assert set(ARRAYS) == {"forecast", *setup.KINDS}
    assert {f"{name} by an array" for name in ARRAYS.values()} <= set(JOBS)


def test_every_module_that_reads_records_is_tried_on_damaged_ones() -> None:
    assert modules_that_read() == set(WHERE)
    tests = {place for place in WHERE.values() if place.startswith("tests/")}
    assert [place for place in tests if not (ROOT / place).is_file()] == []
    assert set(WHERE.values()) - tests <= set(FILES) | set(READERS)


def test_every_folder_of_stored_objects_is_damaged_by_the_sweep_or_elsewhere() -> None:
    assert roots_without_readers() == set()
    assert set(READERS) & set(ELSEWHERE) == set()


def test_results_survive_a_kill_and_become_a_table(tmp_path: Path) -> None:
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    trial = {"kind": "kill", "subject": "forecast", "store": "s3", "number": 0, "problems": []}
    line = json.dumps({**trial, "campaign": 7})
    results.write_text(f"{line}\n{line[:20]}")
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(read_results(results), page)
    text = page.read_text()
    assert "| forecast | kill | s3 | 1 | 0 |" in text
    assert "1 trials (seed 7)" in text
    assert processor() in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")


# -- the proxy itself ------------------------------------------------------------------------------


@pytest.fixture
def proxy(moto_server: MotoServer) -> Iterator[FaultProxy]:
    with FaultProxy(moto_server.endpoint_url) as proxy:
        yield proxy


# moto looks at the name of the key alone.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


def get(proxy: FaultProxy, path: str, method: str = "GET", body: bytes = b"") -> object:
    answer = proxy.answer(method, path, SIGNED, body)
    return None if answer is None else (answer.status, answer.body)


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_does_what_its_name_says(
    proxy: FaultProxy, moto_server: MotoServer, kind: str
) -> None:
    bucket = moto_server.create_bucket()
    key, listing = f"/{bucket}/k.parquet", f"/{bucket}?list-type=2"
    content = b"PAR1" + bytes(100) + (8).to_bytes(4, "little") + b"PAR1"
    assert get(proxy, listing)[0] == 200  # type: ignore[index]
    proxy.weather = Weather(0, {kind: 1.0})
    put = get(proxy, key, "PUT", content)
    read, listed = get(proxy, key), get(proxy, listing)
    proxy.weather = Weather()
    status, stored = get(proxy, key)  # type: ignore[misc]
    has_effect = kind not in {"busy", "broken", "throttled", "reset"}
    assert (status == 200) == has_effect
    if kind in {"reset", "lost"}:
        assert (put, read) == (None, None)
    elif kind in {"busy", "broken", "throttled", "late error"}:
        assert put[0] in {429, 500, 503}  # type: ignore[index]
    elif kind == "cut":
        assert read == (200, content[: len(content) // 2])
    elif kind == "flip":
        assert sum(a != b for a, b in zip(read[1], content, strict=True)) == 1  # type: ignore[index]
    elif kind == "stale":
        assert b"k.parquet" not in listed[1]  # type: ignore[index]
        assert b"k.parquet" in get(proxy, listing)[1]  # type: ignore[index]
    else:
        assert read == (200, content)
    assert stored == content or not has_effect
