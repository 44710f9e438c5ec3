"""Scaling that is fitted on the training part, kept, and applied to everything."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray
from gigacast.errors import ConfigError, CorruptedFileError

Method = Literal["standard", "minmax", "robust"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Scaler:
    """Takes off a centre and divides by a scale, column by column.

    Parameters
    ----------
    method : {"standard", "minmax", "robust"}
        Mean and standard deviation; least value and range; median and interquartile range.
    centre, scale : mapping of str to float
        By column. A scale is never zero: a column that does not vary is divided by 1.
    rows : int
        It was fitted on.
    until : str, optional
        The moment up to which it was fitted (ISO 8601).

    Examples
    --------
    >>> scaler = Scaler.fit({"x": np.array([1.0, 2.0, 3.0, 100.0])}, np.arange(4) < 3, "minmax")
    >>> scaler.transform({"x": np.array([2.0, 5.0])})["x"].tolist()
    [0.5, 2.0]
    """

    method: Method
    centre: dict[str, float]
    scale: dict[str, float]
    rows: int
    until: str | None = None

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, DoubleArray],
        training: BoolArray,
        method: Method = "standard",
        until: str | None = None,
    ) -> "Scaler":
        """Fit on the rows to train on, and on no other.

        Raises
        ------
        ConfigError
            When the method is unknown, there is no such row, or a column has no value in them.
        """
        if method not in METHODS:
            raise ConfigError(f"scale.method: {method!r} is none of {', '.join(METHODS)}")
        if not training.any():
            raise ConfigError(f"no row lies in the training part, up to {until}")
        centre, scale = {}, {}
        for name, values in columns.items():
            known = values[training & ~np.isnan(values)]
            if not len(known):
                raise ConfigError(
                    f"{name} has no value in the training part",
                    hint="leave it out, or train on more",
                )
            centre[name], scale[name] = _fitted(known, method)
        return cls(method, centre, scale, int(training.sum()), until)

    def transform(self, columns: Mapping[str, DoubleArray]) -> dict[str, DoubleArray]:
        """Return columns scaled; those it was not fitted on as they are."""
        return {
            name: (values - self.centre[name]) / self.scale[name] if name in self.centre else values
            for name, values in columns.items()
        }

    def restore(self, columns: Mapping[str, DoubleArray]) -> dict[str, DoubleArray]:
        """Return scaled columns as they were."""
        return {
            name: values * self.scale[name] + self.centre[name] if name in self.centre else values
            for name, values in columns.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def to_json(self) -> bytes:
        """Return it as it is stored in a file of its own."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes, where: str = "the scaler") -> "Scaler":
        """Read a stored one.

        Raises
        ------
        CorruptedFileError
        """
        try:
            values = json.loads(content)
        except ValueError as error:
            raise CorruptedFileError(f"{where}: not a scaler: {error}") from error
        return cls.from_dict(values, where)

    @classmethod
    def from_dict(cls, values: Any, where: str = "the scaler") -> "Scaler":
        """Read one from plain values.

        Raises
        ------
        CorruptedFileError
        """
        try:
            found = cls(**values)
            numbers = [*found.centre.values(), *found.scale.values()]
            sound = all(type(one) in {int, float} and np.isfinite(one) for one in numbers)
        except (TypeError, AttributeError) as error:
            raise CorruptedFileError(f"{where}: not a scaler: {error}") from error
        sound &= found.method in METHODS and found.centre.keys() == found.scale.keys()
        if not sound or any(one == 0 for one in found.scale.values()):
            raise CorruptedFileError(f"{where}: not a scaler")
        return found


def _fitted(known: DoubleArray, method: Method) -> tuple[float, float]:
    if method == "standard":
        centre, scale = known.mean(), known.std()
        scale = 0.0 if np.ptp(known) == 0 else scale
    elif method == "minmax":
        centre, scale = known.min(), np.ptp(known)
    else:
        low, centre, high = np.percentile(known, [25, 50, 75])
        scale = high - low
    return float(centre), float(scale) if scale > 0 else 1.0
