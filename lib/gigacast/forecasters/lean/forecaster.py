"""Chronos-Bolt behind the `Forecaster` protocol, run by a forward pass of our own.

The numbers are those of the stock pipeline to float32 rounding; see ``docs/decisions``.
"""

from pathlib import Path

import torch
from torch import Tensor

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.lean.forward import LeanBolt
from gigacast.forecasters.lean.input import has_empty_patch
from gigacast.forecasters.lean.loading import load_weights
from gigacast.forecasters.lean.shape import BoltShape, lean_engine, read_shape, runs_lean
from gigacast.forecasters.network.device import (
    DTYPES,
    Precision,
    resolve_device,
    resolve_precision,
    translate_memory_errors,
)
from gigacast.forecasters.network.forecaster import NetworkForecaster
from gigacast.forecasters.network.unrolling import Unrolling

MOST_TOKENS = 8_192
"""Tokens (patches times series) a CPU is given at once."""

LEAST_TOKENS = 512
"""Tokens below which a piece is not divided further: it is filled up instead."""


def load_lean(
    folder: Path,
    *,
    name: str,
    version: str,
    digest: str,
    device: str = "auto",
    precision: Precision = "auto",
) -> "LeanForecaster":
    """Load a Chronos-Bolt from a folder.

    Parameters
    ----------
    folder : Path
        Holds ``config.json`` and ``*.safetensors``.
    name, version, digest : str
        What the registry calls it; reported in `ForecasterInfo`.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 where the hardware computes in it, else float32.

    Raises
    ------
    ConfigError
        When the device or precision is unknown or missing.
    ModelNotFoundError, ModelIntegrityError
        When the folder is missing or incomplete.
    ModelError
        When it holds another kind of model, which `load_chronos` may be able to run.
    MemoryError
        When the model does not fit into memory.
    """
    place = resolve_device(device)
    resolved = resolve_precision(precision, place)
    shape = _read_bolt(folder)
    with translate_memory_errors():
        weights = load_weights(folder, shape, place, DTYPES[resolved])
        model = LeanBolt(weights, shape, place, DTYPES[resolved])
    info = ForecasterInfo(
        name=name,
        version=version,
        digest=digest,
        engine=lean_engine(),
        device=place.type,
        precision=resolved,
        context_length=shape.context_length,
        prediction_length=shape.prediction_length,
        levels=shape.levels,
        patch_size=shape.patch_size,
    )
    return LeanForecaster(info, model, place)


class LeanForecaster(NetworkForecaster):
    """A loaded Chronos-Bolt; see `Forecaster`.

    Parameters
    ----------
    info : ForecasterInfo
        What it is.
    model : LeanBolt
        What computes.
    device : torch.device
        Where.
    """

    def __init__(self, info: ForecasterInfo, model: LeanBolt, device: torch.device) -> None:
        super().__init__(info, device, centre=True)
        self._model = model

    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return quantiles at the trained levels, [B, K, H], carrying on beyond the first pass."""
        length, patch = self._info.prediction_length, self._info.patch_size
        horizon = request.horizon
        masked = has_empty_patch(request.context[:, -self._info.context_length :], patch)
        if horizon <= length:
            return self._pass(context, horizon, masked=masked)
        masked = masked or length % patch != 0  # patches move, gaps may fill one
        unrolling = Unrolling(self._info.levels, self._info.context_length, length)
        return unrolling.forecast(
            context, horizon, lambda paths: self._pass(paths, length, masked=masked)
        )

    def _pass(self, context: Tensor, steps: int, *, masked: bool) -> Tensor:
        """Return one pass, [B, K, steps]; on a CPU in pieces of the few sizes that are fast."""
        if self._device.type != "cpu":
            return self._model(context, steps, masked=masked)
        tokens = -(-context.shape[1] // self._info.patch_size)
        sizes = piece_sizes(len(context), tokens)
        if excess := sum(sizes) - len(context):
            context = torch.cat([context, context[-1:].expand(excess, -1)])
        done = [self._model(piece, steps, masked=masked) for piece in torch.split(context, sizes)]
        return torch.cat(done)[: len(context) - excess]


def piece_sizes(rows: int, tokens: int) -> list[int]:
    """Return how many rows of ``tokens`` each to compute at once, one after the other.

    All are powers of two. oneDNN compiles each product anew for each number of rows it meets, which
    takes as long as forecasting a hundred series: so there are to be few such numbers. Pieces are
    as large as `MOST_TOKENS` allows; the rest is halved down to `LEAST_TOKENS`, unless filling up
    a piece wastes less than an eighth of it.
    """
    size = _power_of_two(MOST_TOKENS // tokens)
    least = _power_of_two(LEAST_TOKENS // tokens)
    if rows < least:
        return [1 << (rows - 1).bit_length()]
    sizes = []
    while rows > 0:
        while size > least and rows <= size - size // 8:
            size //= 2
        sizes.append(size)
        rows -= size
    return sizes


def _power_of_two(limit: int) -> int:
    """Return the largest power of two up to a limit, at least 1."""
    return 1 << max(0, limit.bit_length() - 1)


def _read_bolt(folder: Path) -> BoltShape:
    """Return the shape of a model the lean forward can run; refuse others."""
    config = read_model_config(folder)
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} holds a LoRA adapter, not a model",
            hint="merge it into its base model and save that",
        )
    if not runs_lean(config):
        raise ModelError(f"the model in {folder} is no Chronos-Bolt with ReLU: use load_chronos")
    try:
        return read_shape(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: config.json lacks something: {error!r}") from error
