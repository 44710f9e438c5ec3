"""Opening a model folder: what may be in it, and what torch is to make of it.

Only safetensors are read and no code that came with a model is run.
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


def load_pipeline(folder: Path, device: torch.device, dtype: torch.dtype) -> BaseChronosPipeline:
    """Load a model of the Chronos family with the stock pipeline.

    Parameters
    ----------
    folder : Path
        Holds ``config.json`` and one or more ``*.safetensors``; or a LoRA adapter, and such a
        folder below it, which come out as one model.
    device : torch.device
        Where the parameters go.
    dtype : torch.dtype
        Of the parameters.

    Returns
    -------
    BaseChronosPipeline
        In evaluation mode, without gradients.

    Raises
    ------
    ModelNotFoundError
        When the folder or its ``config.json`` is missing.
    ModelIntegrityError
        When the weights are missing, pickled, cut short or not those the configuration names.
    ModelError
        When it is a model of another kind.
    MemoryError
        When it does not fit into memory.
    """
    read_model_config(folder)
    base = base_folder(folder)
    stored = _stored_parameters(base)
    try:
        with translate_memory_errors(), quiet():
            pipeline = BaseChronosPipeline.from_pretrained(
                base,
                dtype=torch.float32 if is_adapter(folder) else dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
            model = pipeline.inner_model.to(device).eval().requires_grad_(False)
    except MemoryError:
        raise
    except Exception as error:  # whatever chronos and transformers make of a broken folder
        raise ModelIntegrityError(f"the model in {folder} cannot be loaded: {error}") from error
    _check_parameters(model, stored, base)
    if is_adapter(folder):
        merge_adapter(model, folder)
        model.to(dtype)
    return pipeline


def _stored_parameters(folder: Path) -> set[str]:
    """Return the names of all parameters in the folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
        found = f"only {', '.join(pickled)}" if pickled else "none"
        raise ModelIntegrityError(
            f"no safetensors weights in {folder}, {found}",
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
    """Refuse a model with parameters that came from no file: the stock loader makes them random."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    known = {tensor.data_ptr() for name, tensor in parameters.items() if name in stored}
    missing = [name for name, tensor in parameters.items() if tensor.data_ptr() not in known]
    if missing:
        raise ModelIntegrityError(
            f"the weights in {folder} lack {len(missing)} parameters, {missing[0]} among them"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, warnings and chatter of the libraries away; errors still come through."""
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
