"""Choice of the engine that runs a model: torch, NumPy, OpenVINO or the stock Chronos code."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

from gigacast.errors import ConfigError, MissingExtraError
from gigacast.forecasters.chronos2.shape import chronos2_engine
from gigacast.forecasters.lean.shape import lean_engine, openvino_engine

EngineName = Literal["auto", "torch", "numpy", "openvino", "stock"]
"""Engines by the names that people type. The name in specs has a revision as well."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """How a person wants a model to be computed.

    Parameters
    ----------
    engine : {"auto", "torch", "numpy", "openvino", "stock"}
    device : {"auto", "cpu", "cuda", "cuda:N"}
    precision : {"auto", "float32", "bfloat16", "int8"}
    """

    engine: EngineName = "auto"
    device: str = "auto"
    precision: str = "auto"


ANY_ENGINE = EngineChoice()
"""What a person who says nothing wants."""


def kind_of_engine(stored: str) -> EngineName:
    """Return the engine that people name for the one in a spec; ``auto`` for no model's."""
    kinds: dict[str, EngineName] = {
        "gigacast-bolt-numpy-": "numpy",
        "gigacast-bolt-openvino-": "openvino",
        "gigacast-bolt-r": "torch",
        "gigacast-chronos2-r": "torch",
        "chronos-": "stock",
    }
    return next((kind for start, kind in kinds.items() if stored.startswith(start)), "auto")


def choose_engine(choice: EngineChoice, *, lean: bool) -> str:
    """Return the engine that runs a model: ``torch``, ``numpy``, ``openvino`` or ``stock``.

    Parameters
    ----------
    choice : EngineChoice
        With the device resolved.
    lean : bool
        Whether the model is a Chronos-Bolt that engines without torch can run.

    Returns
    -------
    str
        For ``auto`` torch where it is installed, so that what was done with it stays done; else
        OpenVINO, else NumPy. Int8 is computed by OpenVINO.

    Raises
    ------
    ConfigError
        If the engine cannot run the model, or not on this device or in this precision, or its
        library is missing.
    """
    engine = _resolve_auto(choice, lean=lean) if choice.engine == "auto" else choice.engine
    if engine in ("torch", "stock"):
        _check_torch(engine, choice)
    else:
        _check_array_engine(engine, choice, lean=lean)
    # Torch that is named may be on other machines only: the one that plans need not have it.
    is_needed_here = engine == "openvino" or choice.engine == "auto"
    if engine in ("torch", "openvino") and is_needed_here and not has_library(engine):
        raise missing_library(engine)
    return engine


def has_quick_engine(choice: EngineChoice, chosen: str) -> bool:
    """Return whether NumPy can take the place of an engine that nobody named.

    Parameters
    ----------
    choice : EngineChoice
    chosen : str
        Name of the engine that was chosen, with its revision.
    """
    return (
        choice.engine == "auto"
        and choice.precision in ("auto", "float32")
        and not choice.device.startswith("cuda")
        and chosen in (lean_engine(), openvino_engine())
    )


def has_openvino_beside(choice: EngineChoice, chosen: str) -> bool:
    """Return whether OpenVINO can take the place of torch that nobody named.

    Parameters
    ----------
    choice : EngineChoice
    chosen : str
        Name of the engine that was chosen, with its revision.
    """
    return (
        choice.engine == "auto"
        and choice.precision != "int8"
        and not choice.device.startswith("cuda")
        and chosen == lean_engine()
        and has_library("openvino")
    )


def has_former_engine(choice: EngineChoice, chosen: str) -> bool:
    """Return whether earlier releases ran the stock code where nobody named another engine.

    Parameters
    ----------
    choice : EngineChoice
    chosen : str
        Name of the engine that was chosen, with its revision.
    """
    return choice.engine in ("auto", "torch") and chosen == chronos2_engine()


def _resolve_auto(choice: EngineChoice, *, lean: bool) -> str:
    if choice.precision == "int8":
        return "openvino"
    if has_library("torch") or not lean or choice.device != "cpu":
        return "torch"
    return "openvino" if has_library("openvino") else "numpy"


def _check_torch(engine: str, choice: EngineChoice) -> None:
    if choice.precision == "int8":
        raise ConfigError(
            f"precision: the engine {engine} does not compute in int8",
            hint="use --model_engine openvino, or --precision auto",
        )


def _check_array_engine(engine: str, choice: EngineChoice, *, lean: bool) -> None:
    if not lean:
        reason = (
            f"precision: {choice.precision}"
            if choice.engine == "auto"
            else f"model_engine: {engine}"
        )
        raise ConfigError(
            f"{reason} is for Chronos-Bolt with ReLU only, and this model is another",
            hint="use --model_engine torch and --precision auto",
        )
    if choice.device != "cpu":
        raise ConfigError(
            f"model_engine: {engine} runs on a CPU, not on {choice.device}",
            hint="use --device cpu, or --model_engine torch",
        )
    if engine == "numpy" and choice.precision not in ("auto", "float32"):
        raise ConfigError(
            f"precision: the engine numpy computes in float32, not in {choice.precision}",
            hint="use --precision float32, or --model_engine openvino",
        )


@lru_cache(maxsize=8)
def has_library(name: str) -> bool:
    """Return whether a library is installed; it is not imported."""
    return find_spec(name) is not None


def missing_library(engine: str) -> MissingExtraError:
    """Return the error of an engine whose library is not installed."""
    extra = {"torch": "torch", "openvino": "fast"}[engine]
    return MissingExtraError(
        f"the engine {engine} needs {engine}, which is not installed",
        hint=f"pip install 'gigacast[{extra}]'",
    )


def require_torch(purpose: str) -> None:
    """Check that torch and the stock Chronos code are installed.

    Parameters
    ----------
    purpose : str
        What needs them, as the start of a sentence.

    Raises
    ------
    MissingExtraError
    """
    # One extra has both; the planner of a cloud has the second one's version only.
    if not has_library("torch"):
        raise MissingExtraError(
            f"{purpose} needs torch, which is not installed",
            hint="pip install 'gigacast[torch]'",
        )
