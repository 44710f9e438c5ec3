"""Checkpoints of a training run and the resulting model folder, both written atomically."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import safetensors
import safetensors.torch
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from transformers import T5Config

from gigacast.errors import ConfigError, ModelIntegrityError
from gigacast.forecasters.chronos.loading import quiet
from gigacast.trainers.disk import disk_errors
from gigacast.trainers.pretraining.config import InitialSettings, ModelShape

LATEST = "latest.pt"
BEFORE_DECAY = "before-decay.pt"
"""Checkpoint from which a pretraining can be prolonged after its learning rate has decayed."""


class Resumable(Protocol):
    """Settings of a run that can be resumed."""

    def resume_digest(self) -> str:
        """Return the digest of the settings that a resumed run must share with its checkpoint."""
        ...


def build_model(shape: ModelShape) -> ChronosBoltModelForForecasting:
    """Return a randomly initialised model of the stock class; torch's seed determines it."""
    size = shape.model_dump(
        exclude={"context_length", "patch_size", "prediction_length", "quantiles"}
    )
    config = T5Config(
        **size,
        # Two tokens: the decoder's start token, which is also the padding, and the REG token.
        vocab_size=2,
        feed_forward_proj="relu",
        dropout_rate=0.0,
        pad_token_id=0,
        decoder_start_token_id=0,
        eos_token_id=1,
        is_encoder_decoder=True,
        use_cache=False,
        architectures=["ChronosBoltModelForForecasting"],
        chronos_pipeline_class="ChronosBoltPipeline",
        chronos_config={
            "context_length": shape.context_length,
            "prediction_length": shape.prediction_length,
            "input_patch_size": shape.patch_size,
            "input_patch_stride": shape.patch_size,
            "quantiles": list(shape.quantiles),
            "use_reg_token": True,
        },
    )
    return ChronosBoltModelForForecasting(config)


def load_initial(model: torch.nn.Module, initial: InitialSettings) -> None:
    """Give a model the weights of a folder, after a check of their digest.

    Raises
    ------
    ModelIntegrityError
        If the file cannot be read, has another digest, or is of another shape.
    """
    path = initial.folder / "model.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelIntegrityError(
            f"the initial weights {path} cannot be read: {error}",
            hint="initial.folder is the folder of a model",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != initial.sha256:
        raise ModelIntegrityError(
            f"the initial weights {path} have the SHA-256 {found}, not {initial.sha256}",
            hint="give the weights that the settings name",
        )
    try:
        weights = safetensors.torch.load(content)
        # Files name weights that layers share once: the others of such a name are filled in.
        own = model.state_dict(keep_vars=True)
        shared = {id(own[name]): weights[name] for name in weights if name in own}
        weights |= {name: shared[id(w)] for name, w in own.items() if id(w) in shared}
        model.load_state_dict(weights)
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise ModelIntegrityError(
            f"the initial weights {path} do not fit the model: {error}",
            hint="model.* must be the shape of the initial model",
        ) from error


def save_checkpoint(folder: Path, state: dict[str, Any], name: str = LATEST) -> None:
    """Write a checkpoint of tensors and numbers; a kill leaves the old or the new one.

    Raises
    ------
    StorageError
        If the disk is full; the old checkpoint is kept.
    """
    temporary = folder / f"{name}.{os.getpid()}.tmp"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                # The bytes must be on the disk before the rename is: otherwise a power failure
                # could leave the new name with an empty file.
                os.fsync(file.fileno())
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)


def load_checkpoint(folder: Path, config: Resumable) -> dict[str, Any] | None:
    """Return the last checkpoint, or None if there is none.

    Raises
    ------
    ModelIntegrityError
        If the file cannot be read.
    ConfigError
        If it was made with other settings.
    """
    path = folder / LATEST
    if not path.exists():
        return None
    # `weights_only` because unpickling can run code; on the CPU so that a run can be resumed on a
    # machine with another device.
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise ModelIntegrityError(
            f"the checkpoint {path} cannot be read: {error}", hint="delete it to start anew"
        ) from error
    if state.get("resume_digest") != config.resume_digest():
        raise ConfigError(
            f"the checkpoint {path} was made with other settings",
            hint="resume with the settings it was made with, or name an empty folder",
        )
    return state


def export(model: torch.nn.Module, output_dir: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` for the stock classes, in float32.

    Raises
    ------
    StorageError
        If the disk is full.
    """
    with disk_errors(output_dir), quiet():
        output_dir.mkdir(parents=True, exist_ok=True)
        staging = output_dir / f".staging-{os.getpid()}"
        try:
            model.save_pretrained(staging)  # type: ignore[operator]
            # The configuration last: a folder without it is not taken for a model.
            for name in ("model.safetensors", "config.json"):
                (staging / name).replace(output_dir / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
