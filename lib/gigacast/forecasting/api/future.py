"""Values of covariates over the horizon from a table of their own: rows after those of the data."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.errors import SchemaError
from gigacast.job.forecast_job import Method
from gigacast.series.columns import recognise


def with_future(table: pa.Table, future: pa.Table, method: Method) -> tuple[pa.Table, Method]:
    """Return a table followed by the rows of its future, and the method that knows them.

    The known covariates are those that the method names, else all columns of the future that the
    table has as well.

    Parameters
    ----------
    table : pa.Table
        Series in the long or the wide layout.
    future : pa.Table
        Ids and times named as in the table, and known covariates.
    method : Method

    Raises
    ------
    SchemaError
        If columns are missing or of other types, targets have values, or an item is not in the
        table.
    """
    layout = recognise(table.schema, method.columns, "data")
    if layout.kind == "list":
        raise SchemaError(
            "future: rows cannot follow series that are lists", hint="give the data a row per step"
        )
    keys = (*layout.id_names, layout.timestamp)
    shared = [name for name in future.column_names if name in table.column_names]
    companions = [name for name in shared if name not in (*keys, *layout.targets)]
    names = method.columns.known_covariates or tuple(companions)
    missing = [name for name in (*keys, *names) if name not in future.column_names]
    if missing or not names:
        raise SchemaError(
            f"future: it has no column {missing[0]!r}"
            if missing
            else "future: it has no column of a covariate that the data has as well",
            hint="give ids, times and known covariates by the names that they have in the data",
        )
    for name in layout.targets:
        if name in shared and future[name].null_count < len(future) and _has_value(future[name]):
            raise SchemaError(
                f"future: the target {name!r} has values",
                hint="leave it out: what is known of it belongs to the data",
            )
    rows = _like(future.select([*keys, *names]), table)
    _check_items(table, rows, layout.id_names)
    joined = pa.concat_tables([table, rows], promote_options="default")
    columns = replace(method.columns, known_covariates=names)
    return joined, replace(method, columns=columns)


def _has_value(column: pa.ChunkedArray) -> bool:
    # pandas writes NaN where there is none.
    present = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        present = pc.and_(present, pc.invert(pc.is_nan(column)))
    return bool(pc.any(present).as_py())


def _like(rows: pa.Table, table: pa.Table) -> pa.Table:
    """Return rows with the types of a table.

    Raises
    ------
    SchemaError
    """
    for place, name in enumerate(rows.column_names):
        kind = table.schema.field(name).type
        try:
            rows = rows.set_column(place, name, rows[name].cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"future: the column {name!r} is {rows[name].type}, and in the data {kind}",
                hint="give both the same type",
            ) from error
    return rows


def _check_items(table: pa.Table, rows: pa.Table, names: tuple[str, ...]) -> None:
    """Refuse rows of items that a table does not have.

    Raises
    ------
    SchemaError
    """
    if not names:
        return
    strange = rows.select(names).join(table.select(names), list(names), join_type="left anti")
    if len(strange):
        first = ", ".join(repr(strange[name][0].as_py()) for name in names)
        raise SchemaError(
            f"future: the item {first} is not in the data",
            hint="leave out rows of items that have no values to forecast from",
        )
