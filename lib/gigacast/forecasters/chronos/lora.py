"""Merge LoRA adapters into the model they were trained on: W + s B A.

A merged model costs no more to run than its base. Source: Hu et al., "LoRA: Low-Rank Adaptation of
Large Language Models" (2021). The files are those that peft writes; peft itself is needed for
training only.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import ModelError, ModelIntegrityError
from gigacast.forecasters.config import ADAPTER_CONFIG

WEIGHTS = "adapter_model.safetensors"
_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "alpha_pattern": ({}, None),
}
"""Settings that an adapter must have for this merge to be correct, with their accepted values."""


def merge_adapter(model: nn.Module, folder: Path) -> None:
    """Add an adapter's weights to those of its base.

    Parameters
    ----------
    model : nn.Module
        Base model in float32; changed in place.
    folder : Path
        Folder with ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises
    ------
    ModelIntegrityError
        If the files cannot be read or do not fit the base.
    ModelError
        If it is an adapter of another kind.
    """
    config = _read_config(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelIntegrityError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    downs = [name for name in tensors if name.endswith(_DOWN)]
    ups = {name.removesuffix(_DOWN) + _UP for name in downs}
    # Pairs of matrices and nothing else: another tensor would have to be merged in another way, and
    # leaving it out would give wrong forecasts without an error.
    if not downs or ups | set(downs) != set(tensors):
        unexpected = sorted(set(tensors) - ups - set(downs)) or ["no weights"]
        raise ModelIntegrityError(f"{folder / WEIGHTS} is no plain LoRA adapter: {unexpected[0]}")
    with torch.no_grad():
        for name in downs:
            module = name.removesuffix(_DOWN)
            _add(model, module, (tensors[name], tensors[module + _UP]), config, folder)


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / ADAPTER_CONFIG
    source = Source(str(path), ModelIntegrityError, "cannot be read")
    try:
        config: dict[str, Any] = decode_json(path.read_bytes(), source)
        kind, scale = config["peft_type"], float(config["lora_alpha"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelIntegrityError(f"{path} cannot be read: {error!r}") from error
    # Variants such as DoRA are merged by other formulas: applying the plain one gives wrong
    # numbers.
    unsupported = [name for name, plain in _PLAIN.items() if config.get(name) not in plain]
    if kind != "LORA" or not math.isfinite(scale) or unsupported:
        setting = f"peft_type {kind!r}"
        if unsupported:
            setting = f"{unsupported[0]}={config[unsupported[0]]!r}"
        raise ModelError(
            f"{folder}: an adapter with {setting} is not supported",
            hint="merge it into its base with peft (merge_and_unload) and publish that",
        )
    return config


def _add(
    model: nn.Module,
    module: str,
    pair: tuple[Tensor, Tensor],
    config: Mapping[str, Any],
    folder: Path,
) -> None:
    """Add the product of an adapter's two matrices to the weight of a module."""
    down, up = (part.to(torch.float32) for part in pair)
    rank = down.shape[0]
    # rsLoRA (Kalajdzievski 2023) divides by the root of the rank instead of the rank.
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    name = f"{module.removeprefix(_PREFIX)}.weight"
    try:
        weight = model.get_parameter(name)
        weight.add_((scale * (up @ down)).to(weight))
    except (AttributeError, RuntimeError) as error:
        raise ModelIntegrityError(
            f"{folder}: the adapter does not fit its base: {name}: {error}",
            hint="publish it with the base it was trained on: --base",
        ) from error
