"""A daily panel with covariates, as a table and as inputs of Chronos-2's own pipeline.

Ahead of the history the targets are empty; ``load`` is a past covariate, ``price``, ``day`` and
``open`` are known over the horizon, the last two categories.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from chronos import Chronos2Pipeline

PAST, KNOWN = ("load",), ("price", "day", "open")
DAYS = np.array(["mon", "tue", "wed", None], dtype=object)
START = np.datetime64("2024-01-01", "us")
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Item:
    """One item: ``length`` steps of history, and a horizon."""

    name: str
    length: int
    columns: dict[str, npt.NDArray[Any]]

    def rows(self, ahead: int) -> pd.DataFrame:
        """Return the item's rows; past the history only what is known ahead."""
        count = self.length + ahead
        frame = pd.DataFrame({name: column[:count] for name, column in self.columns.items()})
        frame.loc[self.length :, ["sales", "returns", *PAST]] = np.nan
        frame.insert(0, "timestamp", START + np.arange(count) * np.timedelta64(1, "D"))
        frame.insert(0, "item_id", self.name)
        return frame

    def task(
        self,
        targets: tuple[str, ...],
        horizon: int,
        past: tuple[str, ...] = PAST,
        known_ahead: tuple[str, ...] = KNOWN,
    ) -> dict[str, Any]:
        """Return the item as an input of Chronos-2's pipeline."""
        history = {
            name: _plain(self.columns[name][: self.length]) for name in (*past, *known_ahead)
        }
        ahead = slice(self.length, self.length + horizon)
        values = [self.columns[name][: self.length].astype(np.float32) for name in targets]
        task: dict[str, Any] = {"target": np.stack(values) if len(values) > 1 else values[0]}
        if history:
            task["past_covariates"] = history
        if known_ahead:
            task["future_covariates"] = {
                name: _plain(self.columns[name][ahead]) for name in known_ahead
            }
        return task


def _plain(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if column.dtype == object:
        return np.array([np.nan if value is None else value for value in column], dtype=object)
    return column.astype(object) if column.dtype == bool else column.astype(np.float32)


def make_items(
    lengths: tuple[int, ...] = (40, 70, 33), spare: int = 80, *, nameless: bool = False
) -> list[Item]:
    """Return items with values for ``spare`` steps after their histories; the same every time.

    With ``nameless``, some of these steps have no ``day``, like some of the history.
    """
    rng = np.random.default_rng(7)
    items = []
    for number, length in enumerate(lengths):
        count = length + spare
        columns: dict[str, npt.NDArray[Any]] = {
            "sales": rng.normal(size=count).cumsum() + 50,
            "returns": rng.normal(size=count),
            "load": rng.normal(size=count) * 3,
            "price": rng.normal(size=count) + 1e3,
            "day": DAYS[rng.integers(0, 4, count)],
            "open": rng.integers(0, 2, count).astype(bool),
        }
        columns["sales"][5] = columns["load"][3] = columns["price"][9] = np.nan
        if not nameless:
            ahead = columns["day"][length:]
            ahead[ahead == None] = "mon"  # noqa: E711 - element by element
        columns["day"][length + 1] = "never seen before"
        items.append(Item(f"item-{number}", length, columns))
    return items


def make_frame(items: list[Item], ahead: int) -> pd.DataFrame:
    """Return all items' rows, with so many steps after each history."""
    return pd.concat([item.rows(ahead) for item in items], ignore_index=True)


def reference(
    folder: Path, tasks: list[dict[str, Any]], horizon: int, levels: list[float]
) -> FloatArray:
    """Return the quantiles of Chronos-2's own pipeline, with a call for each task, [N, H, Q].

    All trained levels are sorted before some are selected, as our forecasters do.
    """
    pipeline = Chronos2Pipeline.from_pretrained(folder)
    places = [pipeline.quantiles.index(level) for level in levels]
    quantiles = []
    for task in tasks:
        raw = pipeline.predict_quantiles(
            [task], prediction_length=horizon, quantile_levels=pipeline.quantiles
        )[0][0]
        quantiles.append(np.sort(raw.numpy(), axis=-1)[..., places])
    return np.concatenate(quantiles)
