"""Recipes: the features of a feature set and their columns, as data.

`Recipe.to_dict` and `Recipe.from_dict` are its form in YAML, JSON and metadata. A list where one
value is expected stands for each of its values in turn: ``window: [20, 60]`` are two features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Annotated, Any

from gigacast.core.form import form_of
from gigacast.core.mark import Names, ReadAs, Text
from gigacast.core.problem import FormError, Source, describe
from gigacast.core.record import plain_fields, read_record
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.definition import (
    Correlation,
    Difference,
    Lag,
    Ratio,
    Return,
    Rolling,
    Spread,
)
from gigacast.feature_sets.kernel.definition_bar import (
    Convergence,
    Profile,
    RelativeStrength,
    Volatility,
)
from gigacast.feature_sets.kernel.frame import Feature, check_count, window_rows
from gigacast.feature_sets.kernel.recipe_rule import Scale, Select, Training

KINDS: Mapping[str, type[Feature]] = {
    "lag": Lag,
    "rolling": Rolling,
    "difference": Difference,
    "return": Return,
    "spread": Spread,
    "ratio": Ratio,
    "correlation": Correlation,
    "volatility": Volatility,
    "rsi": RelativeStrength,
    "macd": Convergence,
    "volume_profile": Profile,
}
MAX_FEATURES = 100_000
"""Maximum features of an entry, whose lists are multiplied with each other."""

_NAME_OF = {kind: name for name, kind in KINDS.items()}


def _read_features(entries: list[Any]) -> tuple[Feature, ...]:
    features: list[Feature] = []
    for index, entry in enumerate(entries):
        try:
            features += _read_entry(entry)
        except FormError as problem:
            raise problem.within(index) from problem.__cause__
    return tuple(features)


def _read_entry(entry: Any) -> list[Feature]:
    """Return the features of an entry: a list stands for each of its values in turn."""
    kind = entry.get("kind") if isinstance(entry, Mapping) else entry
    if not isinstance(entry, Mapping) or not isinstance(kind, str) or kind not in KINDS:
        raise FormError(
            f"there is no kind of feature {describe(kind)}", hint=f"kinds: {', '.join(KINDS)}"
        )
    fields = {
        name: value if isinstance(value, list) else [value]
        for name, value in entry.items()
        if name != "kind"
    }
    # Checked on the product, before it is made: a few long lists would fill the memory.
    if prod(map(len, fields.values())) > MAX_FEATURES:
        raise FormError(f"its lists make more than {MAX_FEATURES:,} features")
    form = form_of(KINDS[kind])
    chosen = product(*fields.values())
    return [form.make(dict(zip(fields, values, strict=True))) for values in chosen]


@dataclass(frozen=True)
class Recipe:
    """A feature set: its features and the rules for computing them.

    Parameters
    ----------
    name : str
    features : tuple of Feature
        Features in the order of computation; names that start with ``_`` stay internal.
    keep : tuple of str
        Columns that are copied to the output.
    contract : str, optional
        Predefined contract that the output keeps.
    training : Training, optional
        Rows to learn from; required by scaling and selection.
    scale : Scale, optional
    select : Select, optional
    bars_per_day : int, optional
        Rows of a trading day, for windows such as ``30d``.
    description : str

    Examples
    --------
    >>> recipe = Recipe.from_dict(
    ...     {"name": "mine", "features": [{"kind": "lag", "column": "close", "steps": [1, 2]}]})
    >>> recipe.names
    ('close_lag_1', 'close_lag_2')
    """

    name: Text
    features: Annotated[tuple[Feature, ...], ReadAs(list[Any], _read_features)] = ()
    keep: Names = ()
    contract: str | None = None
    training: Training | None = None
    scale: Scale | None = None
    select: Select | None = None
    bars_per_day: int | None = None
    description: Annotated[str, ReadAs(Text | None, lambda text: text or "")] = ""

    def __post_init__(self) -> None:
        if not self.features and not self.keep:
            raise ConfigError(f"the recipe {self.name!r} has no features")
        if self.bars_per_day is not None:
            check_count("bars_per_day", self.bars_per_day)
        names = [*self.keep, *(name for feature in self.features for name in feature.names)]
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise ConfigError(
                f"the recipe {self.name!r} makes {twice[0]!r} twice", hint="give one a name"
            )
        if (self.scale or self.select) and self.training is None:
            rule = "scale" if self.scale else "select"
            raise ConfigError(
                f"the recipe {self.name!r}: {rule} needs training",
                hint="as training: {until: 2020-01-01}, or {share: 0.8}",
            )
        # Scaled values break the ranges of a contract, and selection leaves out its columns.
        if self.contract is not None and (self.scale or self.select):
            rule = "scaled" if self.scale else "selected"
            raise ConfigError(
                f"the recipe {self.name!r}: {rule} features don't keep {self.contract}",
                hint="leave the contract out",
            )
        if self.scale and (lost := [n for n in self.scale.columns if n not in self.names]):
            raise ConfigError(f"scale.columns: {lost[0]!r} is no feature of {self.name!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features in the output."""
        names = (name for feature in self.features for name in feature.names)
        return tuple(name for name in names if not name.startswith("_"))

    @property
    def learns(self) -> bool:
        """Whether scaling or selection is fitted before features are written."""
        return self.scale is not None or self.select is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        computed: set[str] = set()
        columns = dict.fromkeys(self.keep)
        for feature in self.features:
            # Columns that an earlier feature computes are not read.
            columns |= dict.fromkeys(name for name in feature.columns if name not in computed)
            computed.update(feature.names)
        if self.select is not None and self.select.target not in computed:
            columns[self.select.target] = None
        return tuple(columns)

    @property
    def assets(self) -> dict[str, tuple[str, ...]]:
        """Columns that are read of other items, by item."""
        by_item: dict[str, list[str]] = {}
        for feature in self.features:
            if isinstance(feature, Correlation) and feature.item is not None:
                by_item.setdefault(feature.item, []).append(feature.other)
        return {item: tuple(dict.fromkeys(columns)) for item, columns in by_item.items()}

    def reach(self, bars_per_day: int | None = None) -> int:
        """Return the number of earlier rows that the features of a row depend on.

        Recursive averages depend on all rows before; those whose weight is below 1e-9 don't count.

        Parameters
        ----------
        bars_per_day : int, optional
            Rows of a trading day; the recipe's by default, or 1.
        """
        bars = bars_per_day or self.bars_per_day or 1
        reached: dict[str, int] = {}
        for feature in self.features:
            before = max((reached.get(name, 0) for name in feature.columns), default=0)
            own = feature.reach(lambda window: window_rows(window, bars))
            reached |= dict.fromkeys(feature.names, before + own)
        return max(reached.values(), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, defaults left out."""
        plain: dict[str, Any] = {"name": self.name}
        for name in ("description", "contract", "bars_per_day"):
            if value := getattr(self, name):
                plain[name] = value
        if self.keep:
            plain["keep"] = list(self.keep)
        for name in ("training", "scale", "select"):
            if (rule := getattr(self, name)) is not None:
                plain[name] = plain_fields(rule)
        plain["features"] = [
            {"kind": _NAME_OF[type(feature)], **plain_fields(feature)} for feature in self.features
        ]
        return plain

    @classmethod
    def from_dict(cls, values: Any, where: str = "") -> "Recipe":
        """Read a recipe from plain values.

        Parameters
        ----------
        values : object
            As `to_dict` gives them, or YAML.
        where : str
            Key or path of the file, for messages; none by default.

        Raises
        ------
        ConfigError
            If an entry is wrong; the message names its place.
        """
        return read_record(cls, values, Source(where, ConfigError, "not a recipe"))
