"""Gigacast turns a bucket of time series into a bucket of probabilistic forecasts.

>>> import gigacast
>>> callable(gigacast.forecast)
True

The names are imported when they are first used, so that a worker process starts with what it needs.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

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
    "ChronosLoader": "loader",
    "ChronosTrainer": "training",
    "GigacastError": "errors",
    "ModelManager": "manager",
    "Options": "api",
    "ParquetDataLoader": "parquet_loader",
    "Prediction": "loader",
    "TrainOptions": "training",
    "backtest": "backtesting",
    "evaluate": "backtesting",
    "finetune": "training",
    "forecast": "api",
    "plan": "api",
    "read_forecasts": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gigacast' has no attribute {name!r}")
    value = getattr(import_module(f"gigacast.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """The package, but for one thing: importing the subpackage ``forecast`` hides no function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "forecast" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
