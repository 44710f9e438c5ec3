"""Scales of the encoder's products in int8, found on a seeded synthetic corpus.

Only the encoder's products are computed in int8: they are nine tenths of the arithmetic. Embedding,
attention and head stay in float, where int8 would spoil the forecast. Scales are constants of the
model, never of a batch, so that a series' numbers do not depend on the others.

Activations have few columns of large values. Dividing each column by a factor that the weight's
column is multiplied by brings both into the range of int8 (Xiao et al., "SmoothQuant: Accurate and
Efficient Post-Training Quantization for Large Language Models", ICML 2023).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from gigacast.core.array import FloatArray, RealArray
from gigacast.forecasters.lean.fused import FusedBolt
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.plain.forward import PlainBolt, ProductPlace
from gigacast.synthetic import Mixture, generate

SEED = 20261130
SERIES = 48
LENGTHS = (512, 160, 48)
"""The corpus: as many series at each of these lengths, cut to the model's context."""

SHARES: Mapping[str, float] = {
    "calendar": 0.3,
    "harmonics": 0.15,
    "multiplicative": 0.1,
    "random_walk": 0.15,
    "trend": 0.1,
    "level_shifts": 0.05,
    "spikes": 0.05,
    "intermittent": 0.05,
    "counts": 0.05,
}
"""Written out, so that new families of the generator do not change the scales of a model."""

STEPS = 127
"""Steps of int8 on each side of zero; values that are never negative take twice as many and one."""

SIGNIFICANT_BITS = 8
"""Scales are rounded to these: another processor's last bits must not change them."""

SHRINKS = np.linspace(0.4, 1.0, 25)
"""Shares of the largest activation that are tried as the limit beyond which values are clipped."""


@dataclass(frozen=True, slots=True)
class ProductScales:
    """Scales of a product's activations.

    Parameters
    ----------
    smooth : float64 [I]
        Divides the columns of the activations, and multiplies those of the weight.
    limit : float
        Magnitude, after smoothing, that the largest step stands for.
    signed : bool
        Whether there are negative activations; behind a ReLU there are none.
    """

    smooth: RealArray
    limit: float
    signed: bool

    @property
    def steps(self) -> int:
        """Number of steps up to the limit."""
        return STEPS if self.signed else 2 * STEPS + 1

    def round(self, smoothed: RealArray) -> RealArray:
        """Return smoothed activations as int8 represents them."""
        step = self.limit / self.steps
        lowest = -self.steps if self.signed else 0
        rounded: RealArray = np.clip(np.rint(smoothed / step), lowest, self.steps) * step
        return rounded


@dataclass(frozen=True, slots=True)
class Int8Scales:
    """Scales of all products of an encoder.

    Parameters
    ----------
    products : mapping of ProductPlace to ProductScales
    error : float
        Mean difference that int8 makes to the quantiles of the corpus' second half, on which no
        scale was found, as a share of the mean distance between the outermost quantiles.
    """

    products: Mapping[ProductPlace, ProductScales]
    error: float

    @property
    def digest(self) -> str:
        """First 16 digits of the SHA-256 of all scales."""
        parts = hashlib.sha256()
        for place, scales in sorted(self.products.items()):
            parts.update(f"{place} {scales.limit!r} {scales.signed} ".encode())
            parts.update(np.ascontiguousarray(scales.smooth, "<f8").tobytes())
        return parts.hexdigest()[:16]


def calibrate(weights: FusedBolt, shape: BoltShape) -> Int8Scales:
    """Return the scales of a model; the same on every machine.

    Parameters
    ----------
    weights : FusedBolt
    shape : BoltShape
    """
    # In float64, and rounded afterwards: float32 sums differ from processor to processor.
    exact = _as_float64(weights)
    contexts = [_corpus(min(length, shape.context_length)) for length in LENGTHS]
    observer = _Observer(exact, shape)
    for context in contexts:
        observer(context[::2], shape.prediction_length, masked=False)
    products = {place: _find_scales(rows, weight) for place, rows, weight in observer.products()}
    return Int8Scales(products, _error(exact, shape, products, [part[1::2] for part in contexts]))


def _corpus(length: int) -> FloatArray:
    """Return calibration series of a length, float32 [N, T], without missing values."""
    values = generate(SERIES, length, SEED, mixture=_complete()).values.astype(np.float64)
    spread = values.std(axis=1, keepdims=True)
    scaled = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    corpus: FloatArray = scaled.round(3).astype(np.float32)
    return corpus


def _complete() -> Mixture:
    return Mixture(shares=dict(SHARES), missing=0.0, shortened=0.0)


class _Observer(PlainBolt):
    """A Bolt that keeps a sample of the activations before each product of its encoder."""

    def __init__(self, weights: FusedBolt, shape: BoltShape) -> None:
        super().__init__(weights, shape)
        self._rows: dict[ProductPlace, list[RealArray]] = {}
        self._matrices: dict[ProductPlace, RealArray] = {}

    def _product(self, rows: RealArray, weight: RealArray, place: ProductPlace) -> RealArray:
        self._rows.setdefault(place, []).append(rows.copy())
        self._matrices[place] = weight
        return super()._product(rows, weight, place)

    def products(self) -> Iterator[tuple[ProductPlace, RealArray, RealArray]]:
        """Yield each product's place, its activations, [N, I], and its weight, [O, I]."""
        for place, parts in self._rows.items():
            yield place, np.concatenate(parts), self._matrices[place]


class SimulatedInt8(PlainBolt):
    """A Bolt that rounds the encoder's products as int8 does, in float arithmetic."""

    def __init__(
        self, weights: FusedBolt, shape: BoltShape, products: Mapping[ProductPlace, ProductScales]
    ) -> None:
        super().__init__(weights, shape)
        self._scales = products

    def _product(self, rows: RealArray, weight: RealArray, place: ProductPlace) -> RealArray:
        scales = self._scales[place]
        whole, step = quantise_weight(weight * scales.smooth)
        return super()._product(scales.round(rows / scales.smooth), whole * step, place)


def quantise_weight(smoothed: RealArray) -> tuple[RealArray, RealArray]:
    """Return a smoothed weight in steps, whole numbers [O, I], and the step of each row, [O, 1]."""
    step = np.abs(smoothed).max(axis=1, keepdims=True) / STEPS
    step = np.where(step > 0, step, 1.0)
    return np.rint(smoothed / step), step


def _find_scales(rows: RealArray, weight: RealArray) -> ProductScales:
    """Return the scales of a product for activations, [N, I], and a weight, [O, I]."""
    largest = np.abs(rows).max(axis=0)
    heaviest = np.abs(weight).max(axis=0)
    # A column that is zero everywhere needs no scale of its own.
    scalable = (largest > 0) & (heaviest > 0)
    factor = np.where(scalable, largest, 1.0) / np.where(scalable, heaviest, 1.0)
    smooth = _round_bits(np.sqrt(factor))
    smoothed = rows / smooth
    signed = bool(rows.min() < 0)
    # A limit below the largest value clips a few activations and rounds all others more finely.
    limits = _round_bits(max(np.abs(smoothed).max(), 1e-6) * SHRINKS)
    tried = [ProductScales(smooth, float(limit), signed) for limit in limits]
    errors = [np.square(scales.round(smoothed) - smoothed).mean() for scales in tried]
    return tried[int(np.argmin(errors))]


def _round_bits(values: RealArray) -> RealArray:
    """Return values rounded to few significant bits."""
    fraction, exponent = np.frexp(values)
    unit = 2.0**SIGNIFICANT_BITS
    rounded: RealArray = np.ldexp(np.rint(fraction * unit) / unit, exponent)
    return rounded


def _error(
    weights: FusedBolt,
    shape: BoltShape,
    products: Mapping[ProductPlace, ProductScales],
    contexts: list[RealArray],
) -> float:
    exact, rounded = PlainBolt(weights, shape), SimulatedInt8(weights, shape, products)
    moved = width = 0.0
    for context in contexts:
        truth = exact(context, shape.prediction_length, masked=False)
        moved += np.abs(rounded(context, shape.prediction_length, masked=False) - truth).mean()
        width += np.abs(truth[:, -1] - truth[:, 0]).mean()
    if not width > 0:
        return 0.0 if moved == 0 else float("inf")
    # Rounded as the scales are; one digit more says nothing.
    return float(np.round(moved / width, 4))


def _as_float64(value: Any) -> Any:
    """Return weights with every array in float64."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if isinstance(value, tuple):
        return tuple(map(_as_float64, value))
    if is_dataclass(value) and not isinstance(value, type):
        changes = {entry.name: _as_float64(getattr(value, entry.name)) for entry in fields(value)}
        return replace(value, **changes)
    return value
