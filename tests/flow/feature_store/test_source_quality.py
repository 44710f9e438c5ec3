"""The quality of a source is measured by the quality job, over the dataset that features read."""

import json
from pathlib import Path

import numpy as np
import pytest

from gigacast.cli.program import run
from gigacast.feature_store import Aggregation, EventSource, GroupBy, Operation, Query, select
from tests.support.bars import bars, publish
from tests.support.features.lake import Lake


def test_a_source_of_features_that_has_holes_ends_data_quality_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = Lake(tmp_path / "lake")
    frame = bars(300)
    frame.loc[5:9, "close"] = np.nan
    publish(lake.store, "raw/FX/2024-01-15", frame, contract=None, partition_by=["month"])
    query = Query(selects=select("close", pair="'EURUSD'"), time_column="timestamp")
    group_by = GroupBy(
        name="fx.closes",
        sources=[EventSource(table="raw/FX", query=query)],
        keys=["pair"],
        aggregations=[Aggregation(input_column="close", operation=Operation.COUNT)],
    )
    lake.backfill(group_by)
    assert max(row["close_count"] for row in lake.read(group_by)) == 295

    words = ["data", "quality", "raw/FX", "--bucket", lake.address.url, "--json"]
    assert run([*words, "--fail", "missing=0.01"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["rows"]) == ("fail", 300)
    assert run([*words, "--fail", "missing=0.1"]) == 0
