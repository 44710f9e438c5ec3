"""Chronos-Bolt as a `Forecaster` without torch: contexts and passes on arrays."""

from collections.abc import Callable

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ConfigError, UnsupportedForecastError
from gigacast.forecasters.forecaster import ForecasterInfo, ModelFiles
from gigacast.forecasters.lean.loading import describe_bolt, read_bolt_shape, read_fused
from gigacast.forecasters.lean.pieces import has_empty_patch
from gigacast.forecasters.lean.shape import numpy_engine
from gigacast.forecasters.levels import interpolate_levels
from gigacast.forecasters.plain.centring import centre_arrays
from gigacast.forecasters.plain.forward import PlainBolt
from gigacast.forecasters.plain.unrolling import ArrayUnrolling

ArrayPass = Callable[..., FloatArray]
"""Computes one pass: contexts [B, T], steps and ``masked`` to quantiles [B, K, steps]."""

PIECE_TOKENS = 2_048
"""Tokens that NumPy computes at once: activations of more no longer fit into the cache."""


def load_plain(files: ModelFiles) -> "ArrayForecaster":
    """Load a Chronos-Bolt into NumPy.

    Raises
    ------
    ConfigError
        If the device is not the CPU or the precision not float32.
    ModelNotFoundError, ModelIntegrityError
        If the folder is missing or incomplete.
    ModelError
        If it holds another kind of model.
    """
    check_cpu(files, "numpy", ("float32",))
    shape = read_bolt_shape(files.folder)
    model = PlainBolt(read_fused(files.folder, shape), shape)
    info = describe_bolt(files, shape, engine=numpy_engine(), device="cpu", precision="float32")
    tokens = PIECE_TOKENS

    def compute(context: FloatArray, steps: int, *, masked: bool) -> FloatArray:
        size = max(1, tokens // -(-context.shape[1] // shape.patch_size))
        starts = range(0, len(context), size)
        parts = [model(context[row : row + size], steps, masked=masked) for row in starts]
        return np.concatenate(parts)

    return ArrayForecaster(info, compute)


def check_cpu(files: ModelFiles, engine: str, precisions: tuple[str, ...]) -> None:
    """Check that an engine of arrays is asked for what it can do.

    Raises
    ------
    ConfigError
        If the device is not the CPU, or the precision is none of the engine's.
    """
    if files.device not in ("auto", "cpu"):
        raise ConfigError(
            f"device: the engine {engine} runs on cpu only, not on {files.device}",
            hint="use --model_engine torch",
        )
    if files.precision not in ("auto", *precisions):
        raise ConfigError(
            f"precision: the engine {engine} computes in {', '.join(precisions)}, not in "
            f"{files.precision}",
            hint="choose another precision, or use --model_engine torch",
        )


class ArrayForecaster:
    """A loaded Chronos-Bolt that computes on arrays; see `Forecaster`.

    Parameters
    ----------
    info : ForecasterInfo
    compute : callable
        One pass of the network, see `ArrayPass`.
    """

    def __init__(self, info: ForecasterInfo, compute: ArrayPass) -> None:
        self._info = info
        self._compute = compute

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of this forecaster."""
        return self._info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        if request.horizon < 1:
            raise UnsupportedForecastError(f"horizon: {request.horizon} is less than 1")
        info, horizon = self._info, request.horizon
        recent = request.context[:, -info.context_length :]
        centred = centre_arrays(recent)
        masked = request.exact or has_empty_patch(recent, info.patch_size)
        if horizon <= info.prediction_length:
            raw = self._compute(centred.context, horizon, masked=masked)
        else:
            raw = self._unroll(centred.context, horizon, masked=masked)
        values = centred.from_model(raw).transpose(0, 2, 1)
        return interpolate_levels(values, info.levels, request.levels)

    def _unroll(self, context: FloatArray, horizon: int, *, masked: bool) -> FloatArray:
        info, length = self._info, self._info.prediction_length
        # Appended forecasts shift the patches unless their length is a multiple of a patch: a gap
        # that was divided between two patches may then fill a whole one.
        masked = masked or length % info.patch_size != 0
        unrolling = ArrayUnrolling(info.levels, info.context_length, length)
        return unrolling.forecast(
            context, horizon, lambda paths: self._compute(paths, length, masked=masked)
        )
