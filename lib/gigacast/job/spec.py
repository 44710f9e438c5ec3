"""The spec of a forecasting job: everything that changes the numbers or their form.

Other settings must stay out of it: a new digest makes every user forecast all partitions again.
"""

import json
from dataclasses import replace
from typing import get_args

from gigacast.core.partition.spec import Spec
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import check_zone
from gigacast.errors import CorruptedFileError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.levels import MEDIAN, has_levels_in_tails, union_levels
from gigacast.job.covariates import calendar_fields
from gigacast.job.forecast_job import Method
from gigacast.lake.plan.discovery import Selection
from gigacast.series.source import Aggregate

AGGREGATION = "gigacast.aggregate"
"""Key of the metadata of forecasts whose rows were aggregated."""
FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to give other numbers."""


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
            "partition_by": selection.partitioning,
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
            **calendar_fields(method),
            **_duplicate_fields(method),
            # Left out without them, so that older spec digests stay valid.
            **({"items": list(columns.items)} if columns.items else {}),
            **_csv_fields(method),
            **aggregation_fields(method),
            **_tail_fields(info, method),
            **method.around.fields,
            **({"mean": True} if method.mean else {}),
            **({"calibration": method.calibration.digest} if method.calibration else {}),
        },
        long_fields=method.around.long_fields(info),
        trained_steps=info.prediction_length,
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


def _csv_fields(method: Method) -> dict[str, object]:
    """Return the spec field for the dialect of CSV. Empty if nothing of it is named."""
    return {"csv": method.csv.named} if method.csv.named else {}


def _tail_fields(info: ForecasterInfo, method: Method) -> dict[str, object]:
    """Return the spec field of levels whose extrapolation another level used to change."""
    levels = union_levels(method.levels, (MEDIAN,))
    if method.extrapolate_levels and has_levels_in_tails(levels, info.levels):
        return {"tails": "trained levels"}
    return {}


def aggregation_fields(method: Method) -> dict[str, object]:
    """Return the spec field for the aggregation of rows. Empty without one."""
    aggregation, bins = method.aggregation, method.frequency
    if aggregation is None or bins is None:
        return {}
    # The anchor is no part of the frequency's own field: it only matters to bins.
    return {
        "aggregate": [aggregation.how, bins.anchored_alias, aggregation.partial, aggregation.zone]
    }


def aggregation_text(method: Method) -> str | None:
    """Return the aggregation as text for the metadata of forecasts; ``None`` without one."""
    fields = aggregation_fields(method)
    return json.dumps(fields["aggregate"]) if fields else None


def with_aggregation(method: Method, text: bytes, name: str) -> Method:
    """Return a method with the aggregation in the metadata of a forecast.

    Parameters
    ----------
    method : Method
    text : bytes
        Text of `aggregation_text`.
    name : str
        Name of the forecast, for error messages.

    Raises
    ------
    CorruptedFileError, ConfigError
        If it is none.
    """
    source = Source(name, CorruptedFileError)
    fields = decode_json(text, source)
    is_known = isinstance(fields, list) and len(fields) == 4 and fields[0] in get_args(Aggregate)
    texts = fields[1:3] if is_known else []
    if not is_known or not all(isinstance(part, str) for part in texts):
        raise CorruptedFileError(
            f"{name}: its metadata names an unknown aggregation", hint="forecast it again"
        )
    aggregation, bins, partial, zone = fields
    check_zone(zone if zone is None else str(zone))
    return replace(
        method,
        frequency=Frequency.parse(bins),
        aggregate=aggregation,
        partial_bins="keep" if partial == "keep" else "drop",
        zone=zone,
    )


def _duplicate_fields(method: Method) -> dict[str, object]:
    """Return the spec field for duplicates."""
    # "mean" gives the numbers of the default, so forecasts made with either are done for both.
    return {} if method.duplicates in {None, "mean"} else {"duplicates": method.duplicates}
