"""A bucket whose files and keys differ in form is forecast like one of a single form."""

import io
from pathlib import Path

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.errors import SchemaError
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.moto_server import MotoServer

NAIVE = {"model": "seasonal-naive", "horizon": 3}
DAYS = pd.date_range("2024-01-01", periods=20)


def put(
    root: Path, key: str, *, zone: str | None = None, item: str = "a", **written: object
) -> None:
    (root / key).parent.mkdir(parents=True, exist_ok=True)
    (root / key).write_bytes(one_part(zone=zone, item=item, **written))


def one_part(*, zone: str | None = None, item: str = "a", **written: object) -> bytes:
    times = pa.array(DAYS).cast(pa.timestamp("us")).cast(pa.timestamp("us", zone))
    table = pa.table({"item_id": [item] * 20, "timestamp": times, "target": range(20)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **written)
    return buffer.getvalue()


def run(root: Path | str, **options: object):  # type: ignore[no-untyped-def]
    return gigacast.forecast(f"file://{root}", **{**NAIVE, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_forecasts_of_several_zones_are_read_as_the_same_instants(
    tmp_path: Path, layout: str
) -> None:
    for n, zone in enumerate(("UTC", "Etc/UTC", "Europe/Berlin")):
        put(tmp_path, f"2024/01/part-{n}.parquet", zone=zone, item=f"i{n}")
    assert run(tmp_path, layout=layout).status == "completed"
    got = gigacast.read_forecasts(f"file://{tmp_path}")
    assert sorted(got["item_id"].unique()) == ["i0", "i1", "i2"]
    if layout == "long":
        assert str(got["timestamp"].dt.tz) == "UTC"


def test_forecasts_with_and_without_a_zone_are_refused_as_one_table(tmp_path: Path) -> None:
    put(tmp_path, "2024/01/part-0.parquet", zone="UTC")
    put(tmp_path, "2024/01/part-1.parquet", item="b")
    assert run(tmp_path).status == "completed"
    with pytest.raises(SchemaError, match="cannot be read as one table"):
        gigacast.read_forecasts(f"file://{tmp_path}")
    assert len(gigacast.read_forecasts(f"file://{tmp_path}", partitions=["2024/01/part-1"])) == 3


KEYS = [
    "a b", "%20", "100%", "%2F", "%zz", "ä", "a\u0308", "+", "a&b=c", "?q", "#h", "\U0001f600",
    "'q'", "~", "a:b", "*", "<x>", "[1]", "{1}", "|", "^", "..", "x" * 180,
]  # fmt: skip


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_keys_of_any_spelling_are_forecast_once(
    place: str, tmp_path: Path, moto_server: MotoServer
) -> None:
    root = tmp_path / "my data%20ü"
    root.mkdir()
    url = root.as_uri() if place == "folder" else moto_server.new_address().url
    store = open_store(StoreAddress(f"file://{root}" if place == "folder" else url))
    for key in KEYS:
        store.put(f"2024/01/part-{key}.parquet", one_part())
    with pytest.warns(UserWarning, match="share items"):
        result = gigacast.forecast(url, **NAIVE)  # type: ignore[arg-type]
    assert (result.status, result.totals.partitions) == ("completed", len(KEYS))
    plan = gigacast.plan(url, **NAIVE).plan  # type: ignore[arg-type]
    assert (plan.tasks, plan.orphans, plan.unmatched) == ([], [], [])
    assert len(gigacast.read_forecasts(url)) == 3 * len(KEYS)


def test_an_unusable_key_is_skipped_on_s3(moto_server: MotoServer) -> None:
    address = moto_server.new_address()
    bucket, _, prefix = address.url.removeprefix("s3://").partition("/")
    for name in ("part-0.parquet", "part-\\back.parquet", "/part-1.parquet"):
        key = "/".join(filter(None, [prefix, f"2024/01/{name}"]))
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=one_part())
    result = gigacast.forecast(address.url, **NAIVE)  # type: ignore[arg-type]
    assert (result.status, result.totals.partitions) == ("completed", 1)
