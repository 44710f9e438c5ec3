"""Which forecast it is: the spec of a job and a forecaster.

Everything that changes the numbers or their form is in here, and nothing else.
"""

from gigacast.core.partition.spec import Spec
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.forecast_job import Method
from gigacast.lake.plan.discovery import Selection

FORMAT_REVISION = 1
"""Raised when the same settings start to give other rows or columns."""


def make_spec(info: ForecasterInfo, method: Method, selection: Selection) -> Spec:
    """Return the resolved spec of a job.

    Parameters
    ----------
    info : ForecasterInfo
        Resolved: nothing in it is ``auto``.
    method : Method
    selection : Selection
        Of which only what changes the context counts.
    """
    columns = method.columns
    return Spec(
        model=info.name,
        version=info.version,
        levels=method.levels,
        fields={
            "format": FORMAT_REVISION,
            "digest": info.digest,
            "engine": info.engine,
            "precision": info.precision,
            "context_length": min(
                method.context_length or info.context_length, info.context_length
            ),
            "context_partitions": selection.context_partitions,
            "partition_by": "month" if selection.by_month else "object",
            "columns": [columns.item_id, columns.timestamp, list(columns.targets)],
            "frequency": method.frequency.alias if method.frequency else None,
            "timestamp_unit": method.timestamp_unit,
            "min_length": method.min_length,
            "fallback": method.fallback,
            "non_negative": method.non_negative,
            "integer": method.integer,
            "extrapolate_levels": method.extrapolate_levels,
            "seed": method.seed,
            "layout": method.layout,
            **_beside(method),
        },
    )


def _beside(method: Method) -> dict[str, object]:
    """Return what is seen beside the targets; nothing, where nothing is, as ever before."""
    columns = method.columns
    fields: dict[str, object] = {}
    if columns.covariates:
        fields["covariates"] = [
            sorted(columns.past_covariates),
            sorted(columns.known_covariates),
            method.missing_future,
        ]
    if method.joint_targets:
        fields["joint_targets"] = True
    return fields
