"""What a forecaster will be, told without loading it, so that planning starts without torch."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gigacast.errors import ModelError
from gigacast.forecasters.config import is_adapter, read_model_config
from gigacast.forecasters.engine import chronos_engine
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo
from gigacast.forecasters.hardware import resolve_device, resolve_precision
from gigacast.forecasters.lean.shape import lean_engine, runs_lean
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.statistical import KINDS, StatisticalForecaster


def describe_forecaster(
    folder: Path | None,
    *,
    name: str,
    version: str,
    digest: str,
    device: str = "auto",
    precision: str = "auto",
) -> ForecasterInfo:
    """Return what `load_forecaster` will give, from the model's configuration alone.

    Parameters
    ----------
    folder : Path, optional
        The model's files; forecasters without weights have none.
    name, version, digest : str
        What the registry calls it.
    device : {"auto", "cpu", "cuda", "cuda:N"}
    precision : {"auto", "float32", "bfloat16"}

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
        When the configuration is missing or not of the Chronos family.
    ConfigError
        When the device is not there.
    """
    if folder is None:
        return _fileless(name).info
    config = read_model_config(folder)
    family = str(config.get("chronos_pipeline_class", "ChronosPipeline"))
    place = resolve_device(device)
    chosen = "float32" if precision == "auto" and family == "ChronosPipeline" else precision
    try:
        shape = _SHAPES[family](config["chronos_config"])
    except KeyError as error:
        raise ModelError(f"{folder}: no Chronos model we know: {error} in config.json") from error
    return ForecasterInfo(
        name=name,
        version=version,
        digest=digest,
        engine=lean_engine() if _is_lean(folder, config) else chronos_engine(),
        device=place,
        precision=resolve_precision(chosen, place),
        **shape,
    )


def load_forecaster(
    folder: Path | None, info: ForecasterInfo, device: str | None = None
) -> Forecaster:
    """Load what was described.

    Parameters
    ----------
    folder : Path, optional
    info : ForecasterInfo
    device : str, optional
        Which of the machine's devices of the kind that was described; the first when absent.

    Raises
    ------
    ModelError
        When this machine would give other numbers than the plan was made for.
    """
    if folder is None:
        return _fileless(info.name)
    forecaster = _loader(info.engine)(
        folder,
        name=info.name,
        version=info.version,
        digest=info.digest,
        device=device or info.device,
        precision=info.precision,
    )
    if replace(forecaster.info, device=info.device) != info:
        raise ModelError(
            f"{info.name}: this machine runs {forecaster.info}, the plan was made for {info}",
            hint="use the same versions of gigacast and chronos-forecasting on every machine",
        )
    return forecaster


def _fileless(name: str) -> Forecaster:
    """Return a forecaster without weights."""
    return StatisticalForecaster(name) if name in KINDS else SeasonalNaive()


def _loader(engine: str) -> Callable[..., Forecaster]:
    """Return what loads a model for an engine; torch is imported here and not before."""
    with _uncollected():
        if engine == lean_engine():
            from gigacast.forecasters.lean.forecaster import load_lean  # noqa: PLC0415

            return load_lean
        from gigacast.forecasters.chronos.forecaster import load_chronos  # noqa: PLC0415

        return load_chronos


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage: torch makes a million objects, and all of them stay. It takes 0.1 s."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_lean(folder: Path, config: Mapping[str, Any]) -> bool:
    """Tell whether our own forward runs a model; adapters are merged into the stock one."""
    return runs_lean(config) and not is_adapter(folder)


def _bolt_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": int(config["context_length"]),
        "prediction_length": int(config["prediction_length"]),
        "levels": tuple(float(level) for level in config["quantiles"]),
        "patch_size": int(config["input_patch_size"]),
    }


def _chronos2_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    steps = int(config["max_output_patches"]) * int(config["input_patch_size"])
    return {**_bolt_shape({**config, "prediction_length": steps}), "takes_groups": True}


def _t5_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": int(config["context_length"]),
        "prediction_length": int(config["prediction_length"]),
        "levels": (),
        "samples": int(config["num_samples"]),
    }


_SHAPES = {
    "ChronosBoltPipeline": _bolt_shape,
    "Chronos2Pipeline": _chronos2_shape,
    "ChronosPipeline": _t5_shape,
}
