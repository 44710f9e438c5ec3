"""The configuration of a Chronos model, read without torch, and the name of its stock engine."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import (
    MissingExtraError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
)

ADAPTER_CONFIG, BASE = "adapter_config.json", "base"
"""The file that marks a folder as a LoRA adapter, and the subfolder of its base model."""

ENGINE_REVISION = 1
"""Increased whenever our code around the Chronos pipelines changes their numbers: the engine's name
is part of the spec, so forecasts of two revisions never mix in a run."""


def chronos_engine() -> str:
    """Return the engine name of the stock Chronos code, for models without a lean forward.

    Raises
    ------
    MissingExtraError
        If the stock code is not installed.
    """
    try:
        return f"chronos-{version('chronos-forecasting')}-r{ENGINE_REVISION}"
    except PackageNotFoundError as error:
        raise MissingExtraError(
            "this model runs in the stock Chronos code, which is not installed",
            hint="pip install 'gigacast[torch]'",
        ) from error


def read_model_config(folder: Path) -> Mapping[str, Any]:
    """Return the ``config.json`` of a Chronos model; for a LoRA adapter, that of its base.

    Raises
    ------
    ModelNotFoundError
        If the file cannot be read.
    ModelIntegrityError
        If it is not JSON.
    ModelError
        If it describes another kind of model, or an adapter has no base.
    """
    path = base_folder(folder) / "config.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelNotFoundError(f"no model in {folder}: config.json can't be read") from error
    config = decode_json(content, Source(str(path), ModelIntegrityError))
    if not isinstance(config, dict) or "chronos_config" not in config:
        raise ModelError(f"the model in {folder} is not of the Chronos family")
    return config


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds a LoRA adapter."""
    return (folder / ADAPTER_CONFIG).exists()


def base_folder(folder: Path) -> Path:
    """Return the folder of the base model's weights: a subfolder for an adapter, else the folder.

    Raises
    ------
    ModelError
        If an adapter has no base.
    """
    if not is_adapter(folder):
        return folder
    if not (folder / BASE / "config.json").exists():
        raise ModelError(
            f"{folder} holds a LoRA adapter without its base",
            hint="publish it with its base, and use that version: "
            "gigacast models publish FOLDER --base MODEL",
        )
    return folder / BASE
