"""A form: one way to write a panel and to hand it to the package."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import pyarrow as pa

from tests.forms.files import FILES, PLACES, FileForm, Place
from tests.forms.ids import IDS, IdForm
from tests.forms.panel import PANELS, Panel
from tests.forms.tables import FRAMES, LAYOUTS, ORDERS, Columns, Key, Layout, Row
from tests.forms.times import TIMES, TimeForm
from tests.forms.values import VALUES, ValueForm

MEMORY = "memory"
"""Place of frames."""
FRAME_DOORS = ("forecast", "training", "backtest")
FILE_DOORS = (
    "job",
    "job on S3",
    "backtest",
    "evaluate",
    "training",
    "quality",
    "loader",
    "import",
    "clean",
)
_WITH_ITEM_ID = ("long", "long, among others", "lists", "large lists", "several lists")
_NAMED_LONG = ("long", "long, of Nixtla", "long, other names")
_SPELLED_VALUES = ("double", "float", "int64", "decimal128(10, 2)")
_NOT_IN_POLARS = (
    *(
        "intervals",
        "run ends",
        "decimal",
        "bool8",
        "uuid",
        "json",
        "hal",
        "float16",
        "views of lists",
    ),
    *("dictionary", "structs", "date64"),
)
_PERIODS = ("years", "quarters", "months", "days", "hours", "quarter hours")


@dataclass(frozen=True)
class Form:
    """Names of an entry of every axis.

    ``carrier`` is a frame of `FRAMES` or a file of `FILES`; ``place`` is `MEMORY` for frames.
    """

    panel: str
    ids: str
    times: str
    values: str
    layout: str
    order: str
    carrier: str
    place: str
    door: str

    def __str__(self) -> str:
        return " | ".join(str(getattr(self, field.name)) for field in fields(self))


AXES: dict[str, tuple[str, ...]] = {
    "panel": tuple(PANELS),
    "ids": tuple(IDS),
    "times": tuple(TIMES),
    "values": tuple(VALUES),
    "layout": tuple(LAYOUTS),
    "order": tuple(ORDERS),
    "carrier": (*FRAMES, *FILES),
    "place": (MEMORY, *PLACES),
    "door": tuple(dict.fromkeys((*FRAME_DOORS, *FILE_DOORS))),
}


@dataclass(frozen=True)
class Parts:
    """The entries of a form's axes."""

    panel: Panel
    ids: IdForm
    times: TimeForm
    values: ValueForm
    layout: Layout
    file: FileForm | None
    place: Place | None
    form: Form


def parts_of(form: Form, panel: Panel | None = None) -> Parts:
    """Return the entries of a form; of another panel than the one it names, if given."""
    parts = _entries(form, panel or PANELS[form.panel])
    panel = parts.panel.with_values(parts.values.convert)
    return replace(parts, panel=replace(panel, items=panel.items[: len(parts.ids.names)]))


def _entries(form: Form, panel: Panel) -> Parts:
    """Return the entries of a form, with the panel's own values."""
    return Parts(
        panel,
        IDS[form.ids],
        TIMES[form.times],
        VALUES[form.values],
        LAYOUTS[form.layout],
        FILES.get(form.carrier),
        PLACES.get(form.place),
        form,
    )


def canonical_form(panel: Panel, door: str) -> Form:
    """Return the canonical form of a panel as a file; `parts_of` takes the panel beside it."""
    times = "step int64" if panel.step.finest == "step" else "timestamp[us]"
    return Form(
        panel="", ids="texts", times=times, values="double", layout="long", order="by item",
        carrier="Parquet", place="a month", door=door,
    )  # fmt: skip


def is_possible(form: Form, panel: Panel | None = None) -> bool:
    """Check whether the axes of a form go together, and at most one of them is refused."""
    parts = _entries(form, panel or PANELS[form.panel])
    if (parts.file is None) != (form.place == MEMORY):
        return False
    if not (parts.times.spells(parts.panel) and parts.layout.holds(parts.panel)):
        return False
    # A part of the rows shows that the form of the others is another one; starts are too few.
    if "no form" in parts.times.refused and parts.layout.shape == "complete":
        return False
    fits = _is_frame(parts) if parts.file is None else _is_file(parts, parts.file)
    # Of two faults either may be named.
    return fits and len(refusals_of(parts)) < 2


def _is_frame(parts: Parts) -> bool:
    form = parts.form
    if form.door not in FRAME_DOORS or (form.carrier == "polars" and not _is_polars(parts)):
        return False
    if form.carrier == "DuckDB relation":
        # It has the zone of its session, and gives the codes of dictionaries in such lists.
        return parts.times.zone in {"", "UTC"} and form.layout != "lists of one size"
    # pandas' lists of times have no zone.
    if "pandas" in form.carrier and parts.layout.kind == "list" and parts.times.zone:
        return False
    # pandas makes whole numbers of floats that are whole.
    if form.carrier == "pandas, nullable" and form.ids in {"floats", "halves"}:
        return False
    if form.carrier == "pandas, periods":
        is_period = form.times == "timestamp[us]" and parts.panel.step.name in _PERIODS
        return is_period and form.layout in _NAMED_LONG
    is_named = "index" in form.carrier or form.carrier == "pandas, categories"
    return form.layout in _NAMED_LONG or not is_named


def _is_polars(parts: Parts) -> bool:
    """Check whether polars has such columns: of some others it aborts the process."""
    names = (parts.ids.name, parts.times.name, parts.values.name, parts.layout.name)
    return not any(word in name for name in names for word in _NOT_IN_POLARS)


def _is_file(parts: Parts, file: FileForm) -> bool:
    form, place = parts.form, parts.place
    if place is None or form.door not in FILE_DOORS or not _spells(file, parts):
        return False
    # pandas' lists of times have no zone.
    if "pandas" in file.name and parts.layout.kind == "list" and parts.times.zone:
        return False
    # A wide table is one item, and a list with a start has no gaps.
    if len(place.keys) > 1 and (parts.layout.kind == "wide" or parts.layout.shape == "complete"):
        return False
    if place.items and not (parts.layout.name in _WITH_ITEM_ID and file.has_header):
        return False
    if form.door == "loader" and parts.values.name == "bool8":
        return False  # some writers leave its type out, and whole numbers are left
    return form.door not in _OF_DATA or _is_data(parts, file, place)


_OF_DATA = ("quality", "loader", "import", "clean")
_NOTICE_SPANS = ("job", "job on S3", "backtest", "evaluate", "training")
"""Doors that notice items over several objects, each of which is a partition."""


def _is_data(parts: Parts, file: FileForm, place: Place) -> bool:
    """Check whether a door of data takes a form, and gives results that can be compared."""
    door = parts.form.door
    # Imports, cleaning and quality read no JSON, the loader of the matrix Parquet only.
    endings = ("parquet",) if door == "loader" else ("parquet", "csv")
    if file.ending not in endings:
        return False
    # Levels of local folders are no columns, and those of keys are no columns of cleaned files.
    if place.items or door == "import":
        return not place.items
    if parts.layout.kind != "long" or (door != "loader" and refusals_of(parts)):
        return False  # quality measures what cannot be read, and cleaning drops it
    if door == "clean":
        return parts.times.zone in {"", "UTC", "Etc/UTC", "GMT"}  # cleaned times are in UTC
    return len(place.keys) == 1


def _spells(file: FileForm, parts: Parts) -> bool:
    """Check whether a file can say what a table says."""
    if file.ending != "parquet":
        # CSV has no lists, and JSON no decimals: it has texts of them.
        is_list = file.ending == "csv" and parts.layout.kind == "list"
        is_decimal = file.ending == "json" and parts.values.name.startswith("decimal")
        is_text = parts.ids.csv and parts.times.csv and parts.values.name in _SPELLED_VALUES
        is_named = file.has_header or parts.layout.name in _NAMED_LONG
        return is_text and is_named and not is_list and not is_decimal
    if not file.keeps_types and not _is_plain(parts):
        return False
    return "index" not in file.name or parts.layout.name in _NAMED_LONG


def _is_plain(parts: Parts) -> bool:
    """Check whether a file without Arrow's schema says the same as the table."""
    names = (parts.ids.name, parts.times.name, parts.values.name)
    return parts.times.zone in {"", "UTC"} and not any(
        name.startswith("duration") or name in {"id timestamp in UTC", "intervals"}
        for name in names
    )


def table_of(parts: Parts, rows: list[Row]) -> pa.Table:
    """Return the table of some rows of a panel.

    Raises
    ------
    pa.ArrowException
        If Arrow has no such column.
    """
    ordered = ORDERS[parts.form.order](rows)
    columns = Columns(parts.panel, ordered, parts.ids, parts.times, parts.values)
    table = parts.layout.build(columns)
    return table.replace_schema_metadata({"freq": parts.panel.step.alias})


def contents_of(parts: Parts, rows: list[Row] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield keys and bytes of the files of a form, of all rows of its panel by default."""
    file, place = parts.file, parts.place
    rows = parts.panel.rows() if rows is None else rows
    if file is None or place is None:
        raise ValueError(f"{parts.form}: a frame has no files")
    for number, key in enumerate(place.keys):
        own = [row for position, row in enumerate(rows) if place.part(row, position) == number]
        yield f"{key}.{file.ending}", file.write(table_of(parts, own))


def key_of(parts: Parts, item: int) -> Key:
    """Return id and target of an item's forecasts."""
    lone = parts.place.lone if parts.place is not None else "series"
    name, target = parts.layout.key(parts.ids, lone, item)
    if parts.file is None:
        return name, target
    # CSV has no types: its ids are text.
    if parts.file.ending == "csv":
        name = tuple(map(str, name)) if isinstance(name, tuple) else str(name)
    name = name if parts.place is None else parts.place.id_of(name, item)
    return name, parts.file.options.get("targets", target)


def options_of(parts: Parts) -> dict[str, Any]:
    """Return the options with which the files of a form are read."""
    options: dict[str, Any] = dict(parts.layout.options)
    if parts.place is not None:
        options |= parts.place.options
    if parts.file is not None:
        options |= parts.file.options
        options |= parts.times.options if parts.file.ending == "csv" else {}
    return options


def refusals_of(parts: Parts) -> list[str]:
    """Return the patterns of the refusals that are expected; none for a form that is read."""
    patterns: list[str] = []
    # A wide table has no ids.
    if parts.layout.kind != "wide":
        patterns.append(parts.ids.refused)
    is_named = parts.file is not None and parts.file.ending == "csv" and parts.times.options
    patterns += ["" if is_named else parts.times.refused]
    patterns += [parts.values.refused, parts.layout.refused]
    patterns += [parts.file.refused] if parts.file is not None else []
    if parts.place is not None and parts.form.door in _NOTICE_SPANS:
        patterns.append(parts.place.refused)
    patterns += [pattern for test, pattern in _REFUSED_TOGETHER if test(parts)]
    return [pattern for pattern in patterns if pattern]


def _is_interval(parts: Parts) -> bool:
    if parts.layout.kind == "wide":
        return False
    return parts.form.carrier == "DuckDB relation" and parts.ids.name.startswith("duration")


def _are_loaded_truths(parts: Parts) -> bool:
    """Check whether the loader would give back True and False where it promises numbers."""
    return parts.form.door == "loader" and parts.values.name == "booleans"


_REFUSED_TOGETHER: list[tuple[Callable[[Parts], bool], str]] = [
    (_is_interval, "interval cannot hold item ids|unusable type month_day_nano_interval"),
    (_are_loaded_truths, "of type bool and holds no numbers"),
]
"""Tests of the entries of a form, and the pattern of the refusal of those that pass."""
