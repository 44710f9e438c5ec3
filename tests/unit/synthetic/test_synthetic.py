"""The synthetic generator: reproducible by seed and index, composed by the mixture."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gigacast.errors import ConfigError
from gigacast.synthetic import FAMILIES, Mixture, generate


def test_a_series_depends_on_seed_and_index_only() -> None:
    full = generate(1200, 64, seed=3)
    part = generate(300, 64, seed=3, start=700)
    assert_array_equal(part.values, full.values[700:1000])
    assert_array_equal(part.families, full.families[700:1000])


def test_another_seed_gives_other_series() -> None:
    first, second = generate(50, 64, seed=1).values, generate(50, 64, seed=2).values
    assert not np.array_equal(first, second, equal_nan=True)


def test_values_are_float32_and_never_infinite() -> None:
    values = generate(2048, 576, seed=11).values
    assert values.shape == (2048, 576)
    assert values.dtype == np.float32
    assert not np.isinf(values).any()


@pytest.mark.parametrize("length", [16, 17, 100, 700])
def test_every_length_can_be_generated(length: int) -> None:
    assert generate(520, length, seed=5).values.shape == (520, length)


def test_a_count_of_zero_is_valid() -> None:
    batch = generate(0, 32, seed=5)
    assert batch.values.shape == (0, 32)
    assert batch.families.shape == (0,)


def test_families_are_drawn_by_their_shares() -> None:
    mixture = Mixture(shares={"trend": 3.0, "counts": 1.0})
    families = generate(4096, 16, seed=1, mixture=mixture).families
    assert set(families.tolist()) == {"trend", "counts"}
    assert np.mean(families == "trend") == pytest.approx(0.75, abs=0.03)


def test_the_default_mixture_is_mostly_seasonal() -> None:
    shares = Mixture().shares
    assert set(shares) < set(FAMILIES)
    seasonal = ("calendar", "harmonics", "profile", "evolving", "multiplicative", "waves")
    assert sum(shares[name] for name in seasonal) / sum(shares.values()) > 0.5


def test_nothing_is_missing_unless_the_mixture_says_so() -> None:
    assert np.isfinite(generate(600, 128, seed=2, mixture=Mixture.of(*FAMILIES)).values).all()


def test_missing_stretches_and_late_starts_have_the_requested_shares() -> None:
    clean = {"superpose": 0.0, "noisy": 0.0, "outliers": 0.0, "rounded": 0.0}
    gaps = Mixture(shares={"trend": 1.0}, missing=1.0, shortened=0.0, **clean)
    late = Mixture(shares={"trend": 1.0}, missing=0.0, shortened=1.0, **clean)
    gap = np.isnan(generate(512, 256, seed=4, mixture=gaps).values)
    start = np.isnan(generate(512, 256, seed=4, mixture=late).values)
    assert np.mean(gap.any(axis=1)) > 0.9
    assert 0.02 < gap.mean() < 0.3
    assert_array_equal(start, np.minimum.accumulate(start, axis=1))
    assert not start[:, -256 // 8 :].any()


def test_a_share_is_rounded_to_whole_numbers() -> None:
    mixture = Mixture({"harmonics": 1.0}, 0.0, 0.0, 0.0, 0.0, 0.0, rounded=1.0)
    values = generate(256, 64, seed=4, mixture=mixture).values
    assert_array_equal(values, np.rint(values))


def test_the_series_of_a_seed_stay_what_they_were() -> None:
    # Written down when the generator had 18 families and no share of mirrored series.
    values = generate(2000, 576, seed=7).values
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == "6057f01a041819e6"


def test_a_share_of_the_series_is_mirrored() -> None:
    def signs(mirrored: float) -> float:
        plain = {"superpose": 0.0, "noisy": 0.0, "outliers": 0.0, "missing": 0.0}
        growing = Mixture({"growth": 1.0}, shortened=0.0, mirrored=mirrored, **plain)
        values = generate(512, 64, seed=4, mixture=growing).values
        # Growth stays positive, and is skewed to the right.
        skewed = ((values - values.mean(axis=1, keepdims=True)) ** 3).mean(axis=1)
        return float(np.mean(skewed < 0))

    assert signs(0.9) - signs(0.1) > 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": -1, "length": 64, "seed": 0}, "0 or more"),
        ({"count": 1, "length": 8, "seed": 0}, "at least 16"),
        ({"count": 1, "length": 64, "seed": -4}, "0 or more"),
    ],
)
def test_a_wrong_request_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(**arguments)


def test_a_wrong_mixture_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown families \['jazz'\]"):
        generate(1, 64, seed=0, mixture=Mixture({"jazz": 1.0}))
    with pytest.raises(ConfigError, match=r"mixture\.shares"):
        Mixture({"trend": 0.0})
    with pytest.raises(ConfigError, match=r"mixture\.missing"):
        Mixture(missing=1.5)


def test_the_generator_needs_no_torch() -> None:
    program = "import sys, gigacast.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
