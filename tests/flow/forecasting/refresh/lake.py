"""A folder with panels that change night by night, forecast anew or refreshed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gigacast
from gigacast.job.totals import Totals

Series = dict[str, pd.DataFrame]
Edit = Callable[[Series, np.random.Generator], Series]
BASE: dict[str, Any] = {"model": "seasonal-naive", "horizon": 3, "incremental": True}


def make_series(count: int = 24, seed: int = 0) -> Series:
    """Return daily series of one to fifty days, by item."""
    rng = np.random.default_rng(seed)
    return {f"item-{n}": _series(rng, int(rng.integers(1, 51))) for n in range(count)}


def _series(rng: np.random.Generator, length: int) -> pd.DataFrame:
    days = pd.date_range("2024-03-01", periods=length).shift(-length)
    values = rng.normal(size=length).cumsum().round(3)
    values[rng.random(length) < 0.03] = np.nan
    return pd.DataFrame({"timestamp": days, "target": values, "price": rng.normal(size=length)})


class Lake:
    """A folder of monthly panels in two parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, series: Series, *, shuffle: bool = False, cast: Any = None) -> None:
        """Write the input: even items into one part, odd ones into the other."""
        names = sorted(series)
        for part in range(2):
            chosen = [series[name].assign(item_id=name) for name in names[part::2]]
            frame = pd.concat(chosen or [_series(np.random.default_rng(0), 0).assign(item_id="")])
            if shuffle:
                frame = frame.sample(frac=1, random_state=1)
            if cast is not None:
                frame = frame.astype(cast)
            path = self.folder / f"2024/03/part-{part}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(path, index=False)

    def forecast(self, **options: Any) -> Totals:
        """Forecast what is pending, as an incremental run."""
        run = gigacast.forecast(self.folder, **{**BASE, **options})
        assert not run.failures
        return run.totals

    def files(self) -> dict[str, bytes]:
        """Return the forecasts by key."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.glob("forecasts/**/part-*.parquet"))
        }

    def made_anew(self, **options: Any) -> dict[str, bytes]:
        """Return the forecasts of the same input in a folder that has none."""
        anew = Lake(self.folder.with_name("anew"))
        shutil.rmtree(anew.folder, ignore_errors=True)
        # With its times: they are part of a folder's ETags, which forecasts name.
        shutil.copytree(self.folder / "2024", anew.folder / "2024")
        anew.forecast(**options)
        return anew.files()

    def paths(self, root: str) -> Iterator[Path]:
        """Yield the objects below a root."""
        yield from sorted(self.folder.glob(f"{root}/**/part-*.parquet"))

    def replace(self, path: Path, content: bytes) -> None:
        """Write other bytes into an object as a failing disk does: its time stays."""
        times = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def late_row(series: Series, rng: np.random.Generator) -> Series:
    """Correct one value of some items, wherever it is."""
    chosen = rng.choice(sorted(series), 3, replace=False)
    return {n: _with_value(f, rng) if n in chosen else f for n, f in series.items()}


def _with_value(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[rng.integers(len(frame)), "target"] = rng.normal()
    return frame


def next_day(series: Series, rng: np.random.Generator) -> Series:
    """Add a day to half of the items."""
    return {n: _longer(f, rng) if rng.random() < 0.5 else f for n, f in series.items()}


def _longer(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    last = frame.tail(1).assign(target=rng.normal())
    last["timestamp"] += pd.Timedelta(days=1)
    return pd.concat([frame, last], ignore_index=True)


def other_items(series: Series, rng: np.random.Generator) -> Series:
    """Remove an item, rename another, and add one."""
    gone, renamed = rng.choice(sorted(series), 2, replace=False)
    return {
        **{n: f for n, f in series.items() if n not in (gone, renamed)},
        f"{renamed}-b": series[renamed],
        f"new-{rng.integers(10**6)}": _series(rng, 20),
    }


def shifted(series: Series, rng: np.random.Generator) -> Series:
    """Move an item in time: the same values end at another day."""
    name = rng.choice(sorted(series))
    frame = series[name].assign(timestamp=series[name]["timestamp"] + pd.Timedelta(days=2))
    return {**series, name: frame}


def swapped(series: Series, rng: np.random.Generator) -> Series:
    """Exchange the histories of two items."""
    first, second = rng.choice(sorted(series), 2, replace=False)
    return {**series, first: series[second], second: series[first]}


EDITS: tuple[Edit, ...] = (late_row, next_day, other_items, shifted, swapped)
