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

if TYPE_CHECKING:
    from gigacast.api import Options, forecast, plan, read_forecasts
    from gigacast.backtesting import backtest, evaluate
    from gigacast.errors import GigacastError
    from gigacast.loader import ChronosLoader, Prediction
    from gigacast.manager import ModelManager
    from gigacast.parquet_loader import ParquetDataLoader
    from gigacast.training import ChronosTrainer, TrainOptions, finetune

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
    "evaluate",
    "finetune",
    "forecast",
    "plan",
    "read_forecasts",
]

_HOMES = {
    "ChronosLoader": "gigacast.loader",
    "ChronosTrainer": "gigacast.training",
    "GigacastError": "gigacast.errors",
    "ModelManager": "gigacast.manager",
    "Options": "gigacast.api",
    "ParquetDataLoader": "gigacast.parquet_loader",
    "Prediction": "gigacast.loader",
    "TrainOptions": "gigacast.training",
    "backtest": "gigacast.backtesting",
    "evaluate": "gigacast.backtesting",
    "finetune": "gigacast.training",
    "forecast": "gigacast.api",
    "plan": "gigacast.api",
    "read_forecasts": "gigacast.api",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)


class _Face(ModuleType):
    """The package, but for one thing: importing the subpackage ``forecast`` hides no function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "forecast" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
