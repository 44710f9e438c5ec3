"""`gigacast data discover` as people use it."""

import json
from pathlib import Path

import pytest

from gigacast.cli.program import run
from gigacast.storage.store import Store
from tests.support.bars import bars, publish
from tests.support.ticks import HASH, fill, folder_store, key_of, month_table, parquet, write_config

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two years of a symbol with holes, another symbol, a panel part, and what is none of these."""
    monkeypatch.chdir(tmp_path)
    store = folder_store(tmp_path / "bucket")
    fill(store, [(year, month) for year in (2014, 2015) for month in (1, 2, 12)], rows=3)
    store.put(key_of(2014, 1).replace(HASH, "ffff"), parquet(month_table(2014, 1, 2)))
    store.put(key_of(2014, 3, "EURUSD", "5min"), parquet(month_table(2014, 3, 1)))
    store.put("2014/05/part-00001.parquet", b"")
    store.put("2014/05/notes.txt", b"")
    return store


def output_of(bucket: Store, capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(["data", "discover", *words, "--bucket", bucket.address.url]) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def test_series_are_shown_with_the_months_they_span(bucket: Store, capsys: Capture) -> None:
    lines = [line.split() for line in output_of(bucket, capsys).splitlines()]
    assert ["EURUSD", "5min", "15", "1", "2014-03", "2014-03", "0"] in [x[:7] for x in lines]
    assert ["SYMBOL", "1min", "15", "6", "2014-01", "2015-12", "18"] in [x[:7] for x in lines]
    shown = output_of(bucket, capsys)
    assert f"1 superseded by a newer one: {key_of(2014, 1)}" in shown
    assert "1 with other names: 2014/05/notes.txt" in shown


def test_files_are_selected_by_years_months_symbols_and_timeframes(
    bucket: Store, capsys: Capture
) -> None:
    def keys(*words: str) -> list[str]:
        return [
            file["key"] for file in json.loads(output_of(bucket, capsys, "--json", *words))["files"]
        ]

    assert len(keys()) == 8
    assert keys("--years", "2015", "--months", "1:2") == [key_of(2015, 1), key_of(2015, 2)]
    assert keys("--timeframe", "5min") == [key_of(2014, 3, "EURUSD", "5min")]
    assert len(keys("--symbol", "SYMBOL", "--year", "2014")) == 3


def test_every_file_is_shown_on_request(bucket: Store, capsys: Capture) -> None:
    shown = output_of(bucket, capsys, "--files", "--symbol", "SYMBOL")
    assert key_of(2015, 12) in shown
    assert shown.count("json") == 5  # the newer generation of January has none


def test_files_of_a_dataset_are_listed_and_settings_are_read(
    bucket: Store, capsys: Capture
) -> None:
    publish(bucket, "cleaned/v1/BARS", bars(50), partition_by=["month"])
    report = json.loads(
        output_of(bucket, capsys, "--json", "--input_prefix", "cleaned/latest/BARS")
    )
    assert [file["key"] for file in report["files"]] == ["year=2024/month=01/part-00000.parquet"]
    write_config(Path("mine.yaml"), bucket.address.url)
    assert run(["data", "discover", "--config", "mine.yaml", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--years", "1999"], "no file is what was asked for"),
        (["--years", "later"], "--years: expected N or FIRST:LAST"),
        (["--input_prefix", "cleaned/latest/NONE"], "no dataset 'NONE'"),
        (["--input_prefix", "nowhere"], "no file is what was asked for|does not exist"),
        (["--moths", "3"], "No such option"),
    ],
)
def test_an_empty_selection_is_refused_with_a_message(
    bucket: Store, capsys: Capture, words: list[str], message: str
) -> None:
    shown = output_of(bucket, capsys, *words, code=2)
    assert any(part in shown for part in message.split("|"))


def test_files_that_match_no_pattern_are_named(
    bucket: Store, capsys: Capture, tmp_path: Path
) -> None:
    other_store = folder_store(tmp_path / "other")
    other_store.put("2014/05/mine.parquet.bak", b"")
    shown = output_of(other_store, capsys, code=2)
    assert "1 have other names: 2014/05/mine.parquet.bak" in shown
    assert "naming_regex" in shown
