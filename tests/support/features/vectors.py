"""Vectors of the feature store that lie beside the repository; tests skip where they do not."""

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[4] / "shared"
VECTORS = SHARED / "feature_store" / "vectors"


def read_vector(name: str) -> Any:
    """Return the content of a vector file, or skip the test."""
    file = VECTORS / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"the vectors of the feature store are not beside this repository: {name}")
    return json.loads(file.read_text(encoding="utf-8"))
