"""The spec of a forecasting job: everything that changes the numbers or their form.

Other settings must stay out of it: a new digest makes every user forecast all partitions again.
"""

from gigacast.core.partition.spec import Spec
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.forecast_job import Method
from gigacast.lake.plan.discovery import Selection

FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to give other rows or columns."""


def make_spec(info: ForecasterInfo, method: Method, selection: Selection) -> Spec:
    """Return the spec of a job.

    Parameters
    ----------
    info : ForecasterInfo
        Forecaster, with its device and precision resolved.
    method : Method
    selection : Selection
        Selection; only the fields that change the context are part of the spec.
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
            # The length that takes effect: leaving the option out and giving the model's own length
            # make the same forecasts, hence the same spec.
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
            **_covariate_fields(method),
            **_duplicate_fields(method),
            # Left out without them, so that older spec digests stay valid.
            **({"items": list(columns.items)} if columns.items else {}),
        },
    )


def _covariate_fields(method: Method) -> dict[str, object]:
    """Return the spec fields for covariates and joint targets."""
    # Empty without them, so that older spec digests stay valid.
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


def _duplicate_fields(method: Method) -> dict[str, object]:
    """Return the spec field for duplicates."""
    # "mean" gives the numbers of the default, so forecasts made with either are done for both.
    return {} if method.duplicates in {None, "mean"} else {"duplicates": method.duplicates}
