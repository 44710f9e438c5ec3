"""A DuckDB session: users' SQL over Arrow, without access to files or the network."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.errors import ConfigError, GigacastError, MissingExtraError
from gigacast.feature_store.engine.macro import macros

BATCH_ROWS = 1 << 16
_SHOWN_COLUMNS = 12
# Functions of this package stand for operators and casts that a person wrote.
_TYPED = re.compile(r"Binder Error: Macro spark_(\w+)\(\) does not support[^\n]*")
_UNTYPED = re.compile(r"Binder Error: Macro spark_(\w+)\(\) has multiple[^\n]*")


def load_duckdb() -> Any:
    """Return the library that runs SQL.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "the feature store runs SQL by duckdb, which is not installed",
            hint="pip install 'gigacast[store]'",
        ) from error
    return duckdb


class Session:
    """Runs SQL of users over Arrow tables, within a limit of memory.

    Parameters
    ----------
    memory : int
        Bytes.
    label : str
        Definition and place of the SQL, for messages.
    setups : sequence of str
        Statements to run before, such as the creation of functions.

    Raises
    ------
    ConfigError
        If a statement cannot be run.
    """

    def __init__(self, memory: int, label: str, setups: Sequence[str] = ()) -> None:
        self._duckdb = load_duckdb()
        self._label = label
        self._columns: list[str] = []
        self._error: GigacastError | None = None
        if not setups:
            self._connection = _shared_database(memory).cursor()
            return
        # Functions of one query must not be seen by another.
        self._connection = open_database(memory)
        for statement in setups:
            with self._translated():
                self._connection.execute(statement)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def register(self, name: str, rows: pa.Table | Iterator[pa.RecordBatch]) -> None:
        """Let queries name some rows: a table, or batches of which there is at least one."""
        if not isinstance(rows, pa.Table):
            batches = iter(rows)
            first = next(batches)
            watched = self._watched(chain([first], batches))
            rows = pa.RecordBatchReader.from_batches(first.schema, watched)
        self._columns = list(rows.schema.names)
        self._connection.register(name, rows)

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except GigacastError as error:
            # The engine would make a text of it.
            self._error = error
            raise

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query; the first batch may be empty and has the types.

        Raises
        ------
        ConfigError
            If the query cannot be run.
        """
        with self._translated():
            relation = self._connection.sql(sql)
            sums = [n for n, kind in enumerate(relation.types) if str(kind) == "HUGEINT"]
            reader = relation.to_arrow_reader(BATCH_ROWS)
        yield _with_sums(pa.RecordBatch.from_pylist([], schema=reader.schema), sums)
        while True:
            with self._translated():
                batch = next(reader, None)
            if batch is None:
                return
            yield _with_sums(batch, sums)

    def table(self, sql: str) -> pa.Table:
        """Return the rows of a query."""
        return pa.Table.from_batches(list(self.batches(sql)))

    def type_of(self, sql: str) -> pa.DataType:
        """Return the type of the first column of a query."""
        with self._translated():
            kind: pa.DataType = self._connection.sql(sql).to_arrow_reader(1).schema.types[0]
        return kind

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (self._duckdb.Error, OSError) as error:
            # Arrow makes an OSError of what is raised after the first batch.
            if self._error is not None:
                raise self._error from error
            if isinstance(error, OSError):
                raise
            reason = _TYPED.sub(r"\1 does not take values of these types", str(error))
            reason = _UNTYPED.sub(r"\1 over an aggregate: select it in a subquery before", reason)
            reason = reason.partition("\n")[0]
            raise ConfigError(
                f"{self._label}: {reason}",
                hint=f"its columns are {', '.join(self._columns[:_SHOWN_COLUMNS])}",
            ) from error


def _with_sums(batch: pa.RecordBatch, columns: Sequence[int]) -> pa.RecordBatch:
    """Return rows with sums of whole numbers in 64 bits, as those of Spark; null beyond."""
    for n in columns:
        fits = pc.less_equal(pc.abs(batch.column(n)), pa.scalar(Decimal((1 << 63) - 1)))
        whole = pc.if_else(fits, batch.column(n), pa.scalar(None, batch.column(n).type))
        batch = batch.set_column(n, batch.schema.names[n], whole.cast(pa.int64()))
    return batch


def open_database(memory: int) -> Any:
    """Return a database in memory, with the functions that expressions are written with.

    Parameters
    ----------
    memory : int
        Bytes.
    """
    # Expressions come from a bucket: they may see the rows and no file of this machine. One thread
    # keeps the order of rows, and the executor runs several tasks at a time.
    config = {"threads": "1", "memory_limit": f"{max(memory >> 20, 64)}MB"}
    database = load_duckdb().connect(":memory:", config=config)
    # Hours and days of a time must not depend on the zone of the machine. Zones are an extension,
    # which is built in, and would count as a file after the next statement.
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.execute("SET GLOBAL enable_external_access = false")
    database.execute("SET GLOBAL lock_configuration = true")
    for statement in macros():
        database.execute(statement)
    return database


@cache  # opening one takes longer than most queries over a day
def _shared_database(memory: int) -> Any:
    return open_database(memory)


def quoted(name: str) -> str:
    """Return a name as SQL of DuckDB."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
