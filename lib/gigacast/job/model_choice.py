"""Resolution of a model: from the choice to its pinned files, its forecaster and its devices."""

from dataclasses import replace

from gigacast.errors import ModelError, ModelNotFoundError
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster, load_portfolio
from gigacast.forecasters.engine import EngineChoice, has_quick_engine
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo
from gigacast.forecasters.hardware import count_gpus, device_of, list_devices
from gigacast.forecasters.portfolio.forecaster import member_engines, portfolio_info
from gigacast.forecasters.portfolio.recipe import read_portfolio
from gigacast.job.forecast_job import ModelChoice
from gigacast.lake.model.resolve import ResolvedModel, resolve_model
from gigacast.storage.store import Store

_COPIES_OF_WEIGHTS = 3
"""Sizes of a model's files that a process holds: 2.0 in torch and 2.7 in OpenVINO for bolt-base,
with the files themselves, which are read by mapping them."""


def resolve_choice(choice: ModelChoice, outputs: Store) -> tuple[ResolvedModel, ForecasterInfo]:
    """Return the pinned model of a choice and a description of its forecaster; nothing is loaded.

    Parameters
    ----------
    choice : ModelChoice
    outputs : Store
        Rooted at the parent of ``models/``.

    Raises
    ------
    ModelError, ConfigError
    """
    try:
        model = resolve_model(
            choice.reference,
            outputs,
            version=choice.version,
            otherwise=choice.otherwise,
            detect=choice.detect,
        )
    except ModelNotFoundError as error:
        # The option, whose place the door names.
        raise ModelNotFoundError(f"model: {error.message}", hint=error.hint) from error
    return model, describe_resolved(model, choice.engine_choice)


def describe_resolved(model: ResolvedModel, choice: EngineChoice) -> ForecasterInfo:
    """Return a description of the forecaster of a resolved model, or of a portfolio of them.

    Raises
    ------
    ModelError, ConfigError
    """
    if not model.members:
        return describe_forecaster(
            model.folder,
            name=model.name,
            version=model.version,
            digest=model.digest,
            choice=choice,
        )
    return _describe_portfolio(model, [describe_resolved(m, choice) for m in model.members])


def describe_quick(
    model: ResolvedModel, info: ForecasterInfo, choice: ModelChoice
) -> ForecasterInfo | None:
    """Return the forecaster of the engine that starts at once; ``None`` if there is no choice.

    Of a portfolio it is one whose members take that engine where they can.

    Parameters
    ----------
    model : ResolvedModel
    info : ForecasterInfo
        Of the engine that computes fastest.
    choice : ModelChoice
    """
    if model.folder is None or info.device != "cpu":
        return None
    numpy = replace(choice, engine="numpy", device=info.device).engine_choice
    if not model.members:
        is_open = has_quick_engine(choice.engine_choice, info.engine)
        return describe_resolved(model, numpy) if is_open else None
    infos = [describe_resolved(member, choice.engine_choice) for member in model.members]
    quick = [describe_quick(m, i, choice) for m, i in zip(model.members, infos, strict=True)]
    if not any(quick):
        return None
    chosen = [new or old for new, old in zip(quick, infos, strict=True)]
    return _describe_portfolio(model, chosen)


def _describe_portfolio(model: ResolvedModel, infos: list[ForecasterInfo]) -> ForecasterInfo:
    assert model.folder is not None  # noqa: S101 - it was read to find the members
    portfolio = read_portfolio(model.folder)
    return portfolio_info(model.name, model.version, model.digest, portfolio, infos)


def usable_devices(choice: ModelChoice, info: ForecasterInfo) -> tuple[str, ...]:
    """Return the devices of this machine, over which the processes of a run are distributed."""
    # The plan decided on the CPU: a GPU that this machine has stays unused.
    if info.device == "cpu":
        return ("cpu",)
    name = choice.device if choice.device.startswith("cuda:") else info.device
    # Counted on the machine that computes, which need not be the one that planned.
    return list_devices(name, count_gpus())


def memory_of(model: ResolvedModel) -> int:
    """Return the bytes that a process holds at most while it loads and runs a resolved model."""
    folders = [entry.folder for entry in (model, *model.members) if entry.folder is not None]
    files = [path for folder in folders for path in folder.rglob("*.safetensors")]
    return _COPIES_OF_WEIGHTS * sum(path.stat().st_size for path in files)


def load_resolved(
    choice: ModelChoice, model: ResolvedModel, info: ForecasterInfo, slot: int = 0
) -> Forecaster:
    """Load a resolved model on the device of the process in a slot.

    Raises
    ------
    ModelError
    """
    device = device_of(slot, usable_devices(choice, info))
    if not model.members:
        return load_forecaster(model.folder, info, device)
    assert model.folder is not None  # noqa: S101 - it was read to find the members
    engines = member_engines(info.engine)
    if len(engines) != len(model.members):
        raise ModelError(
            f"{info.name}: {len(model.members)} models, and the plan is for {len(engines)}",
            hint="the portfolio was replaced after the plan was made: start a new run",
        )
    members = [
        _load_member(member, info, device, engine, precision)
        for member, (engine, precision) in zip(model.members, engines, strict=True)
    ]
    return load_portfolio(model.folder, info, members)


def _load_member(
    member: ResolvedModel, info: ForecasterInfo, device: str, engine: str, precision: str
) -> Forecaster:
    """Return a loaded model of a portfolio, on the engine that the plan names for it."""
    # Its limits are the same on every engine.
    own = describe_resolved(member, EngineChoice("torch", "cpu", "float32"))
    if member.folder is None:
        return load_forecaster(None, own)
    planned = replace(own, engine=engine, precision=precision, device=info.device)
    return load_forecaster(member.folder, planned, device)
