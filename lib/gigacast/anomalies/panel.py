"""Pictures of anomalous series as the footer of their dataset holds them.

A search that finds a partition done draws the same pictures, and so does a report that is made
again: nothing is forecast or compared for them.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.anomalies.kernel import Compared
from gigacast.anomalies.result import summarise, weight_of
from gigacast.core.array import AnyArray, RealArray
from gigacast.core.column import to_numpy
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.core.series.item_key import items_of
from gigacast.errors import CorruptedFileError
from gigacast.forecasting.preview import wall_times
from gigacast.report.plot.panel import ForecastPanel

PANELS = "gigacast.panels"
"""Entry of the metadata of a dataset of anomalies."""
MOST = 4
"""Pictures of a partition."""
MOST_STEPS = 200
"""Steps of a picture, the last ones; footers stay small."""


def panel_of(
    weight: float, title: str, times: pa.ChunkedArray, compared: Compared, row: int
) -> dict[str, Any] | None:
    """Return the picture of a series as JSON values; ``None`` if it has no times.

    Parameters
    ----------
    weight : float
        How bad its anomalies are.
    title : str
    times : pa.ChunkedArray [H]
        Timestamps of the series' steps.
    compared : Compared
        Values of N series.
    row : int
        Number of the series.
    """
    axis = wall_times(times)
    if axis is None:
        return None
    shown = slice(max(0, len(axis) - MOST_STEPS), None)
    low, high = compared.band
    numbers = {
        "actual": compared.actual[row],
        "median": compared.median[row],
        "lower": compared.quantiles[row][:, low],
        "upper": compared.quantiles[row][:, high],
    }
    is_steps = np.issubdtype(axis.dtype, np.integer)
    micros = axis if is_steps else axis.astype("datetime64[us]").astype(np.int64)
    return {
        "weight": round(float(weight), 6),
        "title": title,
        "is_steps": is_steps,
        "times": micros[shown].tolist(),
        "levels": [compared.levels[low], compared.levels[high]],
        **{name: _numbers(values[shown]) for name, values in numbers.items()},
    }


def _numbers(values: RealArray) -> list[float | None]:
    # As many digits as tell two values apart whose steps are to be seen.
    digits = 15 if values.dtype == np.float64 else 7
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values.tolist()]


def worst_panels(anomalies: pa.Table, keys: pa.Table, compared: Compared) -> list[dict[str, Any]]:
    """Return pictures of the worst series of a part as JSON values.

    Parameters
    ----------
    anomalies : pa.Table
        Rows of anomalies.
    keys : pa.Table [N * H]
        Names and times of all values.
    compared : Compared
        N series of H steps.
    """
    horizon = compared.median.shape[1]
    items, targets = items_of(keys).cast(pa.string()), keys["target_name"].cast(pa.string())
    panels: list[dict[str, Any]] = []
    for entry in summarise("", anomalies)[:MOST]:
        own = pc.and_(pc.equal(items, entry.item), pc.equal(targets, entry.target))
        places = np.flatnonzero(to_numpy(pc.fill_null(own, False)))[::horizon] // horizon
        # Of several origins, the one whose values are furthest from the band.
        worst = max(places.tolist(), key=lambda row: _far(compared, row))
        title = f"{entry.item} · {entry.target}: {entry.kind.replace('_', ' ')}"
        times = keys["timestamp"].slice(worst * horizon, horizon)
        panel = panel_of(weight_of(entry), title, times, compared, worst)
        panels += [panel] if panel is not None else []
    return panels


def _far(compared: Compared, row: int) -> float:
    distance = np.abs(compared.actual[row] - compared.median[row])
    return float(np.nansum(distance)) if np.isfinite(distance).any() else -1.0


def dump_panels(panels: Sequence[dict[str, Any]]) -> str:
    """Return pictures as text, the worst `MOST` of them."""
    order = sorted(panels, key=lambda panel: (-panel["weight"], panel["title"]))
    return json.dumps(order[:MOST], ensure_ascii=False, separators=(",", ":"))


def load_panels(text: bytes | None, key: str) -> list[tuple[float, ForecastPanel]]:
    """Return the pictures in a footer with their weights; none without an entry.

    Raises
    ------
    CorruptedFileError
    """
    if text is None:
        return []
    source = Source(key, CorruptedFileError, "not a dataset of anomalies", "search again")
    entries = read_value(list[dict[str, object]], decode_json(text, source), source, place=PANELS)
    return [_panel(entry, source) for entry in entries[:MOST]]


def _panel(entry: dict[str, object], source: Source) -> tuple[float, ForecastPanel]:
    def read(kind: type[Any], name: str) -> Any:
        return read_value(kind, entry.get(name), source, place=f"{PANELS}.{name}")

    times = np.array(read(list[int], "times"), np.int64)
    axis: AnyArray = times if read(bool, "is_steps") else times.astype("datetime64[us]")
    columns = [
        np.array([np.nan if v is None else v for v in read(list[float | None], name)])
        for name in ("median", "lower", "upper", "actual")
    ]
    median, lower, upper, actual = columns
    levels = read(list[float], "levels")
    if len({len(times), *map(len, columns)}) != 1 or len(levels) != 2:
        raise source.refuse("lists of several lengths", PANELS)
    panel = ForecastPanel(
        read(str, "title"),
        axis[:0],
        np.empty(0, np.float32),
        axis,
        median,
        tuple(levels),
        np.stack([lower, upper], axis=1),
        actual,
    )
    return read(float, "weight"), panel
