"""Random Bolts of the published widths, and the three ways to run one that the tests compare.

The weights are drawn so that activations, attention and outputs are of ordinary size: each layer
counts, and none of them saturates.
"""

import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from chronos import ChronosBoltPipeline
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from transformers import T5Config
from transformers.utils import logging as transformers_logging

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.chronos.forecaster import ChronosForecaster, load_chronos
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.lean.forecaster import LeanForecaster, load_lean

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Size:
    """Widths of a published Bolt; its layers are fewer here, for speed."""

    d_model: int
    d_ff: int
    heads: int
    layers: int


SIZES = {
    "tiny": Size(256, 1024, 4, 4),
    "mini": Size(384, 1536, 8, 2),
    "small": Size(512, 2048, 8, 1),
    "base": Size(768, 3072, 12, 1),
}
SMALLEST = Size(32, 64, 4, 2)
PUBLISHED_LAYERS = {"tiny": 4, "mini": 4, "small": 6, "base": 12}
"""Of the encoder, and as many of the decoder."""


def save_bolt(
    root: Path, size: Size, *, levels: tuple[float, ...] = TENTHS, **bolt: object
) -> Path:
    """Return the folder of a random Bolt, built once per root whichever process asks first."""
    settings = {
        "context_length": 2048,
        "prediction_length": 64,
        "input_patch_size": 16,
        "input_patch_stride": 16,
        "quantiles": list(levels),
        "use_reg_token": True,
        **bolt,
    }
    label = "-".join(str(value) for value in (*bolt.values(), len(levels)))
    folder = root / f"lean-{size.d_model}-{size.layers}-{label}"
    if not folder.exists():
        aside = Path(tempfile.mkdtemp(dir=root))
        _build(size, settings).save_pretrained(aside)
        try:
            aside.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(aside)
    return folder


@lru_cache(maxsize=32)
def load_ours(folder: Path, precision: str = "float32") -> LeanForecaster:
    return load_lean(ModelFiles(folder, "bolt", "1", "d", "cpu", precision))


@lru_cache(maxsize=32)
def load_theirs(folder: Path, precision: str = "float32") -> ChronosForecaster:
    return load_chronos(ModelFiles(folder, "bolt", "1", "d", "cpu", precision))


def request(
    context: Array, horizon: int = 64, levels: tuple[float, ...] = TENTHS
) -> ForecastRequest:
    rows = len(context)
    nothing = np.zeros(rows, np.uint64)
    return ForecastRequest(context, horizon, levels, np.ones(rows, np.int64), nothing)


def stock(folder: Path, context: Array, horizon: int) -> Array:
    """Return what Chronos' own pipeline gives in float32, [B, H, K], with nothing of ours."""
    pipeline = _stock(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # long horizons are less exact: we know
        predicted = pipeline.predict(torch.from_numpy(context), prediction_length=horizon)
    return predicted.transpose(1, 2).numpy()


def exact(folder: Path, context: Array) -> npt.NDArray[np.float64]:
    """Return the stock model's one pass in float64, its normalisation included, [B, H, K]."""
    model = _exact(folder)
    with torch.inference_mode():
        predicted = model(context=torch.from_numpy(context).double()).quantile_preds
    return predicted.transpose(1, 2).numpy()


def scale_of(context: Array) -> npt.NDArray[np.float64]:
    """Return the unit of differences: each context's spread, a constant's size, [B, 1, 1]."""
    values = context.astype(np.float64)
    spread, size = np.nanstd(values, axis=1), np.nanmax(np.abs(values), axis=1)
    return np.where(spread > 0, spread, np.maximum(size, 1e-5))[:, None, None]


class _ExactNorm(torch.nn.Module):
    """Chronos' instance norm, in float64."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        location = x.nanmean(dim=-1, keepdim=True)
        scale = (x - location).square().nanmean(dim=-1, keepdim=True).sqrt()
        scale = torch.where(scale == 0, 1e-5, scale)
        return (x - location) / scale, (location, scale)

    def inverse(
        self, x: torch.Tensor, loc_scale: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        return x * loc_scale[1] + loc_scale[0]


@lru_cache(maxsize=4)
def _stock(folder: Path) -> ChronosBoltPipeline:
    transformers_logging.disable_progress_bar()
    return ChronosBoltPipeline.from_pretrained(folder, dtype=torch.float32)


@lru_cache(maxsize=2)
def _exact(folder: Path) -> torch.nn.Module:
    model = ChronosBoltModelForForecasting.from_pretrained(folder, dtype=torch.float64).eval()
    model.instance_norm = _ExactNorm()
    return model


def forget(folder: Path) -> None:
    """Let go of a large model, in memory and on disk."""
    _stock.cache_clear()
    shutil.rmtree(folder)


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def _build(size: Size, settings: dict[str, object]) -> ChronosBoltModelForForecasting:
    transformers_logging.disable_progress_bar()
    config = T5Config(
        d_model=size.d_model,
        d_kv=64 if size.d_model > 64 else 8,
        d_ff=size.d_ff,
        num_layers=size.layers,
        num_decoder_layers=size.layers,
        num_heads=size.heads,
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        feed_forward_proj="relu",
        chronos_config=settings,
        chronos_pipeline_class="ChronosBoltPipeline",
        architectures=["ChronosBoltModelForForecasting"],
    )
    model = ChronosBoltModelForForecasting(config).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_draw(name, parameter, generator))
    return model


def _draw(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    values = torch.randn(parameter.shape, generator=generator)
    if "layer_norm" in name:
        return 1 + 0.2 * values
    if name.endswith("bias"):
        return 0.1 * values
    if "relative_attention_bias" in name or "shared" in name or "embed_tokens" in name:
        return values
    spread = parameter.shape[-1] ** -0.5
    return values * (spread * 0.3 if ".q." in name else spread)
