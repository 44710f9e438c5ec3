"""The check of rows against a contract, and the filter of the rows that keep it.

`validate_table` raises an error with all violations; `filter_table` returns the good rows and a
report. Rows are streamed: memory holds a batch, the last row of each checked order, and a bit per
row of batches with violations. If the order of the rows does not prove that a key is unique, the
columns of the key are read a second time.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow
from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.contract.order import OrderWatch
from gigacast.core.contract.report import MISSING_COLUMN, SAMPLES, TYPE, ContractReport
from gigacast.errors import (
    ContractViolationError,
    DataTypeValidationError,
    MissingRequiredColumnError,
    SchemaMismatchError,
)
from gigacast.storage.parquet.duplicate import DEFAULT_LIMIT_BYTES, DuplicateFinder

BATCH_ROWS = 65_536
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowSource:
    """Rows that can be read more than once.

    Parameters
    ----------
    schema : pyarrow.Schema
        Schema of the rows.
    open : callable
        Function from the names of columns (``None`` for all) to the rows in batches.
    files : callable, optional
        Function that returns the same rows file by file, as the order of rows starts again in each
        file; a single file by default.
    """

    schema: pa.Schema
    open: Callable[[Sequence[str] | None], Iterable[pa.RecordBatch]]
    files: Callable[[], Iterable[Iterable[pa.RecordBatch]]] | None = None

    @classmethod
    def of_table(cls, table: pa.Table) -> "RowSource":
        """Return a source over a table in memory."""

        def batches(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
            chosen = table if columns is None else table.select(list(columns))
            return iter(chosen.to_batches(max_chunksize=BATCH_ROWS))

        return cls(table.schema, batches)


def check_rows(
    source: RowSource,
    contract: Contract,
    mode: Mode = Mode.STRICT,
    *,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> ContractReport:
    """Check all rows and return the report.

    Parameters
    ----------
    source : RowSource
        Rows to check.
    contract : Contract
        Contract of the rows.
    mode : Mode
        Handling of types that differ from the contract.
    limit_bytes : int
        Maximum memory of the search for repeated keys before it uses the disk.
    """
    check = ContractCheck(contract, source.schema, mode)
    for file in source.files() if source.files else (source.open(None),):
        check.begin_file()
        for batch in file:
            check.add(batch)
    find_duplicates(check, source, limit_bytes)
    return check.report()


def find_duplicates(
    check: ContractCheck, source: RowSource, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> None:
    """Add the rows that repeat a key to a check, for keys whose order does not exclude it."""
    # Rows in strictly ascending order of a key cannot repeat it: nothing is read a second time.
    for key in check.unproven:
        find_key_duplicates(check, source, key, limit_bytes)


def find_key_duplicates(
    check: ContractCheck,
    source: RowSource,
    key: tuple[str, ...],
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> None:
    """Add the rows of a source that repeat a key to a check."""
    rows = _repeated_rows(check, source, key, limit_bytes)
    check.add_duplicates(key, rows, _samples(source, key, rows[:SAMPLES]))


def find_disorder(check: ContractCheck, files: Iterable[Iterable[pa.RecordBatch]]) -> None:
    """Add the rows that are out of order within their file to a check.

    Parameters
    ----------
    check : ContractCheck
        Check that has left the order for later.
    files : iterable of iterable of RecordBatch
        Rows of each file as stored, at least the columns of the order.
    """
    # Rows in order stay in order when they are divided into files.
    if not check.went_back:
        return
    disordered: list[IntArray] = [np.empty(0, np.int64)]
    sample: list[dict[str, Any]] = []
    start = 0
    for file in files:
        watch = OrderWatch(check.order)
        for batch in file:
            back = watch.add(batch)
            rows = np.flatnonzero(back) if back is not None else disordered[0]
            for row in rows[: SAMPLES - len(sample)]:
                values = {name: batch.column(name)[int(row)].as_py() for name in check.order}
                sample.append({"row": start + int(row), **values})
            disordered.append(rows + start)
            start += batch.num_rows
    check.add_disorder(np.concatenate(disordered), sample)


def _repeated_rows(
    check: ContractCheck, source: RowSource, key: tuple[str, ...], limit_bytes: int
) -> IntArray:
    with DuplicateFinder(key, limit_bytes=limit_bytes) as finder:
        # Keys are compared in the types of the contract, as they are stored.
        for batch in source.open(key):
            finder.add(check.convert(batch)[0])
        return finder.rows()


def _samples(source: RowSource, key: tuple[str, ...], rows: IntArray) -> list[dict[str, Any]]:
    """Return the keys of a few rows. Reads no further than the last of them."""
    samples: list[dict[str, Any]] = []
    start = 0
    for batch in source.open(key) if len(rows) else ():
        for row in rows[(rows >= start) & (rows < start + batch.num_rows)]:
            values = {name: batch.column(name)[int(row - start)].as_py() for name in key}
            samples.append({"row": int(row), **values})
        start += batch.num_rows
        if start > rows[-1]:
            break
    return samples


def ensure(report: ContractReport, title: str) -> None:
    """Raise an error if rows break their contract; in mode ``IGNORE`` only log a warning.

    ``title`` names the rows in messages.

    Raises
    ------
    MissingRequiredColumnError, DataTypeValidationError, ContractViolationError
        Subclasses of `SchemaMismatchError`: the first that applies, with all violations.
    """
    for warning in report.warnings:
        _log.warning("%s: %s", title, warning)
    if report.ok:
        return
    message = f"{title} breaks the contract {report.contract!r}: {report.describe()}"
    if report.mode == Mode.IGNORE:
        _log.warning("%s", message)
        return
    # The most basic fault decides: without a column, or in a wrong type, other rules mean little.
    rules = {violation.rule for violation in report.violations}
    kind: type[SchemaMismatchError] = ContractViolationError
    hint = "mend the rows, or keep the good ones: `filter_data` in Python, `gigacast data clean`"
    if MISSING_COLUMN in rules:
        kind, hint = MissingRequiredColumnError, "add the column, or name another contract"
    elif TYPE in rules:
        kind = DataTypeValidationError
        hint = (
            "convert the values, or read them with the mode coerce"
            if report.mode == Mode.STRICT
            else "mend the values that can't be converted"
        )
    raise kind(message, hint=hint, violations=report.violations)


def validate_table(
    table: pa.Table, contract: Contract, mode: Mode = Mode.STRICT, *, title: str = "the table"
) -> pa.Table:
    """Return a table in the types of the contract.

    Raises
    ------
    SchemaMismatchError
        If the table breaks the contract, with all violations.
    """
    check = ContractCheck(contract, table.schema, mode)
    converted = [check.add(batch)[0] for batch in RowSource.of_table(table).open(None)]
    find_duplicates(check, RowSource.of_table(table))
    ensure(check.report(), title)
    return pa.Table.from_batches(converted, check.schema)


def filter_table(
    table: pa.Table, contract: Contract, mode: Mode = Mode.STRICT
) -> tuple[pa.Table, ContractReport]:
    """Return the rows that keep the contract, in its types, and a report on the others.

    Of rows with the same key the first is kept. Columns that are missing, or of a type that cannot
    be converted, are only in the report: they concern all rows.
    """
    source = RowSource.of_table(table)
    stream = FilteredRows(source, contract, mode)
    good = list(stream)
    return pa.Table.from_batches(good, stream.schema), stream.report


class FilteredRows:
    """The good rows of a source, in batches. `report` is complete when all have been read.

    Parameters
    ----------
    source : RowSource
        Rows to filter. For each unique key its columns are read once before.
    contract : Contract
        Contract of the rows.
    mode : Mode
        Handling of types that differ from the contract.
    limit_bytes : int
        Maximum memory of the search for repeated keys before it uses the disk.
    """

    def __init__(
        self,
        source: RowSource,
        contract: Contract,
        mode: Mode = Mode.STRICT,
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        self._source = source
        self._check = ContractCheck(contract, source.schema, mode)
        self._limit_bytes = limit_bytes

    @property
    def schema(self) -> pa.Schema:
        """Schema of the good rows."""
        return self._check.schema

    @property
    def report(self) -> ContractReport:
        """Report on the rows read so far."""
        return self._check.report()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        repeated = self._find_repeated()
        start = 0
        for batch in self._source.open(None):
            low, high = np.searchsorted(repeated, [start, start + batch.num_rows])
            mask = np.zeros(batch.num_rows, bool)
            mask[repeated[low:high] - start] = True
            rows, good = self._check.add(batch, mask if high > low else None)
            start += batch.num_rows
            yield rows if good.all() else rows.filter(to_arrow(good))

    def _find_repeated(self) -> IntArray:
        repeated = np.empty(0, np.int64)
        # Of all keys: whether the order proves some of them is known only after reading the rows.
        for key in self._check.keys:
            rows = _repeated_rows(self._check, self._source, key, self._limit_bytes)
            sample = _samples(self._source, key, rows[:SAMPLES])
            self._check.add_duplicates(key, rows, sample)
            repeated = np.union1d(repeated, rows)
        return repeated
