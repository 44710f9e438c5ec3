"""Recipes: which features of which columns, as data.

`Recipe.to_dict` and `Recipe.from_dict` are its form in YAML, JSON and metadata. A list where one
value is expected stands for each of its values in turn: ``window: [20, 60]`` are two features.
"""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

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
from gigacast.feature_sets.kernel.frame import Feature, check_count
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
_TEXTS = {"column", "other", "above", "below", "price", "volume", "close", "name", "item"}
_NAME_OF = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Recipe:
    """A feature set, as it is computed.

    Parameters
    ----------
    name : str
    features : tuple of Feature
        In the order they are computed; those whose name starts with ``_`` are not given out.
    keep : tuple of str
        Columns that are carried along.
    contract : str, optional
        A predefined contract that the outcome keeps.
    training : Training, optional
        Needed to scale and to select.
    scale : Scale, optional
    select : Select, optional
    bars_per_day : int, optional
        Rows of a day of trading, which windows such as ``30d`` are made of.
    description : str

    Examples
    --------
    >>> recipe = Recipe.from_dict(
    ...     {"name": "mine", "features": [{"kind": "lag", "column": "close", "steps": [1, 2]}]})
    >>> recipe.names
    ('close_lag_1', 'close_lag_2')
    """

    name: str
    features: tuple[Feature, ...]
    keep: tuple[str, ...] = ()
    contract: str | None = None
    training: Training | None = None
    scale: Scale | None = None
    select: Select | None = None
    bars_per_day: int | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if not self.features and not self.keep:
            raise ConfigError(f"the recipe {self.name!r} has no features")
        if self.bars_per_day is not None:
            check_count("bars_per_day", self.bars_per_day)
        made = [*self.keep, *(name for one in self.features for name in one.names)]
        if twice := [name for place, name in enumerate(made) if name in made[:place]]:
            raise ConfigError(
                f"the recipe {self.name!r} makes {twice[0]!r} twice", hint="give one a name"
            )
        if (self.scale or self.select) and self.training is None:
            what = "scale" if self.scale else "select"
            raise ConfigError(
                f"the recipe {self.name!r}: {what} needs training",
                hint="as training: {until: 2020-01-01}, or {share: 0.8}",
            )
        if self.contract is not None and (self.scale or self.select):
            what = "scaled" if self.scale else "selected"
            raise ConfigError(
                f"the recipe {self.name!r}: {what} features don't keep {self.contract}",
                hint="leave the contract out",
            )
        if self.scale and (lost := [n for n in self.scale.columns if n not in self.names]):
            raise ConfigError(f"scale.columns: {lost[0]!r} is no feature of {self.name!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are given out."""
        made = (name for feature in self.features for name in feature.names)
        return tuple(name for name in made if not name.startswith("_"))

    @property
    def learns(self) -> bool:
        """Whether rows are to be trained on before features are given out."""
        return self.scale is not None or self.select is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        made: set[str] = set()
        wanted = dict.fromkeys(self.keep)
        for feature in self.features:
            wanted |= dict.fromkeys(name for name in feature.columns if name not in made)
            made.update(feature.names)
        if self.select is not None and self.select.target not in made:
            wanted[self.select.target] = None
        return tuple(wanted)

    @property
    def assets(self) -> dict[str, tuple[str, ...]]:
        """Which columns of which other items are looked at."""
        found: dict[str, list[str]] = {}
        for feature in self.features:
            if isinstance(feature, Correlation) and feature.item is not None:
                found.setdefault(feature.item, []).append(feature.other)
        return {item: tuple(dict.fromkeys(columns)) for item, columns in found.items()}

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
                plain[name] = _plain(rule)
        plain["features"] = [
            {"kind": _NAME_OF[type(feature)], **_plain(feature)} for feature in self.features
        ]
        return plain

    @classmethod
    def from_dict(cls, values: Any) -> "Recipe":
        """Read a recipe from plain values.

        Raises
        ------
        ConfigError
            Naming the entry that is wrong.
        """
        known = _checked("a recipe", values, cls)
        if "name" not in known or not isinstance(known.get("features", []), list):
            raise ConfigError("a recipe needs a name and a list of features")
        known["features"] = tuple(
            feature for entry in known.get("features", []) for feature in _features(entry)
        )
        known["keep"] = _texts("keep", known.get("keep", ()))
        for name, kind in (("training", Training), ("scale", Scale), ("select", Select)):
            if known.get(name) is not None:
                known[name] = _rule(name, known[name], kind)
        return cls(**known)


def _rule(name: str, values: Any, kind: Any) -> Any:
    known = _checked(name, values, kind)
    if "columns" in known:
        known["columns"] = _texts(f"{name}.columns", known["columns"])
    if "until" in known:  # YAML reads a date by itself
        known["until"] = str(known["until"])
    return _made(name, kind, known)


def _features(entry: Any) -> Iterator[Feature]:
    if not isinstance(entry, Mapping) or entry.get("kind") not in KINDS:
        found = entry.get("kind") if isinstance(entry, Mapping) else entry
        raise ConfigError(
            f"there is no kind of feature {found!r}", hint=f"kinds: {', '.join(KINDS)}"
        )
    kind = entry["kind"]
    rest = {name: value for name, value in entry.items() if name != "kind"}
    known = _checked(kind, rest, KINDS[kind])
    for name in _TEXTS & known.keys():
        values = known[name] if isinstance(known[name], list) else [known[name]]
        if not all(isinstance(value, str) for value in values):
            raise ConfigError(f"{kind}: {name}: {known[name]!r} is no name")
    lists = [value if isinstance(value, list) else [value] for value in known.values()]
    for chosen in product(*lists):
        yield _made(kind, KINDS[kind], dict(zip(known, chosen, strict=True)))


def _made(what: str, kind: Any, known: dict[str, Any]) -> Any:
    needed = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty and name not in known
    ]
    if needed:
        raise ConfigError(f"{what} needs {needed[0]!r}")
    try:
        return kind(**known)
    except TypeError as error:
        raise ConfigError(f"{what} can't be read: {error}") from error


def _checked(what: str, values: Any, kind: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what} is a mapping, got {type(values).__name__}")
    names = [field.name for field in dataclasses.fields(kind)]
    if unknown := [str(name) for name in values if name not in names]:
        raise ConfigError(f"{what} has no {unknown[0]!r}", hint=f"it has {', '.join(names)}")
    return dict(values)


def _texts(what: str, value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{what}: expected names, got {value!r}")
    return found


def _plain(value: Any) -> dict[str, Any]:
    plain = {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }
    return {name: list(one) if isinstance(one, tuple) else one for name, one in plain.items()}
