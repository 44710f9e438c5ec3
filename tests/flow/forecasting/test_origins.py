"""Forecasts that are kept are read by their day, pruned, and shown when they are stale."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

OPTIONS: dict[str, Any] = {"model": "seasonal-naive", "horizon": 3}
FLAGS = ["--model", "seasonal-naive", "--horizon", "3"]
PART = "2024/01/part-0"


def night(folder: Path, count: int, **options: Any) -> Store:
    """Write the first days of January, and forecast them."""
    path = folder / f"{PART}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    days = pd.date_range("2024-01-01", periods=count)
    series = [
        {"item_id": item, "timestamp": days, "target": [float(n * n % k) for n in range(count)]}
        for item, k in (("calm", 7), ("wild", 23))
    ]
    pd.concat(map(pd.DataFrame, series)).to_parquet(path, index=False)
    if options.pop("forecasts", True):
        assert not gigacast.forecast(folder, **OPTIONS, **options).failures
    return open_store(StoreAddress(folder.as_uri()))


def keys(store: Store, prefix: str) -> list[str]:
    return [entry.key for page in store.list(prefix) for entry in page]


def keep(folder: Path, count: int) -> Path:
    path = folder / "settings.yaml"
    path.write_text(f"forecast: {{keep_origins: {count}}}\n")
    return path


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    for count in (14, 15, 16):
        night(folder, count)
    return folder


def test_a_day_is_read_as_it_was_forecast(nights: Path) -> None:
    cutoffs = {
        origin: gigacast.read_forecasts(nights.as_uri(), origin=origin)["cutoff"]
        for origin in ("latest", "2024-01-15", "all")
    }
    assert set(cutoffs["latest"].dt.day) == {16}
    assert set(cutoffs["2024-01-15"].dt.day) == {15}
    assert list(cutoffs["all"].dt.day) == [14] * 6 + [15] * 6 + [16] * 6
    frame = gigacast.read_forecasts(
        nights.as_uri(), origin=pd.Timestamp("2024-01-14"), items=["wild"], columns=["timestamp"]
    )
    assert list(frame.columns) == ["timestamp"]
    assert list(frame["timestamp"].dt.day) == [15, 16, 17]


def test_an_origin_that_is_none_is_refused(nights: Path) -> None:
    with pytest.raises(ConfigError, match="origin: 'yesterday' is none"):
        gigacast.read_forecasts(nights.as_uri(), origin="yesterday")
    with pytest.raises(DataNotFoundError, match="has a forecast of 2023-01-01"):
        gigacast.read_forecasts(nights.as_uri(), origin="2023-01-01")


def test_forecasts_of_an_earlier_release_are_read_beside_those_of_today(tmp_path: Path) -> None:
    """They have no cutoff: it is missing, and the forecasts are not made again for it."""
    store = night(tmp_path, 14)
    (key,) = [k for k in keys(store, "forecasts/") if k.endswith("part-0.parquet")]
    path = tmp_path / key
    frame = pd.read_parquet(path)
    frame.drop(columns="cutoff").to_parquet(path, index=False)
    night(tmp_path, 15)
    read = gigacast.read_forecasts(tmp_path.as_uri(), origin="all")
    assert read["cutoff"].isna().tolist() == [True] * 6 + [False] * 6


def test_wide_forecasts_are_kept_and_read_too(tmp_path: Path) -> None:
    for count in (14, 15):
        night(tmp_path, count, layout="wide")
    read = gigacast.read_forecasts(tmp_path.as_uri(), origin="all")
    assert list(read["cutoff"].dt.day) == [14, 14, 15, 15]
    assert all(len(numbers) == 3 for numbers in read["predictions"])


def test_steps_are_origins_as_days_are(tmp_path: Path) -> None:
    path = tmp_path / f"{PART}.parquet"
    path.parent.mkdir(parents=True)
    for count in (20, 21):
        rows = {"item_id": "a", "timestamp": range(count), "target": [1.0, 2.0, 4.0] * 7}
        rows = {name: value[:count] if name == "target" else value for name, value in rows.items()}
        pd.DataFrame(rows).to_parquet(path, index=False)
        gigacast.forecast(tmp_path, **OPTIONS, timestamp_unit="step")
    for origin, first in (("19", 20), ("latest", 21)):
        read = gigacast.read_forecasts(tmp_path.as_uri(), origin=origin)
        assert list(read["timestamp"]) == [first, first + 1, first + 2]


def test_with_one_origin_nothing_is_kept(tmp_path: Path) -> None:
    folder, config = tmp_path / "lake", keep(tmp_path, 1)
    for count in (14, 15):
        store = night(folder, count, config=config)
    assert keys(store, "origins/") == []


def test_runs_keep_their_manifests(nights: Path) -> None:
    store = open_store(StoreAddress(nights.as_uri()))
    assert len([key for key in keys(store, "origins/") if "/_manifests/" in key]) == 3
    gigacast.forecast(nights, **OPTIONS)  # does nothing, and so keeps nothing
    assert len([key for key in keys(store, "origins/") if "/_manifests/" in key]) == 3


def test_prune_deletes_what_is_more_than_kept_and_what_has_no_partition(
    nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(keep(tmp_path, 2))
    command = ["prune", "--bucket", nights.as_uri(), *FLAGS, "--config", config, "--json"]
    store = open_store(StoreAddress(nights.as_uri()))

    def origins() -> list[str]:
        return [key for key in keys(store, "origins/") if "/_manifests/" not in key]

    first, second = origins()
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["origins"] == [first]
    assert origins() == [first, second]
    assert run([*command, "--yes"]) == 0
    assert origins() == [second]
    (nights / f"{PART}.parquet").unlink()
    (nights / "2024/01/part-1.parquet").write_bytes(b"another")
    assert run([*command, "--yes"]) == 0
    assert origins() == []


def test_a_stale_forecast_is_shown_with_what_has_come_since(
    nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--bucket", nights.as_uri(), *FLAGS, "--item", "wild"]
    assert run(["show", PART, *flags]) == 0
    fresh = capsys.readouterr().out
    assert "stale" not in fresh
    assert "actual" not in fresh
    night(nights, 18, forecasts=False)
    assert run(["show", PART, *flags]) == 0
    shown = capsys.readouterr().out
    assert "stale: its input has changed since" in shown
    assert "actual" in shown


def test_the_worst_series_are_shown(nights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--bucket", nights.as_uri()]
    assert run(["show", PART, *flags, *FLAGS, "--worst", "1"]) == 2
    assert "run `gigacast evaluate" in capsys.readouterr().err
    for words in (["calm"], [PART, "--item", "calm"]):
        assert run(["show", *words, *flags, *FLAGS, "--worst", "1"]) == 2
        assert "and 'calm' names an item" in capsys.readouterr().err
    night(nights, 18, forecasts=False)
    assert run(["evaluate", *flags, "--worst", "1", "--segment", "column:item_id", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    (worst,) = content["worst"]
    assert {row["segment"] for row in content["segment"]} == {"calm", "wild"}
    errors = {row["segment"]: row["mase"] for row in content["segment"]}
    assert worst["mase"] == pytest.approx(max(error for error in errors.values() if error))
    assert [row["origin"] for row in content["origin"]] == [
        "2024-01-14",
        "2024-01-15",
        "2024-01-16",
    ]
    assert run(["show", PART, *flags, *FLAGS, "--worst", "1"]) == 0
    assert worst["item"] in capsys.readouterr().out
    assert run(["evaluate", *flags, "--segment", "window"]) == 2
