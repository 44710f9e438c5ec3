"""Gigacast turns a bucket of time series into a bucket of probabilistic forecasts.

>>> import gigacast
>>> callable(gigacast.forecast)
True

The names are imported when they are first used, so that a worker process starts with what it needs.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gigacast.core.lazy import lazy_names
from gigacast.core.version import VERSION as __version__  # noqa: F401, N811 - the usual name

if TYPE_CHECKING:
    from gigacast.anomalies.api import detect_anomalies
    from gigacast.backtesting.api import backtest, evaluate
    from gigacast.errors import GigacastError
    from gigacast.forecasting.api.drawing import plot
    from gigacast.forecasting.api.functions import forecast, plan, read_forecasts
    from gigacast.forecasting.api.loader import ChronosLoader, Prediction
    from gigacast.models.api import ModelManager
    from gigacast.parquet_loader import ParquetDataLoader
    from gigacast.reconciling.api import reconcile
    from gigacast.selection.api import select_model
    from gigacast.settings.keywords import Options
    from gigacast.training.api import ChronosTrainer, finetune
    from gigacast.training.keywords import TrainOptions

__all__ = [
    "ChronosLoader",
    "ChronosTrainer",
    "GigacastError",
    "ModelManager",
    "Options",
    "ParquetDataLoader",
    "Prediction",
    "TrainOptions",
    "backtest",
    "detect_anomalies",
    "evaluate",
    "finetune",
    "forecast",
    "plan",
    "plot",
    "read_forecasts",
    "reconcile",
    "select_model",
]

_HOMES = {
    "ChronosLoader": "gigacast.forecasting.api.loader",
    "ChronosTrainer": "gigacast.training.api",
    "GigacastError": "gigacast.errors",
    "ModelManager": "gigacast.models.api",
    "Options": "gigacast.settings.keywords",
    "ParquetDataLoader": "gigacast.parquet_loader",
    "Prediction": "gigacast.forecasting.api.loader",
    "TrainOptions": "gigacast.training.keywords",
    "backtest": "gigacast.backtesting.api",
    "detect_anomalies": "gigacast.anomalies.api",
    "evaluate": "gigacast.backtesting.api",
    "finetune": "gigacast.training.api",
    "forecast": "gigacast.forecasting.api.functions",
    "plan": "gigacast.forecasting.api.functions",
    "plot": "gigacast.forecasting.api.drawing",
    "read_forecasts": "gigacast.forecasting.api.functions",
    "reconcile": "gigacast.reconciling.api",
    "select_model": "gigacast.selection.api",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)


class _Face(ModuleType):
    """Type of this package: importing the subpackage ``forecast`` does not hide the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        # An import sets the subpackage as an attribute of its parent, under the function's name.
        if not (name == "forecast" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
