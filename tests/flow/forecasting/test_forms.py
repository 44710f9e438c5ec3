"""A bucket whose files differ in form is forecast and read like one of a single form."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.errors import SchemaError

NAIVE = {"model": "seasonal-naive", "horizon": 3}
DAYS = pd.date_range("2024-01-01", periods=20)


def put(
    root: Path, key: str, *, zone: str | None = None, item: str = "a", **written: object
) -> None:
    (root / key).parent.mkdir(parents=True, exist_ok=True)
    times = pa.array(DAYS).cast(pa.timestamp("us")).cast(pa.timestamp("us", zone))
    table = pa.table({"item_id": [item] * 20, "timestamp": times, "target": range(20)})
    pq.write_table(table, root / key, **written)


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
