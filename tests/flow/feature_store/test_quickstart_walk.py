"""The walk of `make quickstart`: a training set whose values a plain loop gives, too."""

import json
from pathlib import Path

import pytest

from gigacast.feature_store import read_table
from tools.quickstart import main

DAY = 86_400_000


def test_the_walk_prints_a_training_set_of_22_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--folder", str(tmp_path)]) == 0
    assert "40 rows, 22 features: default.quickstart_training_set_v1" in capsys.readouterr().out
    lake = tmp_path / "lake"
    frame = read_table("default.quickstart_training_set_v1", bucket=f"file://{lake}")
    purchases = [
        json.loads(line)
        for file in (lake / "data/purchases").rglob("*.json")
        for line in file.read_text().splitlines()
    ]
    name = "quickstart_purchases_v1_purchase_price_sum_3d"
    for user, ts, total in zip(frame["user_id"], frame["ts"], frame[name], strict=True):
        midnight = ts // DAY * DAY
        prices = [
            row["purchase_price"]
            for row in purchases
            if row["user_id"] == user and midnight - 3 * DAY <= row["ts"] < midnight
        ]
        assert total == sum(prices) or (total != total and not prices)  # noqa: PLR0124 - NaN
    assert frame[name].notna().sum() > 20
