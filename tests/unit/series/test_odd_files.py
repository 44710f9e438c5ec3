"""Odd local files give the series of a plain one through every door, or one clear refusal."""

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import GigacastError
from gigacast.forecasting.file import open_file
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource
from gigacast.training.data import FileData
from tests.unit.series.reading import moment

ITEMS = {"a": range(1, 21), "b": range(101, 121)}
DAYS = [moment("2024-01-01") + timedelta(days=k) for k in range(20)]
Text = Callable[[Any], str]


def rows(time: Text = lambda day: f"{day:%Y-%m-%d}", number: Text = str) -> list[list[str]]:
    return [
        [item, time(day), number(value)]
        for item, values in ITEMS.items()
        for day, value in zip(DAYS, values, strict=True)
    ]


def csv(head: str = "item_id,timestamp,target", **texts: Text) -> bytes:
    return "\n".join([head, *(",".join(row) for row in rows(**texts)), ""]).encode()


RECORDS = [{"item_id": i, "timestamp": t, "target": float(v)} for i, t, v in rows()]
COLUMNS = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}


def labelled(name: str, *, backwards: bool = False, missing: int = 0) -> dict[str, Any]:
    pairs = list(enumerate(COLUMNS[name]))[missing:]
    return {str(label): value for label, value in (reversed(pairs) if backwards else pairs)}


def pandas_json(**target: Any) -> bytes:
    names = ("item_id", "timestamp")
    columns = {name: labelled(name) for name in names} | {"target": labelled("target", **target)}
    return json.dumps(columns).encode()


def records(**last: Any) -> bytes:
    return json.dumps([*RECORDS[:-1], {**RECORDS[-1], **last}]).encode()


READ: dict[str, tuple[str, bytes]] = {
    "names with spaces around them": ("csv", csv("item_id, timestamp,target ")),
    "names in capitals": ("csv", csv("ITEM_ID,TimeStamp,TARGET")),
    "tabs by ending": ("tsv", csv().replace(b",", b"\t")),
    "another ending": ("data", csv()),
    "text": ("txt", csv().replace(b",", b"|")),
    "lines of JSON": ("jsonl", "\n".join(map(json.dumps, RECORDS)).encode()),
    "JSON without a known ending": ("data", json.dumps(RECORDS).encode()),
    "times in UTC by name": ("csv", csv(time=lambda day: f"{day:%Y-%m-%d %H:%M:%S} UTC")),
    "labels of pandas": ("json", pandas_json()),
    "labels of pandas in another order": ("json", pandas_json(backwards=True)),
    "padded cells": ("csv", csv(number=lambda value: f" {value} ")),
    "exponents": ("csv", csv(number=lambda value: f"{value:.3e}")),
}
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "yymmdd": ("csv", csv(time=lambda day: f"{day:%y%m%d}"), "dates of the form yymmdd"),
    "ddmmyyyy": ("csv", csv(time=lambda day: f"{day:%d%m%Y}"), "dates of the form ddmmyyyy"),
    "day of the year": ("csv", csv(time=lambda day: f"{day:%Y%j}"), "dates of the form yyyyddd"),
    "month names": ("csv", csv(time=lambda day: f"{day:%d %b %Y}"), "readable timestamp"),
    "offsets in some rows": (
        "csv",
        csv(time=lambda day: f"{day:%Y-%m-%dT%H:%M:%S}" + ("Z" if day.day % 2 else "")),
        "have an offset from UTC",
    ),
    "compressed": ("csv", gzip.compress(csv()), "compressed"),
    "hexadecimal numbers": ("csv", csv(number=hex), "column 'target'"),
    "a number that is a word": ("csv", csv().replace(b",7\n", b",seven\n"), "'target'"),
    "a name twice in a record": (
        "json",
        json.dumps(RECORDS).replace('"target"', '"target": 5, "target"', 1).encode(),
        "twice in one object",
    ),
    "a name twice in split": (
        "json",
        json.dumps({"columns": ["item_id", "item_id"], "data": [["a", "b"]]}).encode(),
        "twice in one object",
    ),
    "labels that differ": ("json", pandas_json(missing=1), "other row labels"),
    "numbers beyond floats": ("json", records(target=10**400), "cannot be read as json"),
    "ids beyond 64 bits": ("json", records(item_id=2**70), "cannot be read as json"),
    "numbers as text in one row": ("json", records(target="120"), "cannot be read as json"),
    "no header": ("csv", csv().split(b"\n", 1)[1], "header"),
}


def series_of(source: SeriesSource) -> dict[Any, list[float]]:
    reader = read_series([source], ReadOptions(context_length=100))
    return {
        item: values.tolist()
        for batch in reader
        for item, values in zip(batch.item_ids.to_pylist(), batch, strict=True)
    }


def sources_of(path: Path) -> list[Callable[[], SeriesSource]]:
    return [
        lambda: open_file(str(path)),
        lambda: next(iter(FileData(path).groups())).sources[0],
    ]


@pytest.mark.parametrize("name", READ)
def test_an_odd_file_gives_the_series_of_a_plain_one(name: str, tmp_path: Path) -> None:
    ending, content = READ[name]
    path = tmp_path / f"file.{ending}"
    path.write_bytes(content)
    expected = {item: [float(value) for value in values] for item, values in ITEMS.items()}
    assert [series_of(source()) for source in sources_of(path)] == [expected] * 2


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_may_mean_two_things_is_refused_with_a_remedy(
    name: str, tmp_path: Path
) -> None:
    ending, content, words = REFUSED[name]
    path = tmp_path / f"file.{ending}"
    path.write_bytes(content)
    for source in sources_of(path):
        with pytest.raises(GigacastError) as refused:
            series_of(source())
        assert words in str(refused.value)
        assert str(path) in refused.value.message
        assert refused.value.hint


@pytest.mark.parametrize("spelt", [("true", "false"), ("TRUE", "FALSE"), ("True", "False")])
def test_truths_of_csv_are_one_and_zero(spelt: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(csv(number=lambda value: spelt[value % 2]))
    assert series_of(open_file(str(path)))["a"] == [float(value % 2 == 0) for value in range(1, 21)]


def test_whole_numbers_of_json_beyond_int64_are_values_and_ids(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    wide = [{**record, "item_id": 2**63 + ord(str(record["item_id"]))} for record in RECORDS]
    path.write_text(json.dumps(wide))
    assert series_of(open_file(str(path))).keys() == {2**63 + ord("a"), 2**63 + ord("b")}
    path.write_text(json.dumps([{**record, "target": 10**25} for record in RECORDS]))
    assert series_of(open_file(str(path)))["a"] == pytest.approx([1e25] * 20)
