"""Chronos-Bolt as a `Forecaster`, run by the lean forward pass.

Its numbers equal those of the stock pipeline except for float32 rounding; see
docs/decisions/0004-lean-bolt-engine.md.
"""

import torch
from torch import Tensor

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import ForecasterInfo, ModelFiles
from gigacast.forecasters.lean.forward import LeanBolt
from gigacast.forecasters.lean.loading import describe_bolt, read_bolt_shape, read_fused
from gigacast.forecasters.lean.pieces import has_empty_patch, piece_sizes
from gigacast.forecasters.lean.shape import lean_engine
from gigacast.forecasters.lean.weights import place_weights
from gigacast.forecasters.network.device import (
    DTYPES,
    resolve_device,
    resolve_precision,
    translate_memory_errors,
)
from gigacast.forecasters.network.forecaster import NetworkForecaster
from gigacast.forecasters.network.graphs import GraphedPass, Pass
from gigacast.forecasters.network.unrolling import Unrolling


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
    shape = read_bolt_shape(files.folder)
    with translate_memory_errors():
        fused = read_fused(files.folder, shape)
        weights = place_weights(fused, len(shape.levels), place, DTYPES[resolved])
        model = LeanBolt(weights, shape, place, DTYPES[resolved])
    info = describe_bolt(files, shape, engine=lean_engine(), device=place.type, precision=resolved)
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
        self._whole: Pass = GraphedPass(model) if device.type == "cuda" else model

    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return quantiles at the trained levels, [B, K, H], unrolled beyond the first pass."""
        length, patch = self._info.prediction_length, self._info.patch_size
        horizon = request.horizon
        recent = request.context[:, -self._info.context_length :]
        masked = request.exact or has_empty_patch(recent, patch)
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
            return self._whole(context, steps, masked=masked)
        tokens = -(-context.shape[1] // self._info.patch_size)
        sizes = piece_sizes(len(context), tokens)
        # Filled up with copies of the last row, whose results are cut off again.
        if excess := sum(sizes) - len(context):
            context = torch.cat([context, context[-1:].expand(excess, -1)])
        parts = [self._model(piece, steps, masked=masked) for piece in torch.split(context, sizes)]
        return torch.cat(parts)[: len(context) - excess]
