"""Results as values: headings, facts, tables, figures and text.

Every result that people see is built once as a `Document`. A renderer turns it into one form
(terminal, Markdown) and decides alone about widths, colours and marks. A new form is one more
function of the type `Renderer`. Programs read the result itself: its ``to_json`` holds every
number that the document shows (docs/decisions/0013).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Cell = str | int | float | None
"""A value of a table or fact. Text is shown as it is, whatever the kind; ``None`` is empty."""


class Kind(StrEnum):
    """Type of a value: decides its text, its alignment, and whether it may be shortened."""

    TEXT = "text"
    KEY = "key"
    COUNT = "count"
    NUMBER = "number"
    PERCENT = "percent"
    SIZE = "size"
    DURATION = "duration"
    DOLLARS = "dollars"
    DATE = "date"

    @property
    def is_text(self) -> bool:
        """Whether the end (text) or the middle (keys, ids) may be left out where space is short."""
        return self in {Kind.TEXT, Kind.KEY}

    @property
    def align(self) -> Literal["left", "right"]:
        """Side of the column on which values stand: numbers on the right."""
        return "left" if self.is_text or self is Kind.DATE else "right"


class Tone(StrEnum):
    """Meaning of a text, from which a renderer chooses its colour."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Header. May be broken between its words, never inside one.
    kind : Kind
        Type of its values.
    priority : int
        0 for a column that is always shown; others are left out where space is short, the
        greatest first.
    label : str
        Full name, used where there is room for it; the header by default.
    digits : int, optional
        Decimals of a percentage; as many as the value needs by default.
    align : str, optional
        ``left`` or ``right``; by the kind by default.
    has_bar : bool
        Whether a page draws a bar beside each value, as long as its share of the largest one.
    is_link : bool
        Whether its texts are the names of pages beside this one.
    """

    name: str
    kind: Kind = Kind.TEXT
    priority: int = 0
    label: str = ""
    digits: int | None = None
    align: Literal["left", "right"] | None = None
    has_bar: bool = False
    is_link: bool = False

    @property
    def full_name(self) -> str:
        """The label, or the header if there is none."""
        return self.label or self.name

    @property
    def side(self) -> Literal["left", "right"]:
        """Side on which the values stand."""
        return self.align or self.kind.align


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of the blocks that follow."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; its line breaks are kept where nothing has to be fitted."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Fact:
    """A named value."""

    name: str
    value: Cell
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Named values, one below the other."""

    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Cell]]) -> "KeyValues":
        """Return the pairs that have a value as facts of text."""
        return cls(tuple(Fact(name, value) for name, value in pairs if value not in {None, ""}))


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline number.

    Parameters
    ----------
    name : str
    value : str, int or float
    kind : Kind
    note : str
        A few words on the value: its rate, or the amount that was predicted.
    tone : Tone
        Whether the value is good or bad.
    history : tuple of float
        Values of earlier runs and of this one, for a small line; none by default.
    """

    name: str
    value: Cell
    kind: Kind = Kind.TEXT
    note: str = ""
    tone: Tone = Tone.PLAIN
    history: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline numbers, side by side where there is room."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A name and the key of an object below the same root."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Links:
    """Objects to read on, below the same root as the document."""

    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a list; ``depth`` is the number of entries that it stands below."""

    text: str
    depth: int = 0
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Items:
    """A list, nested by the depth of its entries."""

    items: tuple[Item, ...]

    @classmethod
    def of(cls, texts: Iterable[str], *, depth: int = 0, limit: int | None = None) -> "Items":
        """Return texts as a list; beyond ``limit`` a last entry counts the others."""
        entries = [Item(text, depth) for text in texts]
        if limit is not None and len(entries) > limit:
            remainder = Item(f"... and {len(entries) - limit:,} more", depth, Tone.QUIET)
            entries = [*entries[:limit], remainder]
        return cls(tuple(entries))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of typed columns.

    Parameters
    ----------
    columns : tuple of Column
    rows : tuple of tuple
        A cell for every column; NaN is shown empty, as ``None`` is.
    limit : int, optional
        Rows to show on a screen; all by default. Files hold all rows.
    rest : str
        Follows "and 12 more": where the rows beyond the limit are.

    Raises
    ------
    ValueError
        If a row has more or fewer cells than there are columns.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    limit: int | None = None
    rest: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells in a row of {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, a row of points, or a band of a figure; values per x, NaN where it has none.

    Parameters
    ----------
    name : str
        Text of the legend.
    role : str
        Meaning, from which a renderer chooses the look: ``history``, ``forecast``, ``actual``
        (points) and ``band`` of a forecast; ``line`` for one of several that are compared, and
        ``guide`` for the line that they are compared with.
    values : sequence of float [N]
        Height; the upper edge of a band.
    lower : sequence of float [N], optional
        Lower edge of a band.
    share : float
        Share of the outcomes that a band should hold, as 0.8.
    """

    name: str
    role: Literal["history", "forecast", "actual", "band", "line", "guide"]
    values: Sequence[float]
    lower: Sequence[float] | None = None
    share: float = 0.0


class Scale(StrEnum):
    """Meaning of the positions of a figure: decides ticks and proportions.

    ``STEP`` for numbered steps, ``TIME`` for seconds since 1970 (UTC), ``SHARE`` for shares of 1
    on both axes.
    """

    STEP = "step"
    TIME = "time"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture as data.

    Parameters
    ----------
    title : str
    x : tuple of str [N]
        Labels of the positions: times, or levels.
    curves : tuple of Curve
        The bands from the widest to the narrowest.
    border : int
        Number of positions before the forecast begins.
    places : tuple of float [N], optional
        Positions on the axis, ascending; 0, 1, 2, ... by default.
    scale : Scale
        Meaning of the positions.
    x_name : str
        Title of the axis; may be empty.
    y_name : str
        Quantity and unit of the heights; may be empty.

    Raises
    ------
    ValueError
        If a curve has more or fewer values than there are positions.
    """

    title: str
    x: tuple[str, ...]
    curves: tuple[Curve, ...]
    border: int = 0
    places: tuple[float, ...] | None = None
    scale: Scale = Scale.STEP
    x_name: str = ""
    y_name: str = ""

    def __post_init__(self) -> None:
        if self.places is not None and len(self.places) != len(self.x):
            raise ValueError(f"{len(self.places)} places for {len(self.x)} labels")
        for curve in self.curves:
            for values in (curve.values, curve.lower):
                if values is not None and len(values) != len(self.x):
                    raise ValueError(
                        f"{len(values)} values of {curve.name} at {len(self.x)} places"
                    )

    def of_role(self, role: str) -> list[Curve]:
        """Return the curves of a role."""
        return [curve for curve in self.curves if curve.role == role]


_NOTHING: tuple[object, ...] = (Items(()), KeyValues(()), Tiles(()), Links(()))
Block = Heading | Paragraph | KeyValues | Items | Table | Figure | Tiles | Links


@dataclass(frozen=True, slots=True)
class Document:
    """A result, ready to be rendered.

    Parameters
    ----------
    blocks : tuple of Block
    title : str
        May be empty.
    tone : Tone
        Colour of the title: good, bad or a warning.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    tone: Tone = Tone.PLAIN

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures among the blocks."""
        return tuple(block for block in self.blocks if isinstance(block, Figure))

    @property
    def content(self) -> tuple[Block, ...]:
        """Blocks that show something: lists and facts without entries are left out."""
        return tuple(block for block in self.blocks if block not in _NOTHING)

    def followed_by(self, *blocks: Block) -> "Document":
        """Return the document with more blocks at its end."""
        return Document((*self.blocks, *blocks), self.title, self.tone)


def plain_facts(block: Tiles | Links) -> KeyValues:
    """Return headline numbers or links as facts, for forms that have nothing else for them."""
    if isinstance(block, Links):
        return KeyValues(tuple(Fact(link.name, link.key, Kind.KEY) for link in block.links))
    facts = []
    for tile in block.tiles:
        facts.append(Fact(tile.name, tile.value, tile.kind))
        if tile.note:
            facts.append(Fact("", tile.note))
    return KeyValues(tuple(facts))


Renderer = Callable[[Document], str]
"""Turns a document into one form; handles every kind of `Block`."""


def titled(title: str, table: Table) -> tuple[Heading, Table]:
    """Return a table below its heading."""
    return Heading(title), table
