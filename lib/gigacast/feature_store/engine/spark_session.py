"""Sessions of Spark: the settings that answers depend on, and errors in this package's words."""

import json
import os
import re
import shutil
import sys
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import pyarrow as pa

from gigacast import errors
from gigacast.errors import ComputeError, ConfigError, GigacastError, MissingExtraError
from gigacast.feature_store.engine.spark_plan import ERROR

_ANSWERS = {
    "spark.sql.session.timeZone": "UTC",
    # A division by zero is null, as in the other engine, and no error.
    "spark.sql.ansi.enabled": "false",
    # Queries name tables, never files of the machines that compute.
    "spark.sql.runSQLOnFiles": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(1 << 16),
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}
_OWN_MACHINE = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
_CHOSEN_BY_USER = ("PYSPARK_GATEWAY_PORT", "PYSPARK_SUBMIT_ARGS", "SPARK_REMOTE", "SPARK_CONF_DIR")
_SETUP = re.compile(r"\s*CREATE\s+(OR\s+REPLACE\s+)?TEMPORARY\s+FUNCTION\s", re.IGNORECASE)
_USING = re.compile(r"\bUSING\s+(JAR|FILE|ARCHIVE)", re.IGNORECASE)
_SHOWN = 400


def load_pyspark() -> Any:
    """Return the library of Spark.

    Raises
    ------
    MissingExtraError
        If it, or a Java to run it, is not installed.
    """
    try:
        import pyspark.sql  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "--engine spark needs pyspark, which is not installed",
            hint="pip install 'gigacast[spark]', or use --engine local",
        ) from error
    has_java = shutil.which("java") or os.environ.get("JAVA_HOME")
    # A remote Spark has its Java elsewhere, and one that started this process has found it.
    if not has_java and not any(os.environ.get(name) for name in _CHOSEN_BY_USER):
        raise MissingExtraError(
            "--engine spark needs Java 17 or later, which is not installed",
            hint="install a JRE, as the package openjdk-17-jre-headless of Debian, or set "
            "JAVA_HOME; or use --engine local",
        )
    return pyspark


@cache
def open_session(memory: int) -> Any:
    """Return the session of this process.

    A session that is open, or one that ``spark-submit``, ``SPARK_CONF_DIR`` or ``SPARK_REMOTE``
    describe, is used with its master; else Spark runs in this machine, with all its processors.

    Parameters
    ----------
    memory : int
        Bytes for the Java process, where this machine runs it.
    """
    session_class = load_pyspark().sql.SparkSession
    with _without_warnings():
        base = session_class.getActiveSession()
        processors = os.cpu_count() or 1
        if base is None:
            builder = session_class.builder.appName("gigacast")
            if not any(os.environ.get(name) for name in _CHOSEN_BY_USER):
                # Only by the environment; by default workers run the first python3 of the path.
                os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
                settings = {
                    **_OWN_MACHINE,
                    "spark.master": f"local[{processors}]",
                    # Spark's 200 tasks would cost more than they do.
                    "spark.sql.shuffle.partitions": str(processors),
                    "spark.driver.memory": f"{max(memory >> 20, 1024)}m",
                }
                for name, value in settings.items():
                    builder = builder.config(name, value)
            base = builder.getOrCreate()
        return _settled(base)


def open_with(base: Any, setups: Sequence[str], label: str) -> Any:
    """Return a session in which some statements ran: functions of one query, unseen by others.

    Raises
    ------
    ConfigError
        If a statement does other than create a temporary function, or cannot be run.
    """
    if not setups:
        return base
    session = _settled(base.newSession())
    for statement in setups:
        if not _SETUP.match(statement) or _USING.search(statement):
            raise ConfigError(
                f"{label}: the setup {statement[:80]!r} is none that --engine spark runs",
                hint="write CREATE TEMPORARY FUNCTION ...; give its classes to Spark by "
                "`spark-submit --jars`",
            )
        with errors_translated(label):
            session.sql(statement)
    return session


def _settled(session: Any) -> Any:
    for name, value in _ANSWERS.items():
        session.conf.set(name, value)
    return session


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # Rows come and go as Arrow, never as pandas.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        yield


@contextmanager
def errors_translated(label: str, columns: Sequence[str] = ()) -> Iterator[None]:
    """Raise errors of Spark as those of this package.

    Parameters
    ----------
    label : str
        Definition and place, for messages.
    columns : sequence of str
        Columns that SQL could have named, for the hint.
    """
    from py4j.protocol import Py4JError  # noqa: PLC0415 - an extra
    from pyspark.errors import PySparkException  # noqa: PLC0415

    try:
        with _without_warnings():
            yield
    except (PySparkException, Py4JError) as error:
        raise _translate(error, label, columns) from error


def _translate(error: Exception, label: str, columns: Sequence[str]) -> GigacastError:
    text = str(error)
    marked = marked_error(text)
    if marked is not None:
        return marked
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # A fault of a worker is at the end of its traceback.
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    is_traceback = any(line.startswith("Traceback ") for line in lines) and raised
    reason = (raised[-1] if is_traceback else lines[0] if lines else "")[:_SHOWN]
    sql_faults = {"AnalysisException", "ParseException", "SparkRuntimeException"}
    sql_faults |= {"ArithmeticException", "DateTimeException", "NumberFormatException"}
    if type(error).__name__ in sql_faults:
        hint = f"its columns are {', '.join(columns)}" if columns else None
        return ConfigError(f"{label}: {reason}", hint=hint)
    return ComputeError(f"{label}: Spark failed: {reason}", hint="see the log of Spark")


def marked_error(text: str) -> GigacastError | None:
    """Return the error that a worker raised, from the text that Spark made of it."""
    start = text.find(ERROR)
    if start < 0:
        return None
    content, _ = json.JSONDecoder().raw_decode(text, start + len(ERROR))
    kind = getattr(errors, content["kind"], errors.DataError)
    error: GigacastError = kind(content["message"], hint=content["hint"])
    return error


@contextmanager
def named_views(frames: Any) -> Iterator[list[str]]:
    """Name frames for SQL; the names are free again after it."""
    names: list[tuple[Any, str]] = []
    try:
        for frame in frames:
            names.append((frame.sparkSession.catalog, f"rows_{uuid.uuid4().hex}"))
            frame.createOrReplaceTempView(names[-1][1])
        yield [name for _, name in names]
    finally:
        for catalog, name in names:
            catalog.dropTempView(name)


def quoted(name: str) -> str:
    """Return a name as SQL of Spark."""
    escaped = name.replace("`", "``")
    return f"`{escaped}`"


def spark_struct(schema: pa.Schema) -> Any:
    """Return columns as Spark declares them."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - an extra

    return from_arrow_schema(schema)


def arrow_schema(frame: Any) -> pa.Schema:
    """Return the columns of a frame of Spark and their types."""
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - an extra

    return to_arrow_schema(frame.schema, timezone="UTC")
