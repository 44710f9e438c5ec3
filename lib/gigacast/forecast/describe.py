"""What a forecaster will be, told without loading it, so that planning starts without torch.

Imports ``errors``, ``core`` and the standard library; torch only inside `load_forecaster`.
"""

import ctypes
import ctypes.util
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gigacast.errors import ConfigError, ModelError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecast.forecaster import Forecaster, ForecasterInfo
from gigacast.forecast.lean_shape import lean_engine, runs_lean
from gigacast.forecast.naive import SeasonalNaive
from gigacast.forecast.statistical import KINDS, StatisticalForecaster

ENGINE_REVISION = 1
"""Raised when our code around the Chronos pipelines changes the numbers it gives."""

ADAPTER_CONFIG, BASE = "adapter_config.json", "base"
"""What makes a folder a LoRA adapter's, and where its base lies below it."""

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
        engine=lean_engine() if _is_lean(folder, config) else chronos_engine(),
        device=place,
        precision=_resolve_precision(chosen, place),
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
            from gigacast.forecast.lean import load_lean  # noqa: PLC0415

            return load_lean
        from gigacast.forecast.chronos import load_chronos  # noqa: PLC0415

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


def chronos_engine() -> str:
    """Return the name of the stock Chronos code and its revision, for models not run lean."""
    return f"chronos-{version('chronos-forecasting')}-r{ENGINE_REVISION}"


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


# -- the machine, asked without torch --------------------------------------------------------------


def _resolve_device(name: str) -> str:
    """Return the kind of a device, ``cpu`` or ``cuda``; refuse one that is not there."""
    if name == "cpu":
        return "cpu"
    gpus = count_gpus()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= gpus:
        found = f"{gpus} of them" if gpus else "no CUDA device"
        raise ConfigError(f"run.device: {name}: {found} on this machine", hint="use auto or cpu")
    return kind


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


def count_gpus() -> int:
    """Return how many CUDA devices torch could use; the environment may hide some of them."""
    driver = _cuda_driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _cuda_driver() -> ctypes.CDLL | None:
    try:
        if version("torch").endswith("+cpu"):
            return None
        return ctypes.CDLL("libcuda.so.1")
    except (OSError, PackageNotFoundError):
        return None


def _cuda_major() -> int | None:
    """Return the generation of the first CUDA device; ``None`` when torch could not use one."""
    driver = _cuda_driver()
    if driver is None or not count_gpus():
        return None
    device, major = ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
    return major.value
