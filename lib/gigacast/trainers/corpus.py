"""Training series on disk, and the windows that training steps draw from them.

Series are memory-mapped, so that the memory of a training does not grow with its data. The end of
each series is held out and never trained on. The windows of a step depend on the seed and the step
only, so that a resumed run draws the windows that an undisturbed one would.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray
from gigacast.core.plural import counted
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.reason import Reason
from gigacast.errors import DataNotFoundError, SchemaError
from gigacast.trainers.disk import disk_errors
from gigacast.trainers.encoding import encode_windows

VALUES, OFFSETS, COVARIATES = "values.f32", "offsets.i64", "covariates.f32"
BASES = "bases.f64"
_LARGEST = 1e17
"""Largest magnitude to train on. Squares of larger values, summed over a context, leave float32."""


@dataclass(frozen=True)
class Corpus:
    """N concatenated series in memory-mapped files.

    Parameters
    ----------
    values : float32 [sum of T_n]
        Values of all series, less their bases; NaN if missing.
    offsets : int64 [N + 1]
        Series ``n`` is ``values[offsets[n]:offsets[n + 1]]``.
    skipped : mapping
        Number of series left out, by reason.
    covariates : float32 [sum of T_n, V]
        Covariates at each step: the past ones, then the known ones; NaN if missing.
    names : tuple of str
        Names of the V covariates.
    known : int
        Number of covariates, from the last, that are known over the horizon.
    categories : tuple
        Texts of the codes of each covariate; ``None`` for a covariate of numbers.
    bases : float64 [N], optional
        What is to be added to the values of each series, see `gigacast.core.series.base`; nothing
        by default.
    """

    values: FloatArray
    offsets: IntArray
    skipped: Mapping[str, int] = field(default_factory=dict)
    covariates: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    names: tuple[str, ...] = ()
    known: int = 0
    categories: tuple[tuple[str, ...] | None, ...] = ()
    bases: DoubleArray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def points(self) -> int:
        """Number of steps of all series."""
        return int(self.offsets[-1])


class CorpusWriter:
    """Context manager that writes a corpus batch by batch.

    Parameters
    ----------
    folder : Path
        Empty folder; must exist as long as the corpus is used.
    least_length : int
        Minimum steps of a series. Shorter ones are left out and counted, like those with a reason
        from the reader.
    takes_covariates : bool
        Whether covariates are written, too.

    Raises
    ------
    StorageError
        If the disk is full.
    """

    def __init__(self, folder: Path, least_length: int, *, takes_covariates: bool = True) -> None:
        self._folder = folder
        self._takes_covariates = takes_covariates
        self._least = least_length
        self._end = 0
        self._longest = 0
        self._count = 0
        self._skipped: dict[str, int] = {}
        self._names: tuple[str, ...] = ()
        self._known = 0
        self._codes: list[dict[str, int] | None] = []
        self._has_bases = False

    def __enter__(self) -> "CorpusWriter":
        with disk_errors(self._folder):
            self._values = (self._folder / VALUES).open("wb")
            self._offsets = (self._folder / OFFSETS).open("wb")
            self._covariates = (self._folder / COVARIATES).open("wb")
            self._bases = (self._folder / BASES).open("wb")
            self._offsets.write(np.zeros(1, np.int64).tobytes())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with disk_errors(self._folder):
            self._values.close()
            self._offsets.close()
            self._covariates.close()
            self._bases.close()

    def add(self, batch: SeriesBatch) -> None:
        """Write the series of a batch that can be trained on; count the others by reason.

        Raises
        ------
        SchemaError
            If a covariate has texts here, and numbers in another batch.
        StorageError
            If the disk is full.
        """
        reasons = batch.reasons.copy()
        # The first reason that applies is kept, as in forecasting.
        reasons[(reasons == Reason.OK) & (batch.lengths < self._least)] = Reason.TOO_SHORT
        reasons[(reasons == Reason.OK) & _overflows(batch)] = Reason.NOT_FINITE
        for code, count in zip(*np.unique(reasons, return_counts=True), strict=True):
            if code != Reason.OK:
                label = Reason(int(code)).label
                self._skipped[label] = self._skipped.get(label, 0) + int(count)
        if len(batch):
            self._longest = max(self._longest, int(batch.lengths.max()))
        usable = batch.take(np.flatnonzero(reasons == Reason.OK))
        with disk_errors(self._folder):
            self._values.write(np.ascontiguousarray(usable.values, np.float32).tobytes())
            self._offsets.write((usable.offsets[1:] + self._end).tobytes())
            self._covariates.write(self._companions(usable).tobytes())
            self._bases.write(self._bases_of(usable).tobytes())
        self._end += int(usable.offsets[-1])
        self._count += len(usable)

    def _bases_of(self, batch: SeriesBatch) -> DoubleArray:
        """Return the bases of the series, float64 [N]; 0 of ordinary ones."""
        if batch.bases is None:
            return np.zeros(len(batch))
        self._has_bases = self._has_bases or bool(batch.bases.any())
        return batch.bases

    def _companions(self, batch: SeriesBatch) -> FloatArray:
        """Return the covariates at each step of the series, float32 [sum of T_n, V]."""
        covariates = batch.covariates
        if covariates is None or not self._takes_covariates:
            return np.empty((0, 0), np.float32)
        self._names, self._known = covariates.names, covariates.known
        steps = covariates.steps(batch.lengths)
        self._codes = self._codes or [None if t is None else {} for t in covariates.categories]
        for column, texts in enumerate(covariates.categories):
            codes = self._codes[column]
            if (codes is None) != (texts is None):
                raise SchemaError(
                    f"the covariate {covariates.names[column]!r} has texts in some partitions, and "
                    "numbers in others",
                    hint="write it in one way everywhere, or leave it out",
                )
            if codes is not None and texts is not None:
                # Every reader numbers its texts anew; the last entry is that of -1, no text.
                own = np.array([*(codes.setdefault(t, len(codes)) for t in texts), -1], np.float32)
                has_code = np.isfinite(steps[:, column])
                steps[has_code, column] = own[steps[has_code, column].astype(np.int64)]
        return steps

    def finish(self) -> Corpus:
        """Return the written corpus.

        Raises
        ------
        DataNotFoundError
            If no series is long enough.
        """
        if not self._count:
            left_out = ", ".join(f"{n} {reason}" for reason, n in self._skipped.items()) or "none"
            raise DataNotFoundError(
                f"no series to train on: each needs {counted(self._least, 'step')}, the longest "
                f"has {self._longest} (series left out: {left_out})",
                hint="give more data, or lower --horizon, --validation_steps or --min_context",
            )
        with disk_errors(self._folder):
            # The files stay open until the context ends, so their buffers must be written first.
            self._values.flush()
            self._offsets.flush()
            self._covariates.flush()
            self._bases.flush()
            values = np.memmap(self._folder / VALUES, np.float32, "r")
            offsets = np.memmap(self._folder / OFFSETS, np.int64, "r")
            covariates: FloatArray = np.empty((0, 0), np.float32)
            if self._names:  # an empty file cannot be mapped
                shape = (len(values), len(self._names))
                covariates = np.memmap(self._folder / COVARIATES, np.float32, "r", shape=shape)
            bases = np.memmap(self._folder / BASES, np.float64, "r") if self._has_bases else None
        skipped = dict(self._skipped)
        categories = tuple(None if codes is None else tuple(codes) for codes in self._codes)
        return Corpus(
            values, offsets, skipped, covariates, self._names, self._known, categories, bases
        )


def _overflows(batch: SeriesBatch) -> BoolArray:
    """Return which series have values whose squares overflow float32 when summed, bool [N]."""
    counts = np.concatenate([[0], np.cumsum(np.abs(batch.values) > _LARGEST)])
    overflows: BoolArray = counts[batch.offsets[1:]] > counts[batch.offsets[:-1]]
    return overflows


@dataclass(frozen=True, slots=True)
class Windows:
    """B contexts and the values that follow each.

    Parameters
    ----------
    context : float32 [B, T]
        Left-padded with NaN to a multiple of the patch size; less its base.
    target : float32 [B, H]
        NaN if missing; less its base.
    past : float32 [B, V, T]
        Covariates over the context.
    future : float32 [B, V, H]
        Covariates over the target; NaN if they are not known ahead.
    bases : float64 [B], optional
        What is to be added to the values of each window; nothing by default.
    """

    context: FloatArray
    target: FloatArray
    past: FloatArray
    future: FloatArray
    bases: DoubleArray | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """Sizes of windows, in steps; see `FinetuneOptions` for the fields."""

    context_length: int
    horizon: int
    validation_steps: int
    min_context: int
    patch_size: int


class WindowSource:
    """Training windows by step, and held-out windows.

    Parameters
    ----------
    corpus : Corpus
    cut : Cut
    batch_size : int
        Windows per step, B.
    seed : int
        Seed of all draws.
    """

    def __init__(self, corpus: Corpus, cut: Cut, batch_size: int, seed: int) -> None:
        self._corpus, self._cut = corpus, cut
        self._batch_size, self._seed = batch_size, seed

    def batch(self, step: int) -> Windows:
        """Return the windows of a step; all series are equally likely, and so are their origins.

        Targets end before the held-out steps of their series. Targets of short series end with
        NaN.
        """
        # A counter-based generator keyed by seed and step: no state to store in checkpoints.
        draw = np.random.Generator(np.random.Philox(key=np.array([self._seed, step], np.uint64)))
        rows = draw.integers(0, len(self._corpus), self._batch_size)
        starts = self._corpus.offsets[rows]
        stops = self._corpus.offsets[rows + 1] - self._cut.validation_steps
        first = starts + self._cut.min_context
        # A series too short for a whole target still gives one window, at its first origin.
        last = np.maximum(first, stops - self._cut.horizon)
        origins = draw.integers(first, last, endpoint=True)
        return self._gather(rows, origins, stops)

    def validation(self, limit: int, rows: int) -> Iterator[Windows]:
        """Iterate over at most ``limit`` held-out windows, ``rows`` at a time.

        The held-out end of each series is cut into windows of one horizon. The context of each is
        all of the series before it. If there are too many windows, an even selection is used.
        """
        per_series = -(-self._cut.validation_steps // self._cut.horizon)
        total = len(self._corpus) * per_series
        selected = np.linspace(0, total - 1, min(limit, total)).round().astype(np.int64)
        for part in range(0, len(selected), rows):
            series, index = np.divmod(selected[part : part + rows], per_series)
            ends = self._corpus.offsets[series + 1]
            origins = ends - self._cut.validation_steps + index * self._cut.horizon
            yield self._gather(series, origins, ends)

    def _gather(self, series: IntArray, origins: IntArray, stops: IntArray) -> Windows:
        """Return the windows of series around origins; targets are NaN from ``stops`` on."""
        cut, bases = self._cut, self._corpus.bases
        firsts = np.maximum(self._corpus.offsets[series], origins - cut.context_length)
        # As wide as the longest context of the batch needs, in whole patches.
        width = -(-int((origins - firsts).max()) // cut.patch_size) * cut.patch_size
        before = origins[:, None] + np.arange(-width, 0)
        after = origins[:, None] + np.arange(cut.horizon)
        behind, ahead = before >= firsts[:, None], after < stops[:, None]
        future = self._companions(after, ahead)
        future[:, : len(self._corpus.names) - self._corpus.known] = np.nan
        context, past = self._take(before, behind), self._companions(before, behind)
        past, future = encode_windows(self._corpus.categories, context, past, future)
        own = None if bases is None else np.asarray(bases[series])
        return Windows(context, self._take(after, ahead), past, future, own)

    def _companions(self, indices: IntArray, inside: BoolArray) -> FloatArray:
        """Return the covariates at indices, [B, V, steps]; NaN where these are not inside."""
        corpus = self._corpus
        if not corpus.names:
            return np.empty((len(indices), 0, indices.shape[1]), np.float32)
        steps = corpus.covariates[np.clip(indices, 0, corpus.points - 1)]
        windows: FloatArray = np.where(inside[..., None], steps, np.float32(np.nan))
        return windows.transpose(0, 2, 1)

    def _take(self, indices: IntArray, inside: BoolArray) -> FloatArray:
        """Return the corpus at indices; NaN where these are not inside the window's series."""
        # Clipped to valid indices; values outside the window become NaN in the next step.
        values = self._corpus.values[np.clip(indices, 0, self._corpus.points - 1)]
        windows: FloatArray = np.where(inside, values, np.float32(np.nan))
        return windows
