"""From the choice of a model to its pinned files and what it will be.

Imports ``storage``, ``lake`` and ``forecast``.
"""

from gigacast.forecast.describe import describe_forecaster
from gigacast.forecast.forecaster import ForecasterInfo
from gigacast.lake.model import ResolvedModel, resolve_model
from gigacast.pipeline.job import ModelChoice
from gigacast.storage.store import Store


def resolve_choice(choice: ModelChoice, outputs: Store) -> tuple[ResolvedModel, ForecasterInfo]:
    """Find the model, pin it, and say what it will be; nothing is loaded.

    Parameters
    ----------
    choice : ModelChoice
    outputs : Store
        Rooted where ``models/`` lies.

    Raises
    ------
    ModelError, ConfigError
    """
    model = resolve_model(
        choice.reference,
        outputs,
        version=choice.version,
        otherwise=choice.otherwise,
        detect=choice.detect,
    )
    info = describe_forecaster(
        model.folder,
        name=model.name,
        version=model.version,
        digest=model.digest,
        device=choice.device,
        precision=choice.precision,
    )
    return model, info
