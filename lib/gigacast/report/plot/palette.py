"""Colours of all pictures and pages, light and dark."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours by their use, as ``#rrggbb``.

    Parameters
    ----------
    ground, raised : str
        Background of the page, and of the part of a plot that is a forecast.
    ink, muted, line : str
        Text, its less important parts, and rules.
    history, forecast, actual : str
        Curves of a forecast; bands are tints of ``forecast``.
    good, warning, bad : str
        Texts with these tones.
    compared : tuple of str
        Lines that are compared with each other.
    """

    ground: str
    raised: str
    ink: str
    muted: str
    line: str
    history: str
    forecast: str
    actual: str
    good: str
    warning: str
    bad: str
    compared: tuple[str, ...]


LIGHT = Palette(
    ground="#ffffff",
    raised="#f4f7fa",
    ink="#1f2328",
    muted="#59636e",
    line="#e1e4e8",
    history="#3d444d",
    forecast="#0b62a8",
    actual="#d9480f",
    good="#1a7f37",
    warning="#8a6100",
    bad="#c4232e",
    compared=(
        *("#0b62a8", "#d9480f", "#2b8a3e", "#862e9c"),
        *("#8a6d00", "#c2255c", "#0b7285", "#5f3dc4"),
    ),
)
DARK = Palette(
    ground="#0f1317",
    raised="#171d24",
    ink="#e8ebee",
    muted="#9ba6b2",
    line="#2a323b",
    history="#b8c1ca",
    forecast="#6db3f2",
    actual="#ff9a52",
    good="#5fd38d",
    warning="#e6b84c",
    bad="#ff8a8a",
    compared=(
        *("#6db3f2", "#ff9a52", "#6fce83", "#d39ae6"),
        *("#e0c25a", "#f589ae", "#5ccfe0", "#a996f5"),
    ),
)
