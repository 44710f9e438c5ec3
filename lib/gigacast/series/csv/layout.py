"""The layout of a CSV file, and the types in which its columns are read.

The result must not depend on the block from which Arrow infers types, so three types are fixed: ids
are text (``001`` stays ``001``), timestamps are integers or text, and targets are float64, or
booleans if the first rows are ``true`` and ``false``.
"""

import re
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv as pa_csv

from gigacast.errors import SchemaError
from gigacast.series.columns import Layout, recognise
from gigacast.series.csv.read import CsvForm
from gigacast.series.source import ColumnNames
from gigacast.series.timestamp import needs_range
from gigacast.series.value import is_category_type, is_value_type

_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DIGITS_AND_MARKS = re.compile(r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?")
_SIGN = "[$\u20ac\u00a3\u00a5\u20b9]"  # of dollars, euros, pounds, yen, rupees
_MARKED_NUMBER = re.compile(
    rf"[(+-]?\s*(?:{_SIGN}|[A-Z]{{3}}\s)?\s*{_DIGITS_AND_MARKS.pattern}"
    rf"\s*(?:%|{_SIGN}|\s[A-Za-z]{{1,4}})?[)+-]?"
)
"""A number, perhaps with the sign of a currency, a unit behind a space, or brackets or a sign
behind it for a negative one."""
_LONGEST = 40  # characters of a text that may be a number
_MISSING = frozenset(pa_csv.ConvertOptions().null_values)
_PLAINLY = "write plain numbers, without units or marks as %, and leave a missing value empty"


def csv_types(inferred: pa.Schema, layout: Layout) -> pa.Schema:
    """Return the columns in the types in which they are read."""
    types = {name: _value_type(inferred.field(name).type) for name in layout.targets}
    # A covariate whose first block is empty counts as categorical: text can hold numbers as well.
    for name in layout.covariates:
        is_number = is_value_type(kind := inferred.field(name).type)
        categorical = is_category_type(kind) or not is_number or pa.types.is_null(kind)
        types[name] = pa.string() if categorical else pa.float64()
    kind = inferred.field(layout.timestamp).type
    types[layout.timestamp] = kind if needs_range(kind) else pa.string()
    types |= dict.fromkeys(layout.id_names, pa.string())
    return pa.schema([field.with_type(types.get(field.name, field.type)) for field in inferred])


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind if pa.types.is_boolean(kind) else pa.float64()


def numbers_of(schema: pa.Schema, layout: Layout) -> list[str]:
    """Return the columns of numbers: targets, and covariates that are no categories."""
    numbers = [n for n in layout.covariates if pa.types.is_floating(schema.field(n).type)]
    return [*layout.targets, *numbers]


def recognise_csv(form: CsvForm, schema: pa.Schema, columns: ColumnNames) -> Layout:
    """Return the layout of a CSV file.

    Parameters
    ----------
    form : CsvForm
    schema : pa.Schema
        Columns of the file, and the Hive levels of its key that count as columns.
    columns : ColumnNames
        Columns named by the settings.

    Raises
    ------
    SchemaError
        If a column is missing, ambiguous or unusable; the hint names what may be wrong with the
        dialect.
    """
    try:
        return recognise(schema, columns, form.name, holds_text=True)
    except SchemaError as error:
        # The columns that are left would be proposed as targets, among them those of ids.
        if "--targets" in (error.hint or "") and (remedy := _text_hint(form, columns.targets)):
            raise SchemaError(error.message, hint=remedy) from error
        hint = _csv_hint(form, columns.targets)
        if hint is None:
            raise
        raise SchemaError(error.message, hint=f"{hint}; or {error.hint}") from error


def _csv_hint(form: CsvForm, targets: Sequence[str]) -> str | None:
    """Return which part of the dialect may be wrong, if the columns look like it."""
    if len(form.schema) == 1:
        return "all is one column: name the separator by --csv_separator"
    if form.dialect.columns:
        return "the file has no header, so its columns are numbered: --csv_header present if it has"
    names = targets or form.schema.names
    if number_like := sorted(n for n in names if form.is_number_like(n)):
        return (
            f"{', '.join(map(repr, number_like))} may hold numbers of several forms: name their "
            "marks by --csv_decimal and --csv_thousands"
        )
    return None


def _text_hint(form: CsvForm, targets: Sequence[str]) -> str | None:
    """Return what to write where a column of numbers is text, by a mark or a word in a field.

    Parameters
    ----------
    form : CsvForm
    targets : sequence of str
        Names of the columns that must be numbers; if empty, any may be meant.
    """
    for name in targets or form.schema.names:
        places = form.schema.get_all_field_indices(name)
        if len(places) != 1 or not pa.types.is_string(form.schema.field(places[0]).type):
            continue
        fields = (text.strip()[:_LONGEST] for text in form.text_of(name).to_pylist() if text)
        texts = [text for text in fields if text and text not in _MISSING]
        others = [text for text in texts if not _DIGITS_AND_MARKS.fullmatch(text)]
        marked = [text for text in texts if _MARKED_NUMBER.fullmatch(text)]
        if others and 2 * len(marked) >= len(texts):
            return f"{name!r} holds numbers, and texts such as {others[0]!r}: {_PLAINLY}"
        # Types are those of the first block, of which the form has the first rows.
        if texts and all(_PLAIN_NUMBER.fullmatch(text) for text in texts):
            return (
                f"{name!r} begins with plain numbers, and has other texts further down: {_PLAINLY}"
                "; or name the marks of all by --csv_decimal and --csv_thousands"
            )
    return None
