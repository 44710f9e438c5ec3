"""The configuration of a Chronos model, read from its folder without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gigacast.errors import ModelError, ModelIntegrityError, ModelNotFoundError

ADAPTER_CONFIG, BASE = "adapter_config.json", "base"
"""What makes a folder a LoRA adapter's, and where its base lies below it."""


def read_model_config(folder: Path) -> Mapping[str, Any]:
    """Return the ``config.json`` of a Chronos model; that of its base for a LoRA adapter.

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError, ModelError
    """
    path = base_folder(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelNotFoundError(f"no model in {folder}: config.json can't be read") from error
    except ValueError as error:
        raise ModelIntegrityError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or "chronos_config" not in config:
        raise ModelError(f"the model in {folder} is not of the Chronos family")
    return config


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds a LoRA adapter."""
    return (folder / ADAPTER_CONFIG).exists()


def base_folder(folder: Path) -> Path:
    """Return where a model's own weights lie: below an adapter, or in the folder itself.

    Raises
    ------
    ModelError
        When an adapter stands without its base.
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
