"""Series in memory, as arrays of any library, for `ChronosLoader`."""

from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.array import AnyArray, RealArray
from gigacast.core.series.base import split_bases
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError
from gigacast.forecasting.history import offsets_of

_FAULTS = (
    *(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError),
    pa.ArrowException,
)
"""What arrays of other libraries raise when they cannot be converted to numbers."""


def contexts_of(context: Any) -> list[RealArray]:
    """Return one or many series as arrays of numbers.

    Raises
    ------
    ConfigError
        If they have another shape, or are no numbers.
    """
    # numpy would read a data frame's columns as series, its times among them.
    if hasattr(context, "columns"):
        raise ConfigError(
            "context: expected numbers, got a data frame", hint="gigacast.forecast takes frames"
        )
    try:
        if _is_list_of_series(context):
            contexts = [_numbers_of(row) for row in context]
        else:
            numbers = _numbers_of(context)
            contexts = list(numbers) if numbers.ndim == 2 else [numbers]
    except _FAULTS as error:
        raise ConfigError(
            f"context: expected numbers [T], [N, T] or a sequence of arrays: {error}"
        ) from error
    shapes = {values.shape for values in contexts if values.ndim != 1}
    if shapes or not sum(map(len, contexts)):
        shape = next(iter(shapes), (0,))
        raise ConfigError(f"context: expected [T] or [N, T], got an array of shape {shape}")
    return contexts


def _is_list_of_series(context: Any) -> bool:
    if isinstance(context, list | tuple):
        return any(np.ndim(part) > 0 for part in context)
    # An array of objects holds arrays of several lengths.
    rows = isinstance(context, np.ndarray) and context.dtype == object and context.ndim == 1
    return bool(rows and any(np.ndim(part) > 0 for part in context))


_EXACT_END = 2.0**53
"""Up to it floats hold each whole number."""


def _numbers_of(values: Any) -> RealArray:
    """Return the numbers of an array of any library, in their order, as float64.

    An array of float32 stays one.

    What is masked, null or NA becomes NaN. An index has no meaning here, but dates that do not
    ascend are refused.
    """
    if isinstance(values, np.ma.MaskedArray):
        # Not `asarray`, which takes the values below the mask, such as 1e20 of netCDF.
        plain = np.where(np.ma.getmaskarray(values), np.nan, np.ma.getdata(values))
    elif hasattr(values, "detach"):  # a tensor: of any device, with gradients, in bfloat16
        plain = np.asarray(values.detach().cpu().double())
    elif hasattr(values, "hasnans"):  # a Series or an Index of pandas
        index: Any = getattr(values, "index", None)
        if hasattr(index, "freq") and not index.is_monotonic_increasing:
            raise ValueError("the dates of the series do not ascend; use .sort_index()")
        if hasattr(index, "freq") and not index.is_unique:
            raise ValueError("the series has more than one value of a date")
        plain = values.to_numpy(na_value=np.nan) if values.hasnans else np.asarray(values)
    else:
        plain = np.asarray(values)
    if plain.dtype.kind not in "biufO":
        raise TypeError(f"{plain.dtype} is no type of numbers")
    _check_kinds(values, plain)
    numbers: RealArray = plain if plain.dtype == np.float32 else plain.astype(np.float64)
    is_long = plain.dtype.kind in "iu" and np.abs(numbers).max(initial=0) > _EXACT_END
    if is_long and len(np.unique(plain)) > len(np.unique(numbers)):
        raise ValueError("whole numbers that differ in digits that no float of 64 bits holds")
    return numbers


def _check_kinds(values: Any, plain: AnyArray) -> None:
    """Refuse what NumPy would make numbers of: texts, and True among numbers."""
    if plain.dtype == object or isinstance(values, list | tuple):
        parts = plain.ravel() if plain.dtype == object else np.ravel(np.array(values, object))
        kinds = set(map(type, parts.tolist()))
        if any(issubclass(kind, str | bytes) for kind in kinds):
            raise TypeError("texts are no numbers")
        if bool in kinds and kinds & {int, float}:
            raise TypeError("it has both numbers and True or False")


def batch_of(contexts: list[RealArray], *, precise: bool) -> SeriesBatch:
    """Return series as a batch; if ``precise``, with bases where float32 would lose steps."""
    # Arrays have no times: their steps are numbered, and the frequency is one step.
    count, offsets = len(contexts), offsets_of(contexts)
    exact = np.concatenate([*contexts, np.empty(0, np.float32)])
    # Beyond float32 is infinite, which the model's fallback takes.
    with np.errstate(over="ignore"):
        values, bases = exact.astype(np.float32), None
    if precise and exact.dtype == np.float64:
        values, bases = split_bases(exact, offsets)
    return SeriesBatch(
        item_ids=pa.array(range(count), pa.int64()),
        target_names=pa.array(["target"] * count, pa.string()),
        values=values,
        offsets=offsets,
        last_timestamps=np.array([len(context) - 1 for context in contexts], dtype=np.int64),
        frequencies=(Frequency.steps(),),
        frequency_codes=np.zeros(count, dtype=np.int64),
        reasons=np.zeros(count, dtype=np.int8),
        timestamp_type=pa.int64(),
        bases=bases,
    )
