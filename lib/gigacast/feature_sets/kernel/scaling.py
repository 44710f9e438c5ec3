"""Scaling of columns, fitted on the training part and applied to all rows."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray
from gigacast.core.mark import Count, Fits, Limits
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import ConfigError, CorruptedFileError

Method = Literal["standard", "minmax", "robust"]
METHODS: tuple[Method, ...] = get_args(Method)
_Centre = Annotated[float, Limits()]
_Scale = Annotated[_Centre, Fits(bool, "a number that is not 0")]


@dataclass(frozen=True)
class Scaler:
    """Subtracts a centre and divides by a scale, for each column.

    Parameters
    ----------
    method : {"standard", "minmax", "robust"}
        Centre and scale: mean and standard deviation; minimum and range; median and interquartile
        range.
    centre, scale : mapping of str to float
        Centre and scale by column. A scale is never zero; for a column that does not vary it is 1.
    rows : int
        Number of rows of the fit.
    until : str, optional
        Last time of the fit (ISO 8601); unknown by default.

    Examples
    --------
    >>> scaler = Scaler.fit({"x": np.array([1.0, 2.0, 3.0, 100.0])}, np.arange(4) < 3, "minmax")
    >>> scaler.transform({"x": np.array([2.0, 5.0])})["x"].tolist()
    [0.5, 2.0]
    """

    method: Method
    centre: dict[str, _Centre]
    scale: dict[str, _Scale]
    rows: Count
    until: str | None = None

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, DoubleArray],
        training: BoolArray,
        method: Method = "standard",
        until: str | None = None,
    ) -> "Scaler":
        """Return a scaler fitted on the training rows only.

        Raises
        ------
        ConfigError
            If the method is unknown, there is no training row, or a column has no value in them.
        """
        if method not in METHODS:
            raise ConfigError(f"scale.method: {method!r} is none of {', '.join(METHODS)}")
        if not training.any():
            raise ConfigError(f"no row is in the training part, up to {until}")
        centre, scale = {}, {}
        for name, values in columns.items():
            # Only the training part, because scales of later rows would tell features about the
            # future.
            sample = values[training & ~np.isnan(values)]
            if not len(sample):
                raise ConfigError(
                    f"{name} has no value in the training part",
                    hint="leave it out, or train on more",
                )
            fit = _fitted(sample, method)
            centre[name], scale[name] = fit.centre, fit.scale
        return cls(method, centre, scale, int(training.sum()), until)

    def transform(self, columns: Mapping[str, DoubleArray]) -> dict[str, DoubleArray]:
        """Return scaled columns. Columns without a scale do not change."""
        return {
            name: (values - self.centre[name]) / self.scale[name] if name in self.centre else values
            for name, values in columns.items()
        }

    def restore(self, columns: Mapping[str, DoubleArray]) -> dict[str, DoubleArray]:
        """Return the original values of scaled columns."""
        return {
            name: values * self.scale[name] + self.centre[name] if name in self.centre else values
            for name, values in columns.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def to_json(self) -> bytes:
        """Return JSON, as stored in a separate file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes, where: str = "the scaler") -> "Scaler":
        """Return a scaler from its JSON.

        Raises
        ------
        CorruptedFileError
        """
        return cls.from_dict(decode_json(content, _source(where)), where)

    @classmethod
    def from_dict(cls, values: Any, where: str = "the scaler") -> "Scaler":
        """Return a scaler from plain values.

        Raises
        ------
        CorruptedFileError
        """
        # A zero or NaN in a damaged scaler would spoil features silently.
        scaler = read_record(cls, values, _source(where))
        if scaler.centre.keys() != scaler.scale.keys():
            raise _source(where).refuse("other columns than those of centre", "scale")
        return scaler


def _source(place: str) -> Source:
    return Source(place, CorruptedFileError, "not a scaler")


class _Fit(NamedTuple):
    centre: float
    scale: float


def _fitted(sample: DoubleArray, method: Method) -> _Fit:
    if method == "standard":
        centre, scale = sample.mean(), sample.std()
        # The deviation of a constant may differ from zero by rounding.
        scale = 0.0 if np.ptp(sample) == 0 else scale
    elif method == "minmax":
        centre, scale = sample.min(), np.ptp(sample)
    else:
        low, centre, high = np.percentile(sample, [25, 50, 75])
        scale = high - low
    return _Fit(float(centre), float(scale) if scale > 0 else 1.0)
