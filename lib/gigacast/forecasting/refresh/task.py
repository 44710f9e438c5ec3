"""The part of a task in an incremental run: which series it keeps, computes and notes down."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import FloatArray, UintArray
from gigacast.core.digest import digest_value
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.digest import REVISION, series_digests
from gigacast.core.series.forecast import ForecastBatch
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.refresh.former import Form, FormerForecast
from gigacast.forecasting.refresh.note import NoteDraft, read_note
from gigacast.storage.store import Store

Compute = Callable[[SeriesBatch], ForecastBatch]
_SHARE = 8  # of the memory limit: a note is small beside the series that are read


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """What a refresh of a partition depends on.

    Parameters
    ----------
    info : ForecasterInfo
    form : Form
    batch_size : int, optional
    joint : bool
        Whether the targets of an item are forecast together.
    may_keep : bool
        Whether rows may be kept; otherwise all are computed, and noted down.
    limit_bytes : int
        Memory limit of the process.
    """

    info: ForecasterInfo
    form: Form
    batch_size: int | None
    joint: bool
    may_keep: bool
    limit_bytes: int

    def head(self, task: Task) -> str:
        """Return the digest of everything besides the series that decides the numbers."""
        info, size = self.info, self.batch_size
        parts = [REVISION, task.spec, task.horizon, info.digest, info.engine, info.device]
        return digest_value([*parts, info.precision, size, *self.form.columns])


def columns_of(forecast: ForecastBatch) -> FloatArray:
    """Return the numbers of a forecast in the columns of `Form`, [N, H, C]."""
    parts = [forecast.median[..., None], forecast.quantiles]
    parts += [] if forecast.mean is None else [forecast.mean[..., None]]
    numbers: FloatArray = np.concatenate(parts, axis=-1)
    return numbers


class Refresh:
    """Keeps the numbers of a partition's unchanged series, and counts them.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    task : Task
    options : RefreshOptions

    Attributes
    ----------
    kept : int
        Number of series whose numbers were kept so far.
    """

    def __init__(self, store: Store, task: Task, options: RefreshOptions) -> None:
        self.kept = 0
        self._store = store
        self._task = task
        self._joint = options.joint
        self._head = options.head(task)
        limit = options.limit_bytes // _SHARE
        self._draft = NoteDraft(limit)
        note = read_note(store, task.output_key, self._head, limit) if options.may_keep else None
        self._former = (
            FormerForecast(store, task.output_key, note, options.form) if note is not None else None
        )

    def forecast(self, batch: SeriesBatch, compute: Compute) -> ForecastBatch:
        """Return the forecast of a batch: kept where its series are as they were, else computed.

        Parameters
        ----------
        batch : SeriesBatch
        compute : callable
            Forecasts the series that changed.
        """
        digests = series_digests(batch, joint=self._joint)
        forecast = self._former_or_new(batch, digests, compute)
        self._draft.add(digests, forecast.reasons)
        return forecast

    def _former_or_new(
        self, batch: SeriesBatch, digests: UintArray, compute: Compute
    ) -> ForecastBatch:
        if self._former is None:
            return compute(batch)
        places, numbers = self._former.find(digests)
        is_kept = places >= 0
        if not is_kept.any():
            return compute(batch)
        self.kept += int(is_kept.sum())
        changed = np.flatnonzero(~is_kept)
        new = compute(batch.take(changed))
        # In the kind of what is computed: kept numbers of such batches are floats in either.
        merged = np.empty((len(batch), *numbers.shape[1:]), new.median.dtype)
        merged[is_kept], merged[changed] = numbers, columns_of(new)
        reasons = np.empty(len(batch), np.int8)
        reasons[is_kept] = self._former.reasons(places[is_kept])
        reasons[changed] = new.reasons
        last = 1 + len(new.levels)
        return replace(
            new,
            series=batch,
            median=merged[..., 0],
            quantiles=merged[..., 1:last],
            mean=None if new.mean is None else merged[..., last],
            reasons=reasons,
        )

    def close(self) -> None:
        """Close the former forecast."""
        if self._former is not None:
            self._former.close()

    def write_note(self, output_etag: str) -> None:
        """Note the digests of the forecast that is published.

        Raises
        ------
        StorageError
        """
        self._draft.write(self._store, self._task.output_key, output_etag, self._head)
