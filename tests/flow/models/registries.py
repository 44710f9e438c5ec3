"""The commands of a registry, and scaled models."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gigacast.cli.program import run
from gigacast.storage.store import Store

Capture = pytest.CaptureFixture[str]


def models_command(bucket: Store, *words: str) -> int:
    return run(["models", *words, "--bucket", bucket.address.url])


def models_json(bucket: Store, capsys: Capture, *words: str) -> object:
    capsys.readouterr()
    assert models_command(bucket, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def scaled(source: Path, target: Path, factor: float) -> Path:
    """Copy a model with its output layer scaled: its forecasts move, and only a little."""
    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    for name in weights:
        if "output_patch_embedding" in name:
            weights[name] = weights[name] * np.float32(factor)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target
