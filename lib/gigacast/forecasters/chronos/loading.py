"""Load a model folder with the stock pipeline.

Only safetensors are read, because pickled weights can run code when they are loaded, and code that
comes with a model is never run.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from chronos import BaseChronosPipeline
from safetensors import SafetensorError, safe_open
from transformers.utils import logging as transformers_logging

from gigacast.errors import ModelIntegrityError
from gigacast.forecasters.chronos.lora import merge_adapter
from gigacast.forecasters.config import base_folder, is_adapter, read_model_config
from gigacast.forecasters.network.device import translate_memory_errors

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
"""Files of weights in other formats, named in the error if there are no safetensors."""


def load_pipeline(folder: Path, device: torch.device, dtype: torch.dtype) -> BaseChronosPipeline:
    """Load a model of the Chronos family with the stock pipeline.

    Parameters
    ----------
    folder : Path
        Folder with ``config.json`` and one or more ``*.safetensors``; or a LoRA adapter with the
        folder of its base model, which are merged into one model.
    device : torch.device
        Device of the parameters.
    dtype : torch.dtype
        Type of the parameters.

    Returns
    -------
    BaseChronosPipeline
        In evaluation mode, without gradients.

    Raises
    ------
    ModelNotFoundError
        If the folder or its ``config.json`` is missing.
    ModelIntegrityError
        If the weights are missing, pickled, truncated or not those of the configuration.
    ModelError
        If it is a model of another kind.
    MemoryError
        If the model does not fit into memory.
    """
    read_model_config(folder)
    base = base_folder(folder)
    stored = _stored_parameters(base)
    try:
        with translate_memory_errors(), quiet():
            pipeline = BaseChronosPipeline.from_pretrained(
                base,
                # An adapter's small changes would be lost if they were added in bfloat16.
                dtype=torch.float32 if is_adapter(folder) else dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
            model = pipeline.inner_model.to(device).eval().requires_grad_(False)
    except MemoryError:
        raise
    except Exception as error:  # chronos and transformers raise many types for a broken folder
        raise ModelIntegrityError(f"the model in {folder} cannot be loaded: {error}") from error
    _check_parameters(model, stored, base)
    if is_adapter(folder):
        merge_adapter(model, folder)
        model.to(dtype)
    return pipeline


def _stored_parameters(folder: Path) -> set[str]:
    """Return the names of all parameters in a folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
        alternatives = f", only {', '.join(pickled)}" if pickled else ""
        raise ModelIntegrityError(
            f"no safetensors weights in {folder}{alternatives}",
            hint="pickled weights can run code when loaded: convert them to safetensors",
        )
    names: set[str] = set()
    for path in files:
        try:
            with safe_open(path, framework="pt") as handle:
                names.update(handle.keys())
        except (SafetensorError, OSError) as error:
            raise ModelIntegrityError(f"{path} is not a safetensors file: {error}") from error
    return names


def _check_parameters(model: torch.nn.Module, stored: set[str], folder: Path) -> None:
    """Check that all parameters come from a file: the stock loader fills missing ones randomly."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    # By address, because tied parameters have several names of which only one is stored.
    loaded = {tensor.data_ptr() for name, tensor in parameters.items() if name in stored}
    missing = [name for name, tensor in parameters.items() if tensor.data_ptr() not in loaded]
    if missing:
        raise ModelIntegrityError(
            f"the weights in {folder} lack {len(missing)} parameters, {missing[0]} among them"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress progress bars, warnings and log messages of the libraries; errors still pass."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
