"""Seeds and uniform numbers: equal on every machine and independent of the batch."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.series.batch import SeriesBatch
from gigacast.forecasters.seed import series_seeds, uniform
from tests.support.tiny_models import series_batch


def named(items: list[str]) -> SeriesBatch:
    return series_batch([[1.0]] * len(items), items=items)


def slow_mix(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def slow_hash(text: str) -> int:
    raw = text.encode()
    terms = ((byte + 1) * 0x100000001B3**place for place, byte in enumerate(raw))
    return (sum(terms) + len(raw)) % 2**64


def test_seeds_equal_plain_integer_arithmetic():
    items = ["a", "Zürich", "", "x" * 300]
    expected = [
        slow_mix(slow_mix(slow_mix(5) ^ slow_hash(item)) ^ slow_hash("target")) for item in items
    ]
    assert series_seeds(named(items), 5).tolist() == expected


def test_seeds_are_the_same_numbers_on_every_machine():
    assert series_seeds(named(["a"])).tolist() == [13719932510630045880]


def test_seeds_do_not_depend_on_the_process():
    code = (
        "import numpy as np, pyarrow as pa\n"
        "from gigacast.forecasters.seed import _hash_texts\n"
        "print(_hash_texts(pa.array(['alpha', 'beta'])).tolist())"
    )
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        ).stdout
        for environment in environments
    }
    assert len(printed) == 1


def test_a_series_keeps_its_seed_in_any_slice():
    batch = named([f"item-{n}" for n in range(50)])
    assert np.array_equal(series_seeds(batch.slice(17, 31)), series_seeds(batch)[17:31])


def test_integer_ids_have_the_seed_of_their_text():
    batch = named(["12", "-7"])
    integers = SeriesBatch(
        pa.array([12, -7]), *(getattr(batch, name) for name in list(batch.__slots__)[1:])
    )
    assert np.array_equal(series_seeds(integers), series_seeds(batch))


def test_dictionary_ids_have_the_seed_of_their_text():
    batch = named(["b", "a", "b"])
    encoded = SeriesBatch(
        batch.item_ids.dictionary_encode(),
        *(getattr(batch, name) for name in list(batch.__slots__)[1:]),
    )
    assert np.array_equal(series_seeds(encoded), series_seeds(batch))


def test_another_target_or_another_seed_gives_another_stream():
    batch = named(["a"])
    other_batch = SeriesBatch(
        batch.item_ids,
        pa.array(["other"]),
        *(getattr(batch, name) for name in list(batch.__slots__)[2:]),
    )
    seeds = {*series_seeds(batch).tolist(), *series_seeds(other_batch).tolist()}
    assert len(seeds | set(series_seeds(batch, 1).tolist())) == 3


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=40, unique=True))
def test_different_ids_have_different_seeds(items: list[str]):
    assert len(set(series_seeds(named(items)).tolist())) == len(items)


def test_a_stream_can_be_read_from_any_position():
    seeds = np.array([1, 2, 2**64 - 1], np.uint64)
    assert np.array_equal(uniform(seeds, 30, 5), uniform(seeds, 0, 40)[:, 30:35])


def test_draws_are_uniform_and_uncorrelated_between_neighbouring_seeds():
    draws = uniform(np.arange(1000, dtype=np.uint64), 0, 200)
    counts, _ = np.histogram(draws, bins=50, range=(0, 1))
    assert abs(counts / 4000 - 1).max() < 0.08
    assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.01
