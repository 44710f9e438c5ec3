"""Int8 scales of a model, kept in the cache of this machine because finding them takes seconds."""

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gigacast.core.cache import cache_folder
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import CorruptedFileError, ModelError
from gigacast.forecasters.lean.fused import FusedBolt
from gigacast.forecasters.lean.shape import INT8_REVISION, BoltShape
from gigacast.forecasters.openvino.int8 import Int8Scales, ProductScales, calibrate

TOLERANCE = 0.05
"""Largest `Int8Scales.error` of a model that is computed in int8."""


def read_scales(weights: FusedBolt, shape: BoltShape) -> Int8Scales:
    """Return the scales of a model: those in the cache, else found anew and cached.

    Raises
    ------
    ModelError
        If int8 changes the model's forecasts by more than `TOLERANCE`.
    """
    path = cache_folder("int8") / f"{_weights_digest(weights)}-r{INT8_REVISION}.json"
    scales = _load(path)
    if scales is None:
        scales = calibrate(weights, shape)
        # Without room for a cache the next process finds the scales again: nothing is lost.
        with suppress(OSError):
            _save(scales, path)
    # Written so that an error that is no number is refused as well.
    if not scales.error <= TOLERANCE:
        raise ModelError(
            f"precision: int8 changes the quantiles of this model by {scales.error:.1%} of their "
            f"spread, more than {TOLERANCE:.0%}",
            hint="use bfloat16 or float32",
        )
    return scales


@dataclass(frozen=True)
class _Entry:
    """Scales of a product as stored."""

    layer: int
    product: str
    smooth: list[float]
    limit: float
    signed: bool


@dataclass(frozen=True)
class _File:
    """Scales as stored, with their digest, by which damage is noticed."""

    error: float
    digest: str
    products: list[_Entry]


def _load(path: Path) -> Int8Scales | None:
    """Return cached scales; ``None`` if there are none or the file is damaged."""
    source = Source(str(path), CorruptedFileError)
    try:
        stored = read_record(_File, decode_json(path.read_bytes(), source), source)
    except (OSError, CorruptedFileError):
        return None
    products = {
        (entry.layer, entry.product): ProductScales(
            np.array(entry.smooth, np.float64), entry.limit, entry.signed
        )
        for entry in stored.products
    }
    scales = Int8Scales(products, stored.error)
    return scales if scales.digest == stored.digest else None


def _save(scales: Int8Scales, path: Path) -> None:
    entries = [
        _Entry(layer, product, entry.smooth.tolist(), entry.limit, entry.signed)
        for (layer, product), entry in scales.products.items()
    ]
    text = json.dumps(asdict(_File(scales.error, scales.digest, entries)))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: another process finds the whole file or none.
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".scales-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        raise


def _weights_digest(weights: FusedBolt) -> str:
    """Return the SHA-256 of the weights that the encoder's activations depend on."""
    parts = hashlib.sha256()
    embed = weights.embed
    tables = [weights.position, *(part.weight for part in (embed.hidden, embed.output, embed.skip))]
    for layer in weights.encoder:
        tables += [layer.joined, layer.output, layer.widen, layer.narrow]
    for table in tables:
        parts.update(np.ascontiguousarray(table).data)
    return parts.hexdigest()
