"""Small training runs: options, panels and the command."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

Capture = pytest.CaptureFixture[str]

QUICK = {
    "horizon": 12,
    "context_length": 48,
    "steps": 6,
    "batch_size": 8,
    "validate_every": 3,
    "checkpoint_every": 2,
    "learning_rate": 2e-3,
    "precision": "float32",
    "device": "cpu",
}


def make_bucket(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


def panel(start: str, steps: int, items: str = "abcdef") -> pd.DataFrame:
    """A panel with a strong daily season, that goes on from one month to the next."""
    times = pd.date_range(start, periods=steps, freq="h")
    hours = (times - pd.Timestamp("2024-01-01")) / pd.Timedelta(hours=1)
    frames = [
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": times,
                "target": 10.0 * n + 5 * np.sin((hours + n) * 2 * np.pi / 24),
            }
        )
        for n, item in enumerate(items)
    ]
    return pd.concat(frames, ignore_index=True)


def keys(store: Store, prefix: str = "models/") -> list[str]:
    return sorted(meta.key for page in store.list(prefix) for meta in page)
