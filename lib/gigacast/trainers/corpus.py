"""Series to train on, laid out on disk: what training holds in memory does not grow with them.

Windows are cut so that the end of each series is never trained on. Which windows a step gets is a
function of the seed and the step alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from gigacast.core.array import BoolArray, FloatArray, IntArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.reason import Reason
from gigacast.errors import DataNotFoundError
from gigacast.trainers.disk import disk_errors

VALUES, OFFSETS = "values.f32", "offsets.i64"
_LARGEST = 1e17


@dataclass(frozen=True)
class Corpus:
    """N series, one after the other, in two files.

    Parameters
    ----------
    values : float32 [sum of T_n]
        NaN where missing.
    offsets : int64 [N + 1]
        Series ``n`` is ``values[offsets[n]:offsets[n + 1]]``.
    skipped : mapping
        Series left out, by reason.
    """

    values: FloatArray
    offsets: IntArray
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def points(self) -> int:
        """Steps of all series together."""
        return int(self.offsets[-1])


class CorpusWriter:
    """Lays series out, batch by batch; a context manager.

    Parameters
    ----------
    folder : Path
        Empty; must outlive the corpus.
    least_length : int
        Shorter series are left out and counted, as are those a reader found fault with.

    Raises
    ------
    StorageError
        When the disk is full.
    """

    def __init__(self, folder: Path, least_length: int) -> None:
        self._folder = folder
        self._least = least_length
        self._end = 0
        self._longest = 0
        self._count = 0
        self._skipped: dict[str, int] = {}

    def __enter__(self) -> "CorpusWriter":
        with disk_errors(self._folder):
            self._values = (self._folder / VALUES).open("wb")
            self._offsets = (self._folder / OFFSETS).open("wb")
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

    def add(self, batch: SeriesBatch) -> None:
        """Write the series of a batch that can be learned from."""
        reasons = batch.reasons.copy()
        reasons[(reasons == Reason.OK) & (batch.lengths < self._least)] = Reason.TOO_SHORT
        reasons[(reasons == Reason.OK) & _overflows(batch)] = Reason.NOT_FINITE
        for code, count in zip(*np.unique(reasons, return_counts=True), strict=True):
            if code != Reason.OK:
                label = Reason(int(code)).label
                self._skipped[label] = self._skipped.get(label, 0) + int(count)
        if len(batch):
            self._longest = max(self._longest, int(batch.lengths.max()))
        kept = batch.take(np.flatnonzero(reasons == Reason.OK))
        with disk_errors(self._folder):
            self._values.write(np.ascontiguousarray(kept.values, np.float32).tobytes())
            self._offsets.write((kept.offsets[1:] + self._end).tobytes())
        self._end += int(kept.offsets[-1])
        self._count += len(kept)

    def finish(self) -> Corpus:
        """Return what was written.

        Raises
        ------
        DataNotFoundError
            When no series is long enough.
        """
        if not self._count:
            left_out = ", ".join(f"{n} {reason}" for reason, n in self._skipped.items()) or "none"
            raise DataNotFoundError(
                f"no series to train on: each needs {self._least} steps, the longest has "
                f"{self._longest} (series left out: {left_out})",
                hint="give more data, or lower --horizon, --validation_steps or --min_context",
            )
        with disk_errors(self._folder):
            self._values.flush()
            self._offsets.flush()
            values = np.memmap(self._folder / VALUES, np.float32, "r")
            offsets = np.memmap(self._folder / OFFSETS, np.int64, "r")
        return Corpus(values, offsets, dict(self._skipped))


def _overflows(batch: SeriesBatch) -> BoolArray:
    """Tell which series have values whose squares float32 cannot add up, [N]."""
    far = np.concatenate([[0], np.cumsum(np.abs(batch.values) > _LARGEST)])
    found: BoolArray = far[batch.offsets[1:]] > far[batch.offsets[:-1]]
    return found


@dataclass(frozen=True, slots=True)
class Windows:
    """B contexts and what came after each.

    Parameters
    ----------
    context : float32 [B, T]
        Left-padded with NaN to a multiple of the patch.
    target : float32 [B, H]
    """

    context: FloatArray
    target: FloatArray


@dataclass(frozen=True, slots=True)
class Cut:
    """How windows are cut: see `FinetuneOptions` for the names."""

    context_length: int
    horizon: int
    validation_steps: int
    min_context: int
    patch_size: int


class WindowSource:
    """Training windows by step, and the windows held out.

    Parameters
    ----------
    corpus : Corpus
    cut : Cut
    batch_size, seed : int
    """

    def __init__(self, corpus: Corpus, cut: Cut, batch_size: int, seed: int) -> None:
        self._corpus, self._cut = corpus, cut
        self._batch_size, self._seed = batch_size, seed

    def batch(self, step: int) -> Windows:
        """Return the windows of a step: every series as likely, every origin in it as well.

        A window's target ends before what is held out of its series; a short series gives targets
        whose end is NaN.
        """
        draw = np.random.Generator(np.random.Philox(key=np.array([self._seed, step], np.uint64)))
        rows = draw.integers(0, len(self._corpus), self._batch_size)
        starts = self._corpus.offsets[rows]
        stops = self._corpus.offsets[rows + 1] - self._cut.validation_steps
        first = starts + self._cut.min_context
        last = np.maximum(first, stops - self._cut.horizon)
        origins = draw.integers(first, last, endpoint=True)
        return self._gather(starts, origins, stops)

    def validation(self, most: int, rows: int) -> Iterator[Windows]:
        """Iterate over at most ``most`` of the windows held out, ``rows`` at a time.

        Each series' end is cut into windows of a horizon, each with all before it as context.
        """
        per_series = -(-self._cut.validation_steps // self._cut.horizon)
        total = len(self._corpus) * per_series
        chosen = np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)
        for part in range(0, len(chosen), rows):
            series, place = np.divmod(chosen[part : part + rows], per_series)
            starts, ends = self._corpus.offsets[series], self._corpus.offsets[series + 1]
            origins = ends - self._cut.validation_steps + place * self._cut.horizon
            yield self._gather(starts, origins, ends)

    def _gather(self, starts: IntArray, origins: IntArray, stops: IntArray) -> Windows:
        cut = self._cut
        firsts = np.maximum(starts, origins - cut.context_length)
        width = -(-int((origins - firsts).max()) // cut.patch_size) * cut.patch_size
        before = origins[:, None] + np.arange(-width, 0)
        after = origins[:, None] + np.arange(cut.horizon)
        return Windows(
            self._take(before, before >= firsts[:, None]), self._take(after, after < stops[:, None])
        )

    def _take(self, places: IntArray, inside: BoolArray) -> FloatArray:
        values = self._corpus.values[np.clip(places, 0, self._corpus.points - 1)]
        taken: FloatArray = np.where(inside, values, np.float32(np.nan))
        return taken
