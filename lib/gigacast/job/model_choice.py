"""Resolution of a model: from the choice to its pinned files, its forecaster and its devices."""

from gigacast.errors import ModelNotFoundError
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo
from gigacast.forecasters.hardware import count_gpus, device_of, list_devices
from gigacast.job.forecast_job import ModelChoice
from gigacast.lake.model.resolve import ResolvedModel, resolve_model
from gigacast.storage.store import Store


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
    info = describe_forecaster(
        model.folder,
        name=model.name,
        version=model.version,
        digest=model.digest,
        choice=choice.engine_choice,
    )
    return model, info


def usable_devices(choice: ModelChoice, info: ForecasterInfo) -> tuple[str, ...]:
    """Return the devices of this machine, over which the processes of a run are distributed."""
    # The plan decided on the CPU: a GPU that this machine has stays unused.
    if info.device == "cpu":
        return ("cpu",)
    name = choice.device if choice.device.startswith("cuda:") else info.device
    # Counted on the machine that computes, which need not be the one that planned.
    return list_devices(name, count_gpus())


def load_resolved(
    choice: ModelChoice, model: ResolvedModel, info: ForecasterInfo, slot: int = 0
) -> Forecaster:
    """Load a resolved model on the device of the process in a slot.

    Raises
    ------
    ModelError
    """
    return load_forecaster(model.folder, info, device_of(slot, usable_devices(choice, info)))
