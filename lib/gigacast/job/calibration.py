"""Calibrations in the bucket: what a backtest measured of the forecasts of a model and method."""

import json
from dataclasses import asdict, dataclass, replace

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import ConfigError, CorruptedFileError, ObjectNotFoundError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.around.horizon import is_continued
from gigacast.forecasters.around.wrapping import revised
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.covariates import calendar_fields
from gigacast.job.forecast_job import Method
from gigacast.lake.layout import calibration_key
from gigacast.storage.store import Store

FORMAT = 1


@dataclass(frozen=True)
class StoredCalibration:
    """A calibration with the evidence for it.

    Parameters
    ----------
    levels : tuple of float
        Q levels.
    factors : tuple of tuple of float
        Factors of each step and level, [H][Q].
    forecasts : int
        Forecasts that were measured.
    before, after : tuple of float, optional
        Share of values below each level, measured on series whose factors were made of others;
        ``None`` for the median.
    format : int
    digest : str, optional
        Digest of the other fields: a flipped bit is another factor, and nothing else would show it.
        ``None`` in those that were stored before there was one.
    """

    levels: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]
    forecasts: int
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    format: int = FORMAT
    digest: str | None = None

    @property
    def own_digest(self) -> str:
        """Digest of all fields but that of the digest."""
        return digest_value(asdict(replace(self, digest=None)), 32)


def calibration_name(info: ForecasterInfo, method: Method, horizon: int) -> str:
    """Return the name of the calibration of forecasts of a model by a method.

    It covers what moves quantiles. Engine and precision do not: their numbers are the same.
    """
    columns, regressor = method.columns, method.covariate_regressor
    described = {
        "digest": info.digest,
        "context_length": min(method.context_length or info.context_length, info.context_length),
        "columns": [list(columns.items) or columns.item_id, list(columns.targets)],
        "covariates": [sorted(columns.past_covariates), sorted(columns.known_covariates)],
        "joint_targets": method.joint_targets,
        "frequency": method.frequency.alias if method.frequency else None,
        "aggregate": method.aggregate,
        "levels": list(method.levels),
        "extrapolate_levels": method.extrapolate_levels,
        "enhance": _numbered("enhance", method.enhance),
        # Within the trained horizon it changes nothing, and recipes of forecasts do not name it.
        "long_horizon": _numbered("long_horizon", method.long_horizon)
        if is_continued(info, horizon)
        else None,
        # Left out without them, so that what was measured before keeps its name.
        **calendar_fields(method),
        **({"covariate_regressor": regressor} if regressor else {}),
    }
    return f"h{horizon}-q{len(method.levels)}-{digest_value(described, length=8)}"


def _numbered(name: str, value: str | None) -> str | None:
    """Return something done around a model with its revision, of which the first has no number."""
    # So that what was measured by the first revision keeps its name.
    return None if value is None else revised(name, value).removesuffix("-1")


def write_calibration(
    outputs: Store, info: ForecasterInfo, name: str, stored: StoredCalibration
) -> str:
    """Store a calibration in place of an earlier one, and return its key."""
    key = calibration_key(info.name, info.version, name)
    signed = replace(stored, digest=stored.own_digest)
    outputs.put(key, json.dumps(asdict(signed), sort_keys=True).encode())
    return key


def with_calibration(method: Method, info: ForecasterInfo, outputs: Store) -> Method:
    """Return a method with the calibration of its last backtest.

    Raises
    ------
    ConfigError
        If none has measured the same model and settings.
    CorruptedFileError
        If what it stored is damaged.
    """
    horizon = method.horizon or info.prediction_length
    key = calibration_key(info.name, info.version, calibration_name(info, method, horizon))
    try:
        content = outputs.get(key)
    except ObjectNotFoundError as error:
        raise ConfigError(
            f"calibrate: no backtest or evaluation has measured {info.name} {info.version} at "
            f"{horizon} steps with these settings",
            hint="run `gigacast backtest --calibrate` with the same flags first, or `gigacast "
            "evaluate --calibrate` where forecasts of it have their actuals",
        ) from error
    source = Source(key, CorruptedFileError, hint="run `gigacast backtest --calibrate` again")
    values = decode_json(content, source)
    stored: StoredCalibration = read_record(StoredCalibration, values, source)
    if stored.format != FORMAT or stored.digest not in {None, stored.own_digest}:
        raise source.refuse("not the digest of what it holds", "digest")
    widths = {len(row) for row in stored.factors}
    if widths != {len(stored.levels)} or stored.levels != method.levels:
        raise source.refuse("its factors are not those of its levels", "factors")
    return replace(method, calibration=Calibration(stored.levels, stored.factors))
