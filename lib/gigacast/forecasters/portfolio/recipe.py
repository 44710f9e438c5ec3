"""The recipe of a portfolio: its members, its mixtures of them, and which series gets which.

It is the file ``portfolio.json`` of a model version. A portfolio by series, or by a property that
no series has by itself, has a table ``choices.parquet`` beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from gigacast.core.mark import Count, Limits
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import ModelIntegrityError
from gigacast.forecasters.around.enhancement import Enhancement

PORTFOLIO = "portfolio.json"
CHOICES = "choices.parquet"
FORMAT = 1
Rule = Literal["all", "frequency", "table"]
"""How a series finds its mixture: all have the fallback, by frequency, or by `CHOICES`."""
_HINT = "select again: `gigacast models select`"


@dataclass(frozen=True)
class Member:
    """A model of a portfolio, pinned to its bytes.

    Parameters
    ----------
    reference : str
        Name by which every machine finds it, without its version.
    name, version, digest : str
    enhance : str, optional
        Changes of contexts around it; none by default.
    """

    reference: str
    name: str
    version: str
    digest: str
    enhance: Enhancement | None = None

    @property
    def label(self) -> str:
        """Name for people: ``NAME/VERSION``, and what is done around it."""
        return label_of(self.name, self.version, self.enhance)


def label_of(name: str, version: str, enhance: str | None) -> str:
    """Return the name of a model and of what is done around it, for people."""
    # Version 1 of models without files says nothing.
    shown = name if version == "1" else f"{name}/{version}"
    return shown if enhance is None else f"{shown}+{enhance}"


@dataclass(frozen=True)
class Portfolio:
    """Members, mixtures of them, and the mixture of each series.

    Parameters
    ----------
    horizon : int
        Horizon by which was chosen.
    members : tuple of Member
        M models.
    mixtures : tuple of tuple of float
        Weights of the members, [K][M]; each row adds up to 1.
    fallback : int
        Mixture of series that no choice was made for.
    rule : {"all", "frequency", "table"}
    frequencies : mapping of str to int
        Mixture of each frequency, for the rule ``frequency``.
    seed : int
        Seed of the hashes by which choices are found.
    format : int
    """

    horizon: Annotated[int, Limits(1)]
    members: tuple[Member, ...]
    mixtures: tuple[tuple[Annotated[float, Limits(0, 1)], ...], ...]
    fallback: Count = 0
    rule: Rule = "all"
    frequencies: Mapping[str, Count] = field(default_factory=dict)
    seed: Count = 0
    format: Count = FORMAT

    def to_bytes(self) -> bytes:
        """Return the recipe as it is stored."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()


def is_portfolio(folder: Path | None) -> bool:
    """Return whether the folder of a model holds a portfolio."""
    return folder is not None and (folder / PORTFOLIO).is_file()


def read_portfolio(folder: Path) -> Portfolio:
    """Return the recipe in a folder.

    Raises
    ------
    ModelIntegrityError
        If it is damaged or contradicts itself.
    """
    path = folder / PORTFOLIO
    return parse_portfolio(path.read_bytes(), str(path))


def parse_portfolio(content: bytes, label: str) -> Portfolio:
    """Return the recipe of its stored bytes.

    Raises
    ------
    ModelIntegrityError
    """
    source = Source(label, ModelIntegrityError, "not a portfolio", _HINT)
    values: Any = decode_json(content, source)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise source.refuse(f"not of format {FORMAT}; a later release may have made it", "format")
    portfolio = read_record(Portfolio, values, source, required=("fallback", "rule"))
    if not portfolio.members:
        raise source.refuse("none", "members")
    for place, weights in enumerate(portfolio.mixtures):
        if len(weights) != len(portfolio.members) or abs(sum(weights) - 1) > 1e-6:
            raise source.refuse("not a weight for each member that add up to 1", f"[{place}]")
    named = (portfolio.fallback, *portfolio.frequencies.values())
    if max(named) >= len(portfolio.mixtures):
        raise source.refuse("a mixture that is not listed", "fallback or frequencies")
    return portfolio
