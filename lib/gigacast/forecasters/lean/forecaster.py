"""Chronos-Bolt as a `Forecaster`, run by the lean forward pass.

Its numbers equal those of the stock pipeline except for float32 rounding; see
docs/decisions/0004-lean-bolt-engine.md.
"""

from pathlib import Path

import torch
from torch import Tensor

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError
from gigacast.forecasters.config import is_adapter, read_model_config
from gigacast.forecasters.forecaster import ForecasterInfo, ModelFiles
from gigacast.forecasters.lean.forward import LeanBolt
from gigacast.forecasters.lean.input import has_empty_patch
from gigacast.forecasters.lean.loading import load_weights
from gigacast.forecasters.lean.shape import BoltShape, lean_engine, read_shape, runs_lean
from gigacast.forecasters.network.device import (
    DTYPES,
    resolve_device,
    resolve_precision,
    translate_memory_errors,
)
from gigacast.forecasters.network.forecaster import NetworkForecaster
from gigacast.forecasters.network.unrolling import Unrolling

MAX_TOKENS = 8_192
"""Maximum tokens (patches times series) that a CPU computes at once."""

MIN_TOKENS = 512
"""Pieces of fewer tokens are not divided further but filled up."""


def load_lean(files: ModelFiles) -> "LeanForecaster":
    """Load a Chronos-Bolt.

    Raises
    ------
    ConfigError
        If the device or precision is unknown, or the machine has no such device.
    ModelNotFoundError, ModelIntegrityError
        If the folder is missing or incomplete.
    ModelError
        If it holds another kind of model; `load_chronos` may be able to run it.
    MemoryError
        If the model does not fit into memory.
    """
    place = resolve_device(files.device)
    resolved = resolve_precision(files.precision, place)
    shape = _read_bolt_shape(files.folder)
    with translate_memory_errors():
        weights = load_weights(files.folder, shape, place, DTYPES[resolved])
        model = LeanBolt(weights, shape, place, DTYPES[resolved])
    info = ForecasterInfo(
        name=files.name,
        version=files.version,
        digest=files.digest,
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
    model : LeanBolt
    device : torch.device
        Device of the model's weights.
    """

    def __init__(self, info: ForecasterInfo, model: LeanBolt, device: torch.device) -> None:
        super().__init__(info, device, centre=True)
        self._model = model

    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return quantiles at the trained levels, [B, K, H], unrolled beyond the first pass."""
        length, patch = self._info.prediction_length, self._info.patch_size
        horizon = request.horizon
        masked = has_empty_patch(request.context[:, -self._info.context_length :], patch)
        if horizon <= length:
            return self._pass(context, horizon, masked=masked)
        # Appended forecasts shift the patches unless their length is a multiple of a patch. A gap
        # that was divided between two patches may then fill a whole one, so a mask is needed.
        masked = masked or length % patch != 0
        unrolling = Unrolling(self._info.levels, self._info.context_length, length)
        return unrolling.forecast(
            context, horizon, lambda paths: self._pass(paths, length, masked=masked)
        )

    def _pass(self, context: Tensor, steps: int, *, masked: bool) -> Tensor:
        """Return the quantiles of one pass, [B, K, steps]; on a CPU computed in pieces."""
        # Only oneDNN compiles products by size; a GPU gets the whole batch at once.
        if self._device.type != "cpu":
            return self._model(context, steps, masked=masked)
        tokens = -(-context.shape[1] // self._info.patch_size)
        sizes = piece_sizes(len(context), tokens)
        # Filled up with copies of the last row, whose results are cut off again.
        if excess := sum(sizes) - len(context):
            context = torch.cat([context, context[-1:].expand(excess, -1)])
        parts = [self._model(piece, steps, masked=masked) for piece in torch.split(context, sizes)]
        return torch.cat(parts)[: len(context) - excess]


def piece_sizes(rows: int, tokens: int) -> list[int]:
    """Return the sizes of the pieces in which ``rows`` of ``tokens`` each are computed.

    All sizes are powers of two. oneDNN compiles every product again for every new number of rows,
    which takes as long as forecasting a hundred series, so only few sizes may occur. Measured over
    batches of random sizes: 5,600 series/s instead of 4,200 (docs/decisions, 0004).
    Pieces are as large as `MAX_TOKENS` allows. The remainder is halved down to `MIN_TOKENS`, unless
    filling up a piece wastes less than an eighth of it.
    """
    size = _power_of_two(MAX_TOKENS // tokens)
    smallest = _power_of_two(MIN_TOKENS // tokens)
    if rows < smallest:
        return [1 << (rows - 1).bit_length()]
    sizes = []
    while rows > 0:
        while size > smallest and rows <= size - size // 8:
            size //= 2
        sizes.append(size)
        rows -= size
    return sizes


def _power_of_two(limit: int) -> int:
    """Return the largest power of two up to a limit, at least 1."""
    return 1 << max(0, limit.bit_length() - 1)


def _read_bolt_shape(folder: Path) -> BoltShape:
    """Return the shape of a model that the lean forward can run; raise `ModelError` for others."""
    config = read_model_config(folder)
    if is_adapter(folder):
        raise ModelError(
            f"{folder} holds a LoRA adapter, not a model",
            hint="merge it into its base model and save that",
        )
    if not runs_lean(config):
        raise ModelError(f"the model in {folder} is no Chronos-Bolt with ReLU: use load_chronos")
    try:
        return read_shape(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: config.json is incomplete: {error!r}") from error
