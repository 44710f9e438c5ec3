"""Proof that a model can be used, before a version of it may become active."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import GigacastError, ModelIntegrityError
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.config import base_folder, read_model_config
from gigacast.forecasters.engine import EngineChoice, EngineName, has_library
from gigacast.forecasters.forecaster import ForecasterInfo

_LEVELS = (0.1, 0.5, 0.9)
"""Levels of the trial forecast of a model that gives any level."""
_STEPS = 96
_SAMPLED_STEPS = 2
_SEED = 20
_LAYER = re.compile(r"(?P<stack>encoder|decoder)\.block\.(?P<number>[0-9]+)")
_HINT = "save the model again, or train it again if its weights are not finite"


def prove_usable(folder: Path) -> None:
    """Load a model as forecasts load it, and forecast two short series with it.

    Parameters
    ----------
    folder : Path
        Folder of a model; of a LoRA adapter with the folder of its base.

    Raises
    ------
    ModelIntegrityError
        If its library refuses a file, a weight is missing, not finite or of another shape than the
        configuration says, or a forecast is not finite.
    ModelNotFoundError, ModelError
        If the configuration is missing or not of the Chronos family.
    MemoryError
        If the model does not fit into memory.
    """
    for place in {folder, base_folder(folder)}:
        prove_readable(place)
        _prove_finite(place)
    _prove_layers(base_folder(folder))
    # On the CPU and in float32, which every machine that publishes has.
    engine: EngineName = "torch" if has_library("torch") else "auto"
    info = describe_forecaster(
        folder,
        name=folder.name,
        version="",
        digest="",
        choice=EngineChoice(engine, "cpu", "float32"),
    )
    if info.levels and not _are_levels(info.levels):
        raise ModelIntegrityError(
            f"{folder}: config.json has quantiles that are no ascending numbers between 0 and 1: "
            f"{list(info.levels)}",
            hint=_HINT,
        )
    with _refusing(folder):
        values = load_forecaster(folder, info).predict(_request(info))
    expected = (2, _horizon(info), len(info.levels or _LEVELS))
    if values.shape != expected:
        raise ModelIntegrityError(
            f"{folder}: a forecast has the shape {values.shape}, config.json says {expected}",
            hint=_HINT,
        )
    if not np.isfinite(values).all():
        raise ModelIntegrityError(
            f"{folder}: forecasts of two short series are not finite", hint=_HINT
        )


def prove_readable(folder: Path) -> None:
    """Open the weights of a folder by the library that will load them.

    Raises
    ------
    ModelIntegrityError
        When the library refuses a file.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - only to publish

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as weights:
                for name in weights.keys():  # noqa: SIM118 - no mapping
                    weights.get_slice(name).get_shape()
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise ModelIntegrityError(
                f"{path}: safetensors refuses it: {str(error).partition(chr(10))[0][:200]}",
                hint="save the model again",
            ) from error


def _prove_finite(folder: Path) -> None:
    """Check each weight by itself: a short forecast does not touch all of them."""
    for path in sorted(folder.glob("*.safetensors")):
        for name, values in _tensors(path):
            if not np.isfinite(values).all():
                raise ModelIntegrityError(
                    f"{path}: the weights of {name} are not finite", hint=_HINT
                )


def _tensors(path: Path) -> Iterator[tuple[str, FloatArray]]:
    """Yield the weights of a file, float32; with torch, one at a time is in memory."""
    from safetensors import safe_open  # noqa: PLC0415 - only to publish

    from gigacast.forecasters.lean.loading import read_tensor_file  # noqa: PLC0415

    if not has_library("torch"):
        yield from read_tensor_file(path).items()
        return
    # By torch, because NumPy has no bfloat16.
    with safe_open(path, framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - no mapping
            yield name, weights.get_tensor(name).float().numpy()


def _prove_layers(folder: Path) -> None:
    """Check that the configuration names all layers: loaders ignore the weights of further ones."""
    from safetensors import safe_open  # noqa: PLC0415 - only to publish

    config = read_model_config(folder)
    encoder = config.get("num_layers")
    counts = {"encoder": encoder, "decoder": config.get("num_decoder_layers") or encoder}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as weights:
            for match in filter(None, map(_LAYER.match, weights.keys())):
                count = counts[match["stack"]]
                if isinstance(count, int) and int(match["number"]) >= count:
                    raise ModelIntegrityError(
                        f"{path}: has {match[0]}, config.json has {count} layers", hint=_HINT
                    )


def _are_levels(levels: tuple[float, ...]) -> bool:
    return all(0 < low < high < 1 for low, high in pairwise((*levels, (levels[-1] + 1) / 2)))


def _request(info: ForecasterInfo) -> ForecastRequest:
    """Return a wave and a trend with a gap, padded as in any batch."""
    steps = min(info.context_length, _STEPS)
    times = np.arange(steps, dtype=np.float32)
    context = np.stack([10 + np.sin(times / 4), times]).astype(np.float32)
    context[1, : steps // 2] = np.nan
    return ForecastRequest(
        context,
        _horizon(info),
        info.levels or _LEVELS,
        seasons=np.ones(2, np.int64),
        seeds=np.full(2, _SEED, np.uint64),
    )


def _horizon(info: ForecasterInfo) -> int:
    """Return the steps of one pass; a model that samples takes a pass for each step."""
    return _SAMPLED_STEPS if info.samples else info.prediction_length


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Translate the errors of a network whose configuration contradicts its weights."""
    try:
        yield
    except GigacastError:
        raise
    # The network's products raise these when sizes do not fit.
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ModelIntegrityError(
            f"{folder}: cannot forecast: {str(error).partition(chr(10))[0][:200]}", hint=_HINT
        ) from error
