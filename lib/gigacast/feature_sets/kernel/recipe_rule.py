"""The rules of a recipe: rows to learn from, scaling and selection of features."""

from dataclasses import dataclass
from datetime import datetime

from gigacast.core.mark import Names, Text
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.frame import check_choice, check_count
from gigacast.feature_sets.kernel.ranking import MEASURES
from gigacast.feature_sets.kernel.scaling import METHODS


@dataclass(frozen=True, slots=True)
class Training:
    """The rows to learn from: scales and ranks use no others.

    Parameters
    ----------
    until : str, optional
        Time of the last row to learn from (ISO 8601).
    share : float, optional
        Share of the rows to learn from, the earliest first.
    """

    until: Text | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.until is None) == (self.share is None):
            raise ConfigError("give until or share", hint="as training: {share: 0.8}")
        if self.share is not None and not 0 < self.share <= 1:
            raise ConfigError(f"share: {self.share!r} is not between 0 and 1")
        if self.until is not None:
            try:
                datetime.fromisoformat(str(self.until))
            except ValueError as error:
                raise ConfigError(
                    f"until: {self.until!r} is no moment", hint="as 2020-01-01"
                ) from error


@dataclass(frozen=True, slots=True)
class Scale:
    """The scaling of features, fitted on the whole training part.

    Parameters
    ----------
    method : {"standard", "minmax", "robust"}
    columns : tuple of str
        Features to scale; all by default.
    """

    method: str = "standard"
    columns: Names = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method: {self.method!r} is none of {', '.join(METHODS)}")


@dataclass(frozen=True, slots=True)
class Select:
    """The selection of features by how well they predict a target.

    Parameters
    ----------
    target : str
        Column or feature whose value ``ahead`` rows later is predicted.
    ahead : int
    measure : {"mutual_information", "pearson", "spearman"}
    count : int, optional
        Maximum number of features; all that predict anything by default.
    most_alike : float
        Maximum rank correlation with a better feature; more similar ones are left out.
    """

    target: str
    ahead: int = 1
    measure: str = "mutual_information"
    count: int | None = None
    most_alike: float = 0.95

    def __post_init__(self) -> None:
        check_count("ahead", self.ahead)
        check_choice("measure", self.measure, MEASURES)
        if self.count is not None:
            check_count("count", self.count)
        if not 0 < self.most_alike <= 1:
            raise ConfigError(f"most_alike: {self.most_alike!r} is not between 0 and 1")
