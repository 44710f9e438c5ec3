"""What a forecaster will be, told without loading it, so that planning starts without torch.

Imports ``errors``, ``core`` and the standard library; torch only inside `load_forecaster`.
"""

import ctypes
import ctypes.util
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gigacast.errors import ConfigError, ModelError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecast.forecaster import Forecaster, ForecasterInfo
from gigacast.forecast.lean_shape import lean_engine, runs_lean
from gigacast.forecast.naive import SeasonalNaive

ENGINE_REVISION = 1
"""Raised when our code around the Chronos pipelines changes the numbers it gives."""

_COMPUTE_CAPABILITY_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_AMPERE = 8  # the first generation that computes in bfloat16


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
        The model's files; without one it is the seasonal naive.
    name, version, digest : str
        What the registry calls it.
    device : {"auto", "cpu", "cuda"}
    precision : {"auto", "float32", "bfloat16"}

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
        When the configuration is missing or not of the Chronos family.
    ConfigError
        When the device is not there.
    """
    if folder is None:
        return SeasonalNaive().info
    config = read_model_config(folder)
    family = str(config.get("chronos_pipeline_class", "ChronosPipeline"))
    place = _resolve_device(device)
    chosen = "float32" if precision == "auto" and family == "ChronosPipeline" else precision
    try:
        shape = _SHAPES[family](config["chronos_config"])
    except KeyError as error:
        raise ModelError(f"{folder}: no Chronos model we know: {error} in config.json") from error
    return ForecasterInfo(
        name=name,
        version=version,
        digest=digest,
        engine=lean_engine() if runs_lean(config) else chronos_engine(),
        device=place,
        precision=_resolve_precision(chosen, place),
        **shape,
    )


def load_forecaster(folder: Path | None, info: ForecasterInfo) -> Forecaster:
    """Load what was described.

    Raises
    ------
    ModelError
        When this machine would give other numbers than the plan was made for.
    """
    if folder is None:
        return SeasonalNaive()
    forecaster = _loader(info.engine)(
        folder,
        name=info.name,
        version=info.version,
        digest=info.digest,
        device=info.device,
        precision=info.precision,
    )
    if replace(forecaster.info, device=info.device) != info:
        raise ModelError(
            f"{info.name}: this machine runs {forecaster.info}, the plan was made for {info}",
            hint="use the same versions of gigacast and chronos-forecasting on every machine",
        )
    return forecaster


def _loader(engine: str) -> Callable[..., Forecaster]:
    """Return what loads a model for an engine; torch is imported here and not before."""
    if engine == lean_engine():
        from gigacast.forecast.lean import load_lean  # noqa: PLC0415

        return load_lean
    from gigacast.forecast.chronos import load_chronos  # noqa: PLC0415

    return load_chronos


def chronos_engine() -> str:
    """Return the name of the stock Chronos code and its revision, for models not run lean."""
    return f"chronos-{version('chronos-forecasting')}-r{ENGINE_REVISION}"


def read_model_config(folder: Path) -> Mapping[str, Any]:
    """Return the ``config.json`` of a Chronos model.

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError, ModelError
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelNotFoundError(f"no model in {folder}: config.json can't be read") from error
    except ValueError as error:
        raise ModelIntegrityError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or "chronos_config" not in config:
        raise ModelError(f"the model in {folder} is not of the Chronos family")
    return config


def _bolt_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": int(config["context_length"]),
        "prediction_length": int(config["prediction_length"]),
        "levels": tuple(float(level) for level in config["quantiles"]),
        "patch_size": int(config["input_patch_size"]),
    }


def _chronos2_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    steps = int(config["max_output_patches"]) * int(config["input_patch_size"])
    return {**_bolt_shape({**config, "prediction_length": steps})}


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


# -- the machine, asked without torch --------------------------------------------------------------


def _resolve_device(name: str) -> str:
    if name == "cpu":
        return "cpu"
    found = _cuda_major() is not None
    if name == "auto":
        return "cuda" if found else "cpu"
    if name == "cuda" and not found:
        raise ConfigError("run.device: no CUDA device on this machine", hint="use auto or cpu")
    return name


def _resolve_precision(name: str, device: str) -> str:
    if name != "auto":
        return name
    if device == "cuda":
        return "bfloat16" if (_cuda_major() or 0) >= _AMPERE else "float32"
    return "bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()  # not Linux: torch's own bfloat16 is emulated there, or untested by us
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _cuda_major() -> int | None:
    """Return the generation of the first CUDA device; ``None`` when torch could not use one."""
    try:
        if version("torch").endswith("+cpu"):
            return None
        driver = ctypes.CDLL("libcuda.so.1")
    except (OSError, PackageNotFoundError):
        return None
    count, device, major = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
    return major.value
