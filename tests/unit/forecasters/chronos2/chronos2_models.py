"""Random Chronos-2 models, and the stock network that the tests compare with."""

import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from chronos import Chronos2Pipeline
from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model
from transformers.utils import logging as transformers_logging

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.chronos.forecaster import ChronosForecaster, load_chronos
from gigacast.forecasters.chronos2.forecaster import LeanChronos2Forecaster, load_lean_chronos2
from gigacast.forecasters.forecaster import ModelFiles
from tests.support.tiny_models import CHRONOS2_LEVELS

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Size:
    """Widths of a Chronos-2."""

    d_model: int
    d_ff: int
    heads: int
    d_kv: int
    layers: int


SIZES = {
    "smallest": Size(32, 64, 4, 8, 2),
    "narrow heads": Size(64, 96, 2, 16, 3),
    "base": Size(768, 3072, 12, 64, 1),
}


def save_chronos2(root: Path, size: Size, **forecasting: object) -> Path:
    """Return the folder of a random Chronos-2, built once per root whichever process asks first."""
    settings = {
        "context_length": 512,
        "output_patch_size": 16,
        "input_patch_size": 16,
        "input_patch_stride": 16,
        "quantiles": list(CHRONOS2_LEVELS),
        "use_reg_token": True,
        "use_arcsinh": True,
        "max_output_patches": 4,
        **forecasting,
    }
    label = "-".join(str(value) for value in forecasting.values() if not isinstance(value, list))
    folder = root / f"lean-chronos2-{size.d_model}-{size.layers}-{label}"
    if not folder.exists():
        aside = Path(tempfile.mkdtemp(dir=root))
        _build(size, settings).save_pretrained(aside)
        try:
            aside.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(aside)
    return folder


@lru_cache(maxsize=32)
def load_ours(folder: Path, precision: str = "float32") -> LeanChronos2Forecaster:
    return load_lean_chronos2(ModelFiles(folder, "two", "1", "d", "cpu", precision))


@lru_cache(maxsize=32)
def load_theirs(folder: Path, precision: str = "float32") -> ChronosForecaster:
    return load_chronos(ModelFiles(folder, "two", "1", "d", "cpu", precision))


def request(
    context: Array,
    horizon: int = 40,
    *,
    group_size: int = 1,
    future: Array | None = None,
    exact: bool = False,
) -> ForecastRequest:
    rows = len(context)
    return ForecastRequest(
        context,
        horizon,
        CHRONOS2_LEVELS,
        np.ones(rows, np.int64),
        np.zeros(rows, np.uint64),
        group_size,
        future,
        exact,
    )


def stock(
    folder: Path,
    context: Array,
    horizon: int,
    *,
    group_size: int = 1,
    future: Array | None = None,
) -> Array:
    """Return one pass of the stock network in float32, [B, H, K], with nothing of ours."""
    model = _stock(folder).model
    patches = -(-horizon // model.chronos_config.output_patch_size)
    with torch.inference_mode():
        predicted = model(
            context=torch.from_numpy(context),
            num_output_patches=patches,
            group_ids=torch.arange(len(context)) // group_size,
            future_covariates=None if future is None else torch.from_numpy(future),
        ).quantile_preds
    return predicted[..., :horizon].transpose(1, 2).numpy()


@lru_cache(maxsize=16)
def _stock(folder: Path) -> Chronos2Pipeline:
    transformers_logging.disable_progress_bar()
    return Chronos2Pipeline.from_pretrained(folder, dtype=torch.float32)


def _build(size: Size, settings: dict[str, object]) -> Chronos2Model:
    transformers_logging.disable_progress_bar()
    config = Chronos2CoreConfig(
        d_model=size.d_model,
        d_kv=size.d_kv,
        d_ff=size.d_ff,
        num_layers=size.layers,
        num_heads=size.heads,
        chronos_config=settings,
        chronos_pipeline_class="Chronos2Pipeline",
        architectures=["Chronos2Model"],
    )
    model = Chronos2Model(config).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_draw(name, parameter, generator))
    return model


def _draw(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw weights of which each layer counts and none saturates."""
    values = torch.randn(parameter.shape, generator=generator)
    if "layer_norm" in name:
        return 1 + 0.2 * values
    if name.endswith("bias"):
        return 0.1 * values
    if "shared" in name:
        return values
    spread = parameter.shape[-1] ** -0.5
    # The outputs pass through a hyperbolic sine, which would make large ones huge.
    if "output_patch_embedding" in name:
        spread *= 0.3
    return values * (spread * 0.3 if ".q." in name else spread)
