"""The Chronos family as `Forecaster`: Bolt, Chronos-2 and T5, with the stock networks.

This module loads torch and chronos, so it is imported only where a model is about to run.
"""

from pathlib import Path

import torch
from chronos import BaseChronosPipeline, Chronos2Pipeline, ChronosBoltPipeline, ChronosPipeline
from torch import Tensor

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError
from gigacast.forecasters.chronos.bolt import BoltModel
from gigacast.forecasters.chronos.chronos2 import Chronos2Model
from gigacast.forecasters.chronos.loading import load_pipeline
from gigacast.forecasters.chronos.t5 import T5Model
from gigacast.forecasters.config import chronos_engine, read_model_config
from gigacast.forecasters.forecaster import ForecasterInfo, ModelFiles
from gigacast.forecasters.network.device import (
    DTYPES,
    resolve_device,
    resolve_precision,
    set_threads,
)
from gigacast.forecasters.network.forecaster import NetworkForecaster
from gigacast.forecasters.network.unrolling import empirical_quantiles

__all__ = ["ChronosForecaster", "load_chronos", "set_threads"]

Model = BoltModel | Chronos2Model | T5Model


def load_chronos(files: ModelFiles) -> "ChronosForecaster":
    """Load a model of the Chronos family.

    Raises
    ------
    ConfigError
        If the device or precision is unknown, or the machine has no such device.
    ModelError
        If the folder holds no model that can be trusted and used; see `load_pipeline`.
    MemoryError
        If the model does not fit into memory.
    """
    place = resolve_device(files.device)
    precision = files.precision
    if precision == "auto" and _samples(files.folder):
        precision = "float32"
    resolved = resolve_precision(precision, place)
    model = _wrap(load_pipeline(files.folder, place, DTYPES[resolved]))
    info = ForecasterInfo(
        name=files.name,
        version=files.version,
        digest=files.digest,
        engine=chronos_engine(),
        device=place.type,  # without its index, so that processes on all GPUs share a spec
        precision=resolved,
        context_length=model.context_length,
        prediction_length=model.prediction_length,
        levels=model.levels,
        patch_size=model.patch_size,
        samples=model.samples,
        takes_groups=isinstance(model, Chronos2Model),
    )
    return ChronosForecaster(info, model, place)


class ChronosForecaster(NetworkForecaster):
    """A loaded model of the Chronos family; see `Forecaster`.

    Parameters
    ----------
    info : ForecasterInfo
    model : BoltModel, Chronos2Model or T5Model
    device : torch.device
        Device of the model's weights.
    """

    def __init__(self, info: ForecasterInfo, model: Model, device: torch.device) -> None:
        super().__init__(info, device, centre=model.centres)
        self._model = model

    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return quantiles, [B, K, H]: at the trained levels, or from samples at the requested."""
        if isinstance(self._model, Chronos2Model):
            return self._model.quantiles(context, request.horizon, request.group_size, future)
        if isinstance(self._model, T5Model):
            paths = self._model.paths(context, request.horizon, request.seeds)
            return empirical_quantiles(paths.to(self._device), request.levels)
        return self._model.quantiles(context, request.horizon)


def _samples(folder: Path) -> bool:
    """Return whether the folder holds an original Chronos model (T5), which draws samples."""
    # The stock loader takes a model that names no class for an original Chronos, too.
    kind = read_model_config(folder).get("chronos_pipeline_class", ChronosPipeline.__name__)
    return bool(kind == ChronosPipeline.__name__)


def _wrap(pipeline: BaseChronosPipeline) -> Model:
    if isinstance(pipeline, ChronosBoltPipeline):
        return BoltModel(pipeline)
    if isinstance(pipeline, Chronos2Pipeline):
        return Chronos2Model(pipeline)
    if isinstance(pipeline, ChronosPipeline):
        return T5Model(pipeline)
    raise ModelError(f"Chronos models of the kind {type(pipeline).__name__} are not supported")
