"""Describe a forecaster without loading it, and load it as described.

Planning needs the description only, and must start without torch.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gigacast.errors import ModelError
from gigacast.forecasters.chronos2.shape import chronos2_engine, runs_lean_chronos2
from gigacast.forecasters.config import chronos_engine, is_adapter, read_model_config
from gigacast.forecasters.engine import (
    ANY_ENGINE,
    EngineChoice,
    choose_engine,
    has_library,
    missing_library,
)
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, ModelFiles
from gigacast.forecasters.hardware import resolve_device, resolve_precision
from gigacast.forecasters.lean.shape import (
    lean_engine,
    numpy_engine,
    openvino_engine,
    precision_beside_int8,
    runs_lean,
)
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.portfolio.choices import read_choices
from gigacast.forecasters.portfolio.forecaster import PortfolioForecaster, portfolio_info
from gigacast.forecasters.portfolio.recipe import read_portfolio
from gigacast.forecasters.statistical import KINDS, StatisticalForecaster
from gigacast.forecasters.timegpt.forecaster import NAMES as TIMEGPT
from gigacast.forecasters.timegpt.forecaster import TimeGptForecaster


def describe_forecaster(
    folder: Path | None,
    *,
    name: str,
    version: str,
    digest: str,
    choice: EngineChoice = ANY_ENGINE,
) -> ForecasterInfo:
    """Return the info of the forecaster that `load_forecaster` will load.

    Parameters
    ----------
    folder : Path, optional
        Folder of the model; None for forecasters without weights.
    name, version, digest : str
        Name, version and digest in the registry.
    choice : EngineChoice, optional

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError, ModelError
        If the configuration is missing or not of the Chronos family, or int8 changes the model's
        forecasts too much.
    ConfigError
        If the device does not exist, or the engine cannot do what is asked.
    """
    if folder is None:
        return _load_without_weights(name).info
    config = read_model_config(folder)
    family = str(config.get("chronos_pipeline_class", "ChronosPipeline"))
    kind = resolve_device(choice.device)
    precision = choice.precision
    # A sampled token depends on the last bits of its probabilities. In bfloat16 these change with
    # the size of the batch, and so would the forecasts of a series.
    if precision == "auto" and family == "ChronosPipeline":
        precision = "float32"
    try:
        shape = _SHAPES[family](config["chronos_config"])
    except KeyError as error:
        raise ModelError(
            f"{folder}: config.json describes no supported Chronos model: {error}"
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{folder}: config.json has a value of another kind: {str(error)[:200]}",
            hint="fetch or save the model again",
        ) from error
    lean = _is_lean(folder, config)
    chosen = choose_engine(replace(choice, device=kind), lean=lean)
    precision = "float32" if chosen == "numpy" else resolve_precision(precision, kind)
    return ForecasterInfo(
        name=name,
        version=version,
        digest=digest,
        engine=_engine_name(chosen, folder, config, precision=precision),
        device=kind,
        precision=precision,
        **shape,
    )


def _engine_name(engine: str, folder: Path, config: Mapping[str, Any], *, precision: str) -> str:
    """Return the name of a chosen engine, with its revision, as stored in specs."""
    if engine == "numpy":
        return numpy_engine()
    if engine == "openvino":
        if precision != "int8":
            return openvino_engine()
        return openvino_engine(_scales_digest(folder), resolve_precision("auto", "cpu"))
    if engine == "torch" and _is_lean(folder, config):
        return lean_engine()
    if engine == "torch" and runs_lean_chronos2(config) and not is_adapter(folder):
        return chronos2_engine()
    return chronos_engine()


def _scales_digest(folder: Path) -> str:
    from gigacast.forecasters.lean.loading import read_bolt_shape, read_fused  # noqa: PLC0415
    from gigacast.forecasters.openvino.scales import read_scales  # noqa: PLC0415 - only for int8

    shape = read_bolt_shape(folder)
    return read_scales(read_fused(folder, shape), shape).digest


def load_forecaster(
    folder: Path | None, info: ForecasterInfo, device: str | None = None
) -> Forecaster:
    """Load the forecaster that an info describes.

    Parameters
    ----------
    folder : Path, optional
        Folder of the model; None for forecasters without weights.
    info : ForecasterInfo
        Result of `describe_forecaster`.
    device : str, optional
        Device of the described kind, such as ``cuda:1``; the first one by default.

    Raises
    ------
    ModelError
        If the loaded forecaster differs from ``info``, so that this machine's numbers would differ
        from those that the spec names.
    """
    if folder is None:
        return _load_without_weights(info.name)
    place, precision = device or info.device, info.precision
    files = ModelFiles(folder, info.name, info.version, info.digest, place, precision)
    forecaster = _loader(info.engine)(files)
    # Any other difference would change the numbers, and with them what the spec promises.
    if replace(forecaster.info, device=info.device) != info:
        raise _differs(info, forecaster.info)
    return forecaster


def load_portfolio(
    folder: Path, info: ForecasterInfo, members: Sequence[Forecaster]
) -> PortfolioForecaster:
    """Return the forecaster of a portfolio of loaded members.

    Raises
    ------
    ModelIntegrityError
        If the portfolio is damaged.
    ModelError
        If it differs from ``info``.
    """
    portfolio = read_portfolio(folder)
    choices = read_choices(folder, portfolio) if portfolio.rule == "table" else None
    infos = [member.info for member in members]
    own = portfolio_info(info.name, info.version, info.digest, portfolio, infos)
    if replace(own, device=info.device) != info:
        raise _differs(info, own)
    return PortfolioForecaster(info, portfolio, tuple(members), choices)


def _differs(info: ForecasterInfo, own: ForecasterInfo) -> ModelError:
    return ModelError(
        f"{info.name}: this machine runs {own}, the plan is for {info}",
        hint="use the same versions of gigacast and chronos-forecasting on every machine",
    )


def _load_without_weights(name: str) -> Forecaster:
    if name in TIMEGPT:
        return TimeGptForecaster(name)
    return StatisticalForecaster(name) if name in KINDS else SeasonalNaive()


def _loader(engine: str) -> Callable[[ModelFiles], Forecaster]:
    """Return the function that loads a model for an engine, whose library is imported only here."""
    with _paused_garbage_collection():
        if engine == numpy_engine():
            from gigacast.forecasters.plain.forecaster import load_plain  # noqa: PLC0415

            return load_plain
        if engine.startswith(openvino_engine()):
            from gigacast.forecasters.openvino.forecaster import load_openvino  # noqa: PLC0415

            # Named in the plan, so that every machine computes the same numbers.
            return partial(load_openvino, rest=precision_beside_int8(engine))
        if not has_library("torch"):
            raise missing_library("torch")
        if engine == lean_engine():
            from gigacast.forecasters.lean.forecaster import load_lean  # noqa: PLC0415

            return load_lean
        if engine == chronos2_engine():
            from gigacast.forecasters.chronos2.forecaster import (  # noqa: PLC0415
                load_lean_chronos2,
            )

            return load_lean_chronos2
        from gigacast.forecasters.chronos.forecaster import load_chronos  # noqa: PLC0415

        return load_chronos


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Pause garbage collection while torch is imported.

    The import creates a million objects that all stay alive; searching them for garbage again and
    again takes 0.1 s of 0.8 s (docs/benchmarks.md, "Starting").
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_lean(folder: Path, config: Mapping[str, Any]) -> bool:
    """Return whether the lean Bolt runs a model. It cannot merge adapters; the stock code can."""
    return runs_lean(config) and not is_adapter(folder)


def _bolt_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": int(config["context_length"]),
        "prediction_length": int(config["prediction_length"]),
        "levels": tuple(float(level) for level in config["quantiles"]),
        "patch_size": int(config["input_patch_size"]),
    }


def _chronos2_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    # Chronos-2 has no fixed horizon, only a maximum number of patches per pass.
    steps = int(config["max_output_patches"]) * int(config["input_patch_size"])
    return {**_bolt_shape({**config, "prediction_length": steps}), "takes_groups": True}


def _t5_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": int(config["context_length"]),
        "prediction_length": int(config["prediction_length"]),
        "levels": (),  # quantiles of samples exist at every level
        "samples": int(config["num_samples"]),
    }


_SHAPES = {
    "ChronosBoltPipeline": _bolt_shape,
    "Chronos2Pipeline": _chronos2_shape,
    "ChronosPipeline": _t5_shape,
}
