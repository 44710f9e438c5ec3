"""Model folders that take a millisecond to make, and registries to put them in: no torch needed.

The files have the form of a Chronos-Bolt model's; nothing can be forecast with them.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from gigacast.forecasters.proof import prove_readable
from gigacast.lake.model.registry import Registry
from gigacast.lake.publication import Author
from gigacast.models.publish import ModelDescription, Published, publish_folder
from gigacast.storage.store import Store

CONFIG = {
    "architectures": ["ChronosBoltModelForForecasting"],
    "chronos_pipeline_class": "ChronosBoltPipeline",
    "chronos_config": {
        "context_length": 512,
        "prediction_length": 64,
        "input_patch_size": 16,
        "quantiles": [0.1, 0.5, 0.9],
    },
}
ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": None}


def _ticks() -> Iterator[datetime]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return (start + timedelta(minutes=n) for n in itertools.count())


def author(who: str = "ann@desk") -> Author:
    """Return an author whose clock goes a minute further at every look."""
    ticks = _ticks()
    return Author(who, lambda: next(ticks))


def make_folder(folder: Path, content: int = 0, **config: object) -> Path:
    """Write a model folder; another ``content`` has other weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    weights = {"a": np.full((3, 4), content, np.float32), "b": np.zeros(5, np.float16)}
    save_file(weights, folder / "model.safetensors")
    return folder


def make_adapter(folder: Path, base: str | None) -> Path:
    """Write a LoRA adapter that names its base."""
    folder.mkdir(parents=True)
    named = {**ADAPTER, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(named))
    save_file({"lora": np.ones((2, 2), np.float32)}, folder / "adapter_model.safetensors")
    return folder


def publish(
    store: Store, folder: Path, name: str = "tiny", version: str = "v1.0", who: str = "ann@desk"
) -> Published:
    """Publish a folder, without proof that it can be used, which such a folder has not."""
    expected = ModelDescription(name, version)
    return publish_folder(Registry(store), folder, expected, author(who), prove=prove_readable)
