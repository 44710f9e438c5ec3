"""Values that nobody means to give, and the errors of other libraries that they raise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gigacast.errors import GigacastError

FRAME = pd.DataFrame(
    {
        "item_id": "a",
        "timestamp": pd.date_range("2024-01-01", periods=20),
        "target": np.arange(20.0),
    }
)
VALUES = {
    "zero": 0, "negative": -1, "fraction": 1.5, "nan": float("nan"), "huge": 10**30, "true": True,
    "empty text": "", "NUL": "\0", "parent": "../x", "umlaut": "\u00e4", "surrogate": "\ud800",
    "long text": "x" * 5000, "bytes": b"x", "list": [1], "list of text": ["a"], "tuple": (),
    "dict": {"a": 1}, "set": set(), "object": object(), "function": len, "path": Path("/nowhere"),
    "NaT": pd.NaT, "array": np.array([1, 2]), "frame": pd.DataFrame(),
    "table": pa.table({"a": [1]}), "series": FRAME["target"], "none": None,
    "infinity": float("inf"), "complex": 1j, "digits": "9" * 400, "long number": 10**400,
    "numpy integer": np.int64(3), "numpy fraction": np.float64(2.5), "numpy NaN": np.float64("nan"),
    "numpy truth": np.bool_(True), "numpy text": np.str_("x"),
    "numpy day": np.datetime64("2024-01-01"),
}  # fmt: skip


def raw_errors(call: Callable[[Any], object]) -> dict[str, str]:
    """Return the errors of a call with each value that are not those of the package."""
    raw = {}
    for name, value in VALUES.items():
        try:
            call(value)
        except GigacastError:
            pass
        except Exception as error:
            raw[name] = f"{type(error).__name__}: {error}"
    return raw
