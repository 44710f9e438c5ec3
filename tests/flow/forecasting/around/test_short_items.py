"""Items of one or two points in a frame: dated by the frequency of the others, as predict_df."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast

H = 3
NAIVE: dict[str, Any] = {"model": "seasonal-naive", "horizon": H}


def item(name: str, *days: str, value: float = 5.0) -> pd.DataFrame:
    times = pd.to_datetime(list(days))
    return pd.DataFrame({"item_id": name, "timestamp": times, "target": value})


def long_item(name: str = "long", freq: str = "D") -> pd.DataFrame:
    return item(name, *map(str, pd.date_range("2024-01-01", periods=30, freq=freq)))


def dates(forecast: pd.DataFrame, name: str) -> list[str]:
    return forecast.loc[forecast["item_id"] == name, "timestamp"].astype(str).tolist()


def test_short_items_get_the_frequency_of_the_others() -> None:
    frame = pd.concat(
        [item("one", "2024-03-01"), long_item(), item("two", "2024-02-26", "2024-02-28")]
    )
    forecast = gigacast.forecast(frame, **NAIVE)
    assert forecast["item_id"].drop_duplicates().tolist() == ["one", "long", "two"]
    assert dates(forecast, "one") == ["2024-03-02", "2024-03-03", "2024-03-04"]
    assert dates(forecast, "two") == ["2024-02-29", "2024-03-01", "2024-03-02"]
    assert forecast["fallback"].isna().all()
    named = gigacast.forecast(frame, freq="D", **NAIVE)
    pd.testing.assert_frame_equal(forecast, named)
    alone = gigacast.forecast(long_item(), **NAIVE)
    numbers = ["predictions", "0.1", "0.9"]
    long = forecast[forecast["item_id"] == "long"]
    np.testing.assert_array_equal(long[numbers], alone[numbers])


@pytest.mark.parametrize(
    "neighbours",
    [
        [],
        [long_item(), long_item("weeks", "W")],
        [
            long_item(),
            item(
                "odd",
                "2024-01-01 03:17",
                "2024-01-02 11:05",
                "2024-01-15 20:44",
                "2024-03-19 00:01",
            ),
        ],
    ],
)
def test_without_one_frequency_of_all_others_they_have_no_dates(
    neighbours: list[pd.DataFrame],
) -> None:
    forecast = gigacast.forecast(pd.concat([item("one", "2024-03-01"), *neighbours]), **NAIVE)
    short = forecast[forecast["item_id"] == "one"]
    assert short["timestamp"].isna().all()
    assert (short["fallback"] == "no_frequency").all()
