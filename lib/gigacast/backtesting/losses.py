"""Losses of a backtest as rows of a file, and back.

A row is the forecast of a series from one origin: its `Losses`, and columns to group by. ``length``
is the length of the history before the origin, as far as it is read. All losses but ``scale`` are
sums over ``steps``: the MASE of a series is ``error / steps / scale``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, ByteArray, FloatArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.reason import Reason
from gigacast.forecasters.metric import Losses, interval_name, intervals_of
from gigacast.forecasting.prediction import level_name

_SUMS = ("scale", "magnitude", "error", "square", "relative", "excess")
_COUNTS = ("steps", "missed")
SCORES = "scores"
"""Column of the scores of a calibration, a list of H * Q for each row; see `calibration`."""


def losses_schema(
    items: Sequence[pa.Field],
    timestamp_type: pa.DataType,
    levels: Sequence[float],
    metadata: Mapping[str, str],
    *,
    scored: bool = False,
) -> pa.Schema:
    """Return the columns of a file of losses; empty values of the metadata are left out.

    Parameters
    ----------
    items : sequence of pa.Field
        Columns that name the items.
    timestamp_type : pa.DataType
    levels : sequence of float
    metadata : mapping
    scored : bool
        Whether rows have the scores of a calibration.
    """
    names = [level_name(level) for level in levels]
    fields = [
        *items,
        pa.field("target_name", pa.dictionary(pa.int32(), pa.string())),
        pa.field("window", pa.int32()),
        pa.field("origin", timestamp_type),
        pa.field("frequency", pa.dictionary(pa.int32(), pa.string())),
        pa.field("length", pa.int64()),
        pa.field("fallback", pa.dictionary(pa.int8(), pa.string())),
        *(pa.field(name, pa.int64()) for name in _COUNTS),
        *(pa.field(name, pa.float64()) for name in _SUMS),
        *(pa.field(f"loss_{name}", pa.float64()) for name in names),
        *(pa.field(f"below_{name}", pa.int64()) for name in names),
        *(pa.field(name, pa.int64()) for name in _inside_names(levels)),
        *([pa.field(SCORES, pa.list_(pa.float32()))] if scored else []),
    ]
    return pa.schema(fields, metadata={k: v for k, v in metadata.items() if v})


def _inside_names(levels: Sequence[float]) -> list[str]:
    return [f"inside_{interval_name(levels, interval)}" for interval in intervals_of(levels)]


def losses_batch(
    contexts: SeriesBatch,
    losses: Losses,
    reasons: ByteArray,
    window: int,
    schema: pa.Schema,
    scores: FloatArray | None = None,
) -> pa.RecordBatch:
    """Return the losses of a window of a batch as rows.

    Parameters
    ----------
    contexts : SeriesBatch
        N series that end at the origin.
    losses : Losses
        Losses of N forecasts.
    reasons : int8 [N]
        Reason why the model did not make a forecast; 0 where it did.
    window : int
        Number of the window; 0 has the latest origin.
    schema : pyarrow.Schema
        See `losses_schema`.
    scores : float32 [N, H, Q], optional
        Scores of a calibration.
    """
    # Code -1 is that of a series without a frequency.
    aliases = text_column([*(f.alias for f in contexts.frequencies), "unknown"])
    codes = np.where(contexts.frequency_codes < 0, len(aliases) - 1, contexts.frequency_codes)
    labels = text_column([reason.label for reason in Reason])
    # Undefined for a constant series, or one that is not longer than a season.
    scale = to_arrow(losses.scale, np.isnan(losses.scale))
    columns = [
        *contexts.item_columns(),
        contexts.target_names.dictionary_encode(),
        to_arrow(np.full(len(losses), window, np.int32)),
        contexts.last_arrow(),
        pa.DictionaryArray.from_arrays(to_arrow(codes.astype(np.int32)), aliases),
        to_arrow(contexts.lengths),
        pa.DictionaryArray.from_arrays(to_arrow(reasons, reasons == Reason.OK), labels),
        *(to_arrow(getattr(losses, name)) for name in _COUNTS),
        scale,
        *(to_arrow(getattr(losses, name)) for name in _SUMS[1:]),
        *(to_arrow(np.ascontiguousarray(column)) for column in losses.quantile.T),
        *(to_arrow(np.ascontiguousarray(column)) for column in losses.below.T),
        *(to_arrow(np.ascontiguousarray(column)) for column in losses.inside.T),
    ]
    if scores is not None:
        width = scores.shape[1] * scores.shape[2]
        offsets = to_arrow(np.arange(len(scores) + 1, dtype=np.int32) * np.int32(width))
        columns.append(pa.ListArray.from_arrays(offsets, to_arrow(scores.ravel())))
    cast = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def read_losses(table: pa.Table, levels: Sequence[float]) -> Losses:
    """Return the losses in the rows of a file.

    Parameters
    ----------
    table : pa.Table
        N rows, see `losses_schema`.
    levels : sequence of float
        Quantile levels of the file.
    """
    names = [level_name(level) for level in levels]
    scale = pc.fill_null(table["scale"], float("nan"))
    return Losses(
        scale=to_numpy(scale),
        quantile=_matrix(table, [f"loss_{name}" for name in names], np.dtype(np.float64)),
        below=_matrix(table, [f"below_{name}" for name in names], np.dtype(np.int64)),
        inside=_matrix(table, _inside_names(levels), np.dtype(np.int64)),
        **{name: to_numpy(table[name]) for name in (*_COUNTS, *_SUMS[1:])},
    )


def _matrix(table: pa.Table, names: Sequence[str], kind: np.dtype[Any]) -> AnyArray:
    matrix = np.empty((table.num_rows, len(names)), kind)
    for place, name in enumerate(names):
        matrix[:, place] = to_numpy(table[name])
    return matrix
