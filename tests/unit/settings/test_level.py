"""Intervals in percent are another form of quantile levels; the strongest source wins in either."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gigacast
from gigacast.errors import ConfigError
from gigacast.forecasters.metric import interval_name, intervals_of
from gigacast.settings.assembly import job_of
from gigacast.settings.level import quantiles_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments


def levels(*, file: str | None = None, folder=None, **arguments: object) -> tuple[float, ...]:
    path = None
    if file is not None:
        path = folder / "settings.yaml"
        path.write_text(file)
    nested = nest_arguments({"bucket": "memory://x", **arguments})
    return job_of(load_settings(nested, file=path)).method.levels


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ([80], (0.1, 0.5, 0.9)),
        ([80, 95], (0.025, 0.1, 0.5, 0.9, 0.975)),
        ("80, 95", (0.025, 0.1, 0.5, 0.9, 0.975)),
        (60, (0.2, 0.5, 0.8)),
        ([80, 80.0], (0.1, 0.5, 0.9)),
    ],
)
def test_intervals_are_quantiles(level, expected):
    assert levels(level=level, extrapolate_levels=True) == expected


@given(st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True))
def test_the_intervals_of_the_quantiles_are_those_that_were_named(percents):
    quantiles = quantiles_of(percents)
    names = [interval_name(quantiles, interval) for interval in intervals_of(quantiles)]
    assert names == [f"{percent}%" for percent in sorted(percents, reverse=True)]


def test_a_stronger_source_wins_in_either_form(tmp_path, monkeypatch):
    by_level, by_quantile = "forecast: {level: [60]}\n", "forecast: {quantiles: [0.3, 0.5]}\n"
    assert levels(file=by_level, folder=tmp_path) == (0.2, 0.5, 0.8)
    assert levels(file=by_level, folder=tmp_path, quantiles=[0.4]) == (0.4,)
    assert levels(file=by_quantile, folder=tmp_path, level=[80]) == (0.1, 0.5, 0.9)
    monkeypatch.setenv("GIGACAST_FORECAST__LEVEL", "40")
    assert levels(file=by_quantile, folder=tmp_path) == (0.3, 0.5, 0.7)
    assert levels(quantiles=[0.4]) == (0.4,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": [80], "quantiles": [0.5]}, "^level and quantiles both"),
        ({"level": [0]}, "0 is not between 0 and 100"),
        ({"level": [100]}, "100 is not between 0 and 100"),
        ({"level": "eighty"}, "'eighty' is not between"),
        ({"level": [None]}, "None is not between"),
    ],
)
def test_wrong_intervals_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        levels(**arguments)


def test_frames_have_the_columns_of_the_intervals():
    days = pd.date_range("2024-01-01", periods=30, freq="D")
    frame = pd.DataFrame({"item_id": "a", "timestamp": days, "target": range(30)})
    forecast = gigacast.forecast(frame, horizon=2, model="seasonal-naive", level=[80])
    assert [name for name in forecast.columns if name[0] == "0"] == ["0.1", "0.5", "0.9"]
