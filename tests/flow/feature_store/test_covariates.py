"""Features of a join as covariates of forecasts and backtests."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError
from gigacast.feature_store import (
    Accuracy,
    Aggregation,
    EntitySource,
    EventSource,
    GroupBy,
    Join,
    JoinPart,
    Operation,
    Query,
    StagingQuery,
    select,
)
from gigacast.feature_store.offline.covariate import add_features
from gigacast.feature_store.offline.stage import Backfill
from gigacast.job.forecast_job import ForecastJob
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from tests.support.features.lake import Lake
from tests.support.tiny_models import tiny_chronos2

HOUR = 3_600_000
START = pd.Timestamp("2024-02-01")
ITEMS = ("north", "south")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake with hourly series of two shops, and their visits."""
    lake = Lake(tmp_path / "lake")
    rng = np.random.default_rng(1)
    frame = pd.concat(
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": pd.date_range(START, periods=120, freq="h"),
                "target": rng.normal(size=120).cumsum(),
            }
        )
        for item in ITEMS
    )
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False)
    lake.store.put("2024/02/part-00000.parquet", sink.getvalue())
    start = int(START.timestamp() * 1000)
    visits = [
        {
            "shop": ITEMS[n % 2],
            "people": n,
            "ts": start + n * 1_800_000,
            "ds": str((START + pd.Timedelta(minutes=30 * n)).date()),
        }
        for n in range(240)
    ]
    lake.put("data.visits", visits)
    return lake


def visits_join(**more: Any) -> Join:
    visits = GroupBy(
        name="shop.visits",
        sources=[
            EventSource(
                table="data.visits",
                query=Query(selects=select("shop", "people"), time_column="ts"),
            )
        ],
        keys=["shop"],
        accuracy=Accuracy.TEMPORAL,
        aggregations=[
            Aggregation(input_column="people", operation=Operation.SUM, windows=["6h"]),
            Aggregation(input_column="people", operation=Operation.LAST_K(2)),
        ],
    )
    query = Query(selects=select(shop="item_id"), time_column="timestamp", **more)
    left = EventSource(table="data.series", query=query)
    return Join(name="shop.series", left=left, right_parts=[JoinPart(group_by=visits)])  # type: ignore[arg-type]


def job(lake: Lake) -> ForecastJob:
    return job_of(load_settings(nest_arguments({"bucket": lake.address.url, "horizon": 6})))


def enriched(lake: Lake) -> pd.DataFrame:
    (file,) = (lake.root / "feature_store/covariates").rglob("*.parquet")
    return pq.read_table(file, partitioning=None).to_pandas()


def test_each_row_of_a_series_has_the_features_of_its_own_time(lake: Lake) -> None:
    changed, failures = add_features(job(lake), Backfill(visits_join(), lake.address))
    assert failures == []
    feature = "shop_visits_people_sum_6h"
    # Lists are no covariates.
    assert changed.method.columns.past_covariates == (feature,)
    frame = enriched(lake)
    assert list(frame.columns) == ["item_id", "timestamp", "target", feature]
    start = int(START.timestamp() * 1000)
    for item, time, value in zip(frame["item_id"], frame["timestamp"], frame[feature], strict=True):
        at = int(time.timestamp() * 1000)
        people = [
            n
            for n in range(240)
            if ITEMS[n % 2] == item and at - 6 * HOUR <= start + n * 1_800_000 < at
        ]
        assert value == sum(people) or (not people and np.isnan(value))
    _, again = add_features(job(lake), Backfill(visits_join(), lake.address))
    assert again == []


def test_no_later_event_changes_the_covariates_before_it(lake: Lake) -> None:
    add_features(job(lake), Backfill(visits_join(), lake.address))
    before = enriched(lake)
    moment = START + pd.Timedelta(hours=60)
    late = {"shop": "north", "people": 10**6, "ts": int(moment.timestamp() * 1000)}
    lake.put("data.visits", [{**late, "ds": str(moment.date())}], part=1)
    add_features(job(lake), Backfill(visits_join(), lake.address))
    after = enriched(lake)
    is_earlier = before["timestamp"] <= moment
    pd.testing.assert_frame_equal(before[is_earlier], after[is_earlier])
    assert not before[~is_earlier].equals(after[~is_earlier])


def write_join(folder: Path) -> Path:
    file = folder / "joins/shop/series.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "from gigacast.feature_store import *\n"
        "visits = GroupBy(name='shop.visits', keys=['shop'], accuracy=Accuracy.TEMPORAL,\n"
        "    sources=[EventSource(table='data.visits', query=Query(\n"
        "        selects=select('shop', 'people'), time_column='ts'))],\n"
        "    aggregations=[Aggregation('people', Operation.SUM, windows=['6h'])])\n"
        "v1 = Join(left=EventSource(table='data.series', query=Query(\n"
        "    selects=select(shop='item_id'), time_column='timestamp')),\n"
        "    right_parts=[JoinPart(group_by=visits)])\n"
    )
    return file


def test_forecasts_and_backtests_take_the_features_of_a_join(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_chronos2(tmp_path))
    bucket = ["--bucket", lake.address.url]
    assert run(["feature-store", "compile", str(write_join(tmp_path)), *bucket]) == 0
    options = [*bucket, "--horizon", "6", "--features", "shop.series.v1"]
    assert run(["forecast", *options, "--model", model, "--quiet"]) == 0
    receipts = [
        json.loads(p.read_text()) for p in (lake.root / "timings/forecasts").rglob("*.json")
    ]
    assert [r["covariates"]["past"] for r in receipts] == [["shop_visits_people_sum_6h"]]
    capsys.readouterr()
    command = ["backtest", *options, "--model", model, "--windows", "2", "--json"]
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)
    assert run(["forecast", *options[:-1], "shop.serie.v1", "--quiet"]) == 2
    assert "did you mean shop.series.v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (StagingQuery(name="shop.q", query="SELECT 1"), "shop.q is a staging query"),
        (visits_join(wheres=["shop = 'north'"]), "no wheres"),
    ],
)
def test_definitions_that_cannot_give_covariates_are_refused(
    lake: Lake, definition: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        add_features(job(lake), Backfill(definition, lake.address))


def test_forecasts_are_a_source_of_features(lake: Lake) -> None:
    times = pd.to_datetime(["2024-02-06", "2024-02-07", "2024-02-08"])
    forecasts = pd.DataFrame({"item_id": "north", "timestamp": times, "0.5": [6.0, 7.0, 8.0]})
    sink = io.BytesIO()
    forecasts.to_parquet(sink, index=False)
    lake.store.put("forecasts/m/v1/h3-q9-1/2024/02/part-00000.parquet", sink.getvalue())
    # A row counts two days before its own, so that a day sees, from the day before, its next one.
    query = Query(
        selects=select(shop="item_id", tomorrow="`0.5`"),
        time_column="timestamp - INTERVAL 2 DAYS",
    )
    source = EntitySource(snapshotTable="data.forecasts", query=query)
    expected = GroupBy(name="shop.expected", sources=[source], keys=["shop"], aggregations=None)
    orders = [
        {"shop": shop, "ts": int(pd.Timestamp(f"{day} 12:00").timestamp() * 1000), "ds": day}
        for day in ("2024-02-05", "2024-02-06")
        for shop in ITEMS
    ]
    lake.put("data.orders", orders)
    left = EventSource(table="data.orders", query=Query(selects=select("shop"), time_column="ts"))
    join = Join(name="shop.orders", left=left, right_parts=[JoinPart(group_by=expected)])  # type: ignore[arg-type]
    lake.backfill(join, places={"data.forecasts": "forecasts/m/v1/h3-q9-1"})
    values = [(row["ds"], row["shop"], row["shop_expected_tomorrow"]) for row in lake.read(join)]
    assert values == [
        ("2024-02-05", "north", 6.0),
        ("2024-02-05", "south", None),
        ("2024-02-06", "north", 7.0),
        ("2024-02-06", "south", None),
    ]


def test_features_follow_the_series_into_buckets(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The rows of an item are in several parts, as Spark writes them.
    whole = lake.root / "2024/02/part-00000.parquet"
    frame = pd.read_parquet(whole)
    for part in range(2):
        frame[part::2].to_parquet(whole.with_name(f"part-{part:05d}.parquet"), index=False)
    bucket = ["--bucket", lake.address.url, "--quiet"]
    assert run(["feature-store", "compile", str(write_join(tmp_path)), *bucket[:2]]) == 0
    assert run(["data", "bucket", *bucket, "--buckets", "3"]) == 0
    model = str(tiny_chronos2(tmp_path))
    options = ["--horizon", "6", "--features", "shop.series.v1", "--model", model]
    bucketed = [*bucket, "--input_prefix", "bucketed", "--partition_by", "bucket"]
    assert run(["forecast", *bucketed, *options]) == 0
    receipts = [
        json.loads(p.read_text()) for p in (lake.root / "timings/forecasts").rglob("*.json")
    ]
    assert {r["covariates"]["past"][0] for r in receipts} == {"shop_visits_people_sum_6h"}
    # Each item is forecast once, from the rows of both parts, as without buckets.
    divided = gigacast.read_forecasts(lake.address.url)
    assert divided.groupby("item_id").size().to_dict() == dict.fromkeys(ITEMS, 6)
    assert run(["forecast", *bucket, "--partition_by", "month", *options]) == 0
    keys = ["item_id", "timestamp"]
    divided_rows, whole_rows = (
        f.sort_values(keys).reset_index(drop=True)
        for f in (divided, gigacast.read_forecasts(lake.address.url))
    )
    pd.testing.assert_frame_equal(divided_rows, whole_rows)
    # A rerun adds features to nothing again.
    covariates = lake.root / "timings/feature_store/covariates"
    before = sorted(covariates.rglob("*.json"))
    assert before
    assert run(["forecast", *bucketed, *options]) == 0
    assert sorted(covariates.rglob("*.json")) == before
    capsys.readouterr()
