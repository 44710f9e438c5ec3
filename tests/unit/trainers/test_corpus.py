"""The training corpus: written to disk, cut into windows, with held-out ends."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.series.holdout import hold_out
from gigacast.core.series.reason import Reason
from gigacast.errors import DataNotFoundError, SchemaError, StorageError
from gigacast.forecasters.grouping import Windows as SeenWindows
from gigacast.forecasters.grouping import gather_members
from gigacast.trainers.corpus import Corpus, CorpusWriter, Cut, WindowSource
from tests.support.tiny_models import series_batch

CUT = Cut(context_length=12, horizon=4, validation_steps=6, min_context=3, patch_size=4)
LEAST = 3 + 1 + 6


def corpus_of(folder: Path, *batches: object, least: int = LEAST) -> Corpus:
    with CorpusWriter(folder, least) as writer:
        for batch in batches:
            writer.add(batch)  # type: ignore[arg-type]
        return writer.finish()


def numbered(count: int = 5) -> list[np.ndarray]:
    """Series whose values say which they are and where: 1000 n + t."""
    return [1000.0 * n + np.arange(11 + 7 * n) for n in range(count)]


def test_series_are_written_in_order_over_batches(tmp_path: Path) -> None:
    series = numbered()
    corpus = corpus_of(tmp_path, series_batch(series[:2]), series_batch(series[2:]))
    assert len(corpus) == 5
    for n, values in enumerate(series):
        start, stop = corpus.offsets[n : n + 2]
        assert corpus.values[start:stop].tolist() == values.tolist()
    assert corpus.points == sum(map(len, series))


def test_unusable_series_are_left_out_and_counted(tmp_path: Path) -> None:
    long = np.arange(20.0)
    batch = series_batch([long, long[:9], long, long * 1e18], reasons=[0, 0, Reason.IRREGULAR, 0])
    corpus = corpus_of(tmp_path, batch)
    assert len(corpus) == 1
    assert corpus.skipped == {"too_short": 1, "irregular": 1, "not_finite": 1}


def test_too_short_series_are_an_error_with_the_needed_length(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="each needs 10 steps, the longest has 8") as info:
        corpus_of(tmp_path, series_batch([np.arange(8.0), np.arange(5.0)]))
    assert "2 too_short" in info.value.message
    assert "--validation_steps" in str(info.value.hint)


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, content: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    with CorpusWriter(tmp_path, LEAST) as writer:
        writer._values.close()
        monkeypatch.setattr(writer, "_values", Full())
        with pytest.raises(StorageError, match=r"no room to write .*No space left"):
            writer.add(series_batch([np.arange(20.0)]))


def windows_one_by_one(series: list[np.ndarray], origin: int, row: int) -> tuple[list, list]:
    """The slow obvious oracle of a window: at most 12 steps before, 4 after, none held out."""
    values = series[row]
    context = [values[t] for t in range(max(0, origin - 12), origin)]
    target = [values[t] for t in range(origin, origin + 4) if t < len(values) - 6]
    return context, target


def test_training_windows_equal_those_of_a_loop(tmp_path: Path) -> None:
    series = numbered()
    source = WindowSource(corpus_of(tmp_path, series_batch(series)), CUT, 64, seed=3)
    origins_drawn = set()
    for step in range(20):
        windows = source.batch(step)
        assert windows.context.shape[1] % 4 == 0
        for context, target in zip(windows.context, windows.target, strict=True):
            present = context[~np.isnan(context)].tolist()
            row, last = divmod(int(present[-1]), 1000)
            expected = windows_one_by_one(series, last + 1, row)
            assert (present, target[~np.isnan(target)].tolist()) == expected
            assert np.isnan(context[: len(context) - len(present)]).all()
            origins_drawn.add((row, last + 1))
    origins = {n: (3, max(3, len(values) - 6 - 4)) for n, values in enumerate(series)}
    assert origins_drawn == {(n, o) for n, (a, b) in origins.items() for o in range(a, b + 1)}


def test_the_held_out_end_is_never_trained_on(tmp_path: Path) -> None:
    series = [np.arange(30.0 + n) for n in range(8)]
    for values in series:
        values[-6:] = 1e6
    source = WindowSource(corpus_of(tmp_path, series_batch(series)), CUT, 256, seed=0)
    for step in range(50):
        windows = source.batch(step)
        assert np.nanmax(windows.context) < 1e6
        assert np.nanmax(windows.target) < 1e6


def test_validation_covers_the_held_out_end_with_all_earlier_steps_as_context(
    tmp_path: Path,
) -> None:
    source = WindowSource(corpus_of(tmp_path, series_batch([np.arange(30.0)])), CUT, 4, seed=0)
    (windows,) = source.validation(100, 64)
    assert windows.target[0].tolist() == [24, 25, 26, 27]
    assert windows.target[1, :2].tolist() == [28, 29]
    assert np.isnan(windows.target[1, 2:]).all()
    assert [row[-1] for row in windows.context] == [23, 27]


def test_validation_selects_windows_evenly_up_to_the_limit(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, series_batch([1000.0 * n + np.arange(20) for n in range(50)]))
    parts = list(WindowSource(corpus, CUT, 4, seed=0).validation(10, 4))
    rows = np.concatenate([part.target[:, 0] // 1000 for part in parts])
    assert [len(part.target) for part in parts] == [4, 4, 2]
    assert (rows[0], rows[-1]) == (0, 49)
    assert np.diff(rows).min() >= 4


def test_a_step_always_gives_the_same_windows(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, series_batch(numbered()))
    source, same_source = (WindowSource(corpus, CUT, 16, seed=9) for _ in range(2))
    for step in range(5):
        source.batch(step)
    np.testing.assert_array_equal(source.batch(7).context, same_source.batch(7).context)
    different = WindowSource(corpus, CUT, 16, seed=10).batch(7)
    assert not np.array_equal(different.target, same_source.batch(7).target, equal_nan=True)


def with_covariates(lengths: list[int], names: tuple[str, ...], known: int) -> SeriesBatch:
    """Series of two items, whose covariates say item, covariate and step, with steps ahead."""
    batch = series_batch([np.arange(float(length)) for length in lengths])
    ahead, start, blocks, ends = 3, 0, [], []
    for item, length in enumerate(lengths):
        steps = np.arange(length + ahead)
        blocks.append(np.stack([1000 * item + 100 * v + steps for v in range(len(names))]))
        ends.append(start + length)
        start += length + ahead
    sizes = [0, *(block.shape[1] for block in blocks)]
    covariates = Covariates(
        names=names,
        known=known,
        categories=(None,) * len(names),
        values=np.concatenate(blocks, axis=1).astype(np.float32),
        offsets=np.cumsum(sizes),
        ends=np.array(ends),
        items=np.arange(len(lengths)),
    )
    return replace(batch, covariates=covariates)


def test_covariates_are_written_step_by_step_beside_their_series(tmp_path: Path) -> None:
    batch = with_covariates([12, 5, 20], ("load", "price"), known=1)
    corpus = corpus_of(tmp_path, batch)
    assert (corpus.names, corpus.known, len(corpus)) == (("load", "price"), 1, 2)
    expected = [
        [1000.0 * item + 100 * v + step for v in range(2)]
        for item, length in ((0, 12), (2, 20))
        for step in range(length)
    ]
    assert corpus.covariates.tolist() == expected


def test_windows_have_known_covariates_ahead_and_past_ones_only_before(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, with_covariates([20], ("load", "price"), known=1))
    (windows,) = WindowSource(corpus, CUT, 4, 0).validation(8, 8)
    for context, past, future in zip(windows.context, windows.past, windows.future, strict=True):
        seen = np.isfinite(context)
        assert np.isnan(past[:, ~seen]).all()
        assert past[:, seen].tolist() == [context[seen].tolist(), (100 + context[seen]).tolist()]
        assert np.isnan(future[0]).all()
        ahead = 101 + context[-1] + np.arange(4)
        assert future[1, ahead < 120].tolist() == ahead[ahead < 120].tolist()
        assert np.isnan(future[1, ahead >= 120]).all()


def with_categories(length: int, texts: tuple[str, ...], seed: int = 0) -> SeriesBatch:
    """A series with a category that is known ahead, coded by its place among texts."""
    batch = with_covariates([length], ("load", "promotion"), known=1)
    assert batch.covariates is not None
    values = batch.covariates.values.copy()
    values[1] = np.random.default_rng(seed).integers(-1, len(texts), values.shape[1])
    covariates = replace(batch.covariates, categories=(None, texts), values=values)
    return replace(batch, covariates=covariates)


def test_categories_of_a_window_are_those_of_a_forecast_at_its_origin(tmp_path: Path) -> None:
    batch = with_categories(40, ("sale", "none", "advert"))
    corpus = corpus_of(tmp_path, batch)
    assert corpus.categories == (None, ("sale", "none", "advert"))
    (windows,) = WindowSource(corpus, CUT, 4, 0).validation(8, 8)
    context = hold_out(batch, 4, later=2).contexts
    starts = np.maximum(context.offsets[:-1], context.offsets[1:] - CUT.context_length)
    visible = SeenWindows(context, context.values, starts, context.offsets[1:])
    width = windows.context.shape[1]
    members = gather_members(visible, np.array([[0]]), context.covariates, width, CUT.horizon)
    assert members.future is not None
    np.testing.assert_array_equal(windows.past[0], members.context[1:])
    np.testing.assert_array_equal(windows.future[0], members.future[1:])
    assert np.isfinite(windows.future[0, 1]).all()


def test_nothing_after_an_origin_is_in_the_categories_of_its_window(tmp_path: Path) -> None:
    batch = with_categories(40, ("sale", "none"))
    later = replace(batch, values=np.where(np.arange(40) < 34, batch.values, 1e6))
    sides = []
    for name, series in (("as it was", batch), ("with another end", later)):
        (tmp_path / name).mkdir()
        (windows,) = WindowSource(corpus_of(tmp_path / name, series), CUT, 4, 0).validation(8, 8)
        sides.append((windows.past[0], windows.future[0]))
    for first, second in zip(*sides, strict=True):
        np.testing.assert_array_equal(first, second)


def test_texts_that_readers_number_differently_are_the_same_category(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path, 10) as writer:
        writer.add(with_categories(20, ("sale", "none")))
        writer.add(with_categories(20, ("none", "sale", "advert")))
        corpus = writer.finish()
    assert corpus.categories == (None, ("sale", "none", "advert"))
    own = [("sale", "none"), ("none", "sale", "advert")]
    for part, texts in enumerate(own):
        batch = with_categories(20, texts)
        assert batch.covariates is not None
        codes = batch.covariates.values[1, :20].astype(int)
        stored = corpus.covariates[20 * part : 20 * part + 20, 1].astype(int)
        named = [("sale", "none", "advert", "")[code] for code in stored]
        assert named == [(*texts, "")[code] for code in codes]


def test_texts_in_one_part_and_numbers_in_another_are_refused(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path, 10) as writer:
        writer.add(with_categories(20, ("sale", "none")))
        with pytest.raises(SchemaError, match="'promotion' has texts in some partitions"):
            writer.add(with_covariates([20], ("load", "promotion"), known=1))
