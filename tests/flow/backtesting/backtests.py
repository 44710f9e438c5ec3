"""Small backtests, and the losses that they write."""

from typing import Any

import gigacast
from gigacast.backtesting.result import BacktestResult
from gigacast.storage.store import Store

LEVELS = [0.1, 0.5, 0.9]

OPTIONS: dict[str, Any] = {"horizon": 6, "quantiles": LEVELS}


def backtest(store: Store, *models: str, **options: Any) -> BacktestResult:
    named = models or ("seasonal-naive",)
    return gigacast.backtest(store.address.url, models=named, **{**OPTIONS, **options})


def files(store: Store, prefix: str) -> dict[str, bytes]:
    return {entry.key: store.get(entry.key) for page in store.list(prefix) for entry in page}
