"""The layout of a CSV file, and the types in which its columns are read.

The result must not depend on the block from which Arrow infers types, so three types are fixed: ids
are text (``001`` stays ``001``), timestamps are integers or text, and targets are float64, or
booleans if the first rows are ``true`` and ``false``.
"""

import pyarrow as pa

from gigacast.errors import SchemaError
from gigacast.series.columns import Layout, recognise
from gigacast.series.csv.read import CsvForm
from gigacast.series.source import ColumnNames
from gigacast.series.timestamp import needs_range
from gigacast.series.value import is_category_type, is_value_type


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
        hint = _csv_hint(form)
        if hint is None:
            raise
        raise SchemaError(error.message, hint=f"{hint}; or {error.hint}") from error


def _csv_hint(form: CsvForm) -> str | None:
    """Return which part of the dialect may be wrong, if the columns look like it."""
    if len(form.schema) == 1:
        return "all is one column: name the separator by --csv_separator"
    if form.dialect.columns:
        return "the file has no header, so its columns are numbered: --csv_header present if it has"
    if number_like := sorted(name for name in form.schema.names if form.is_number_like(name)):
        return (
            f"{', '.join(map(repr, number_like))} may hold numbers of several forms: name their "
            "marks by --csv_decimal and --csv_thousands"
        )
    return None
