"""Anomalies as rows: one per anomalous value, with the band that did not hold it."""

import numpy as np
import pyarrow as pa

from gigacast.anomalies.kernel import (
    Compared,
    Found,
    History,
    Kind,
    Limits,
    central_share,
    find_anomalies,
)
from gigacast.core.column import text_column, to_arrow

VALUES = pa.schema(
    [
        ("actual", pa.float32()),
        ("median", pa.float32()),
        ("lower", pa.float32()),
        ("upper", pa.float32()),
        ("score", pa.float64()),
        ("level", pa.float64()),
        ("direction", pa.string()),
        ("kind", pa.string()),
        ("run", pa.int64()),
    ]
)
"""Columns after those that name the value: items, ``timestamp`` and ``target_name``. Floats are
doubles if float32 loses steps of the values."""
_DIRECTIONS = ("below", "within", "above")
_KINDS = ("", *(kind.label for kind in Kind))


def detect(keys: pa.Table, compared: Compared, history: History, limits: Limits) -> pa.Table:
    """Return the anomalies of N series of H steps as rows.

    Parameters
    ----------
    keys : pa.Table [N * H]
        Item columns, ``timestamp`` and ``target_name`` of each step, series by series.
    compared : Compared
    history : History
        Of the N series.
    limits : Limits
    """
    anomalies = find_anomalies(compared, history, limits)
    places = np.flatnonzero(anomalies.is_anomaly.ravel())
    low, high = compared.band
    edges = (compared.quantiles[..., low], compared.quantiles[..., high])
    numbers = (compared.actual, compared.median, *edges)
    columns = [to_arrow(np.ascontiguousarray(n).ravel()[places]) for n in numbers]
    columns += _described(anomalies, places, limits)
    rows = keys.take(to_arrow(places))
    for field, column in zip(_values_of(is_wide=compared.is_wide), columns, strict=True):
        rows = rows.append_column(field, column.cast(field.type))
    return rows


def _values_of(*, is_wide: bool) -> pa.Schema:
    if not is_wide:
        return VALUES
    is_float = pa.types.is_float32
    return pa.schema([f.with_type(pa.float64()) if is_float(f.type) else f for f in VALUES])


def _described(anomalies: Found, places: np.ndarray, limits: Limits) -> list[pa.Array]:
    score = anomalies.score.ravel()[places]
    is_out = np.abs(np.nan_to_num(score)) >= limits.score
    side = np.where(is_out, np.sign(np.nan_to_num(score)), 0).astype(np.int64)
    return [
        to_arrow(score, np.isnan(score)),
        to_arrow(central_share(score), np.isnan(score)),
        text_column(_DIRECTIONS).take(to_arrow(side + 1)),
        text_column(_KINDS).take(to_arrow(anomalies.kind.ravel()[places].astype(np.int64))),
        to_arrow(anomalies.run.ravel()[places]),
    ]


def schema_of(keys: pa.Schema) -> pa.Schema:
    """Return the columns of anomalies whose values are named by these columns."""
    return pa.schema([*keys, *VALUES])
