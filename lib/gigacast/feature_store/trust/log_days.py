"""Logged answers by day: their files, and what a day holds."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source
from gigacast.core.record import read_value
from gigacast.core.sealed import decode_sealed, seal_json
from gigacast.errors import CorruptedFileError, DataNotFoundError, ObjectNotFoundError
from gigacast.feature_store.offline.source import Input
from gigacast.feature_store.trust.logged import batch_ends_of
from gigacast.feature_store.trust.logged_definition import Logged
from gigacast.feature_store.trust.record import SCHEMA
from gigacast.lake.feature_layout import log_prefix, partition_values, survey_key
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import ObjectMeta, Store


@dataclass(frozen=True)
class RequestLogDays:
    """The logged answers of a definition by day.

    Parameters
    ----------
    logged : Logged
    store : Store
    days : mapping of str to tuple of ObjectMeta
        Files of each day, sorted.
    """

    logged: Logged
    store: Store
    days: Mapping[str, tuple[ObjectMeta, ...]]

    @classmethod
    def of(cls, store: Store, logged: Logged) -> "RequestLogDays":
        """Return the logged answers of a definition.

        Raises
        ------
        DataNotFoundError
            If nothing is logged.
        """
        prefix = log_prefix(logged.log)
        days: dict[str, list[ObjectMeta]] = {}
        for page in store.list(prefix):
            for meta in page:
                day = partition_values(meta.key.removeprefix(prefix)).get("ds")
                if day and meta.key.endswith(".parquet"):
                    days.setdefault(day, []).append(meta)
        if not days:
            raise DataNotFoundError(
                f"{logged.label}: no answers are logged",
                hint="set log_share, or give --log_share to what serves it",
            )
        return cls(logged, store, {day: tuple(days[day]) for day in sorted(days)})

    @property
    def definition(self) -> str:
        """Digest of the definition whose answers count."""
        return self.logged.digest

    def digest(self, day: str) -> str:
        """Return the digest of a day's files: their names and versions."""
        return digest_value([[meta.key, meta.etag] for meta in self.days[day]])

    def input(self, day: str) -> Input:
        """Return a day as a task lists it."""
        size = sum(meta.size_bytes for meta in self.days[day])
        return f"logs/{self.logged.log}", day, self.digest(day), size

    def read(self, day: str) -> pa.Table:
        """Return the records of a day that the definition answered, in the order of their times."""
        tables = [read_table(self.store, meta).select(SCHEMA.names) for meta in self.days[day]]
        records = pa.concat_tables([table.cast(SCHEMA) for table in tables])
        mine = records.filter(pc.equal(records["definition"], self.definition))
        # The files' names are random: their order must not be that of the rows.
        return mine.sort_by([(name, "ascending") for name in ("at", "logged_ms", "keys", "values")])

    def survey(self, day: str) -> "LoggedDay":
        """Return what a day holds. Files are read once, as their survey is kept in the store."""
        key = survey_key(f"logs-{self.definition}", self.digest(day))
        try:
            return _read_survey(day, self.store.get(key), key)
        except (ObjectNotFoundError, CorruptedFileError):
            # A damaged survey tells nothing: it is made again.
            surveyed = self._survey(day)
        content = [surveyed.first, surveyed.last, surveyed.rows, surveyed.others]
        self.store.put(key, seal_json(content))
        return surveyed

    def _survey(self, day: str) -> "LoggedDay":
        columns = ["at", "definition", "batch_ends"]
        tables = [read_table(self.store, meta, columns) for meta in self.days[day]]
        records = pa.concat_tables(tables)
        mine = records.filter(pc.equal(records["definition"], self.definition))
        ends = batch_ends_of(mine, list(self.logged.parts)).values()
        times = [mine["at"], *ends]
        firsts = [pc.min(values).as_py() for values in times]
        first = min((value for value in firsts if value is not None), default=None)
        last = pc.max(mine["at"]).as_py()
        return LoggedDay(day, first, last, mine.num_rows, records.num_rows - mine.num_rows)


@dataclass(frozen=True)
class LoggedDay:
    """What a day of a log holds.

    Parameters
    ----------
    day : str
    first, last : int, optional
        Earliest and latest moment that answers depend on: ends of batches, and times of requests.
    rows : int
        Answers of the definition.
    others : int
        Answers of other definitions of the name.
    """

    day: str
    first: int | None
    last: int | None
    rows: int
    others: int


def _read_survey(day: str, content: bytes, key: str) -> LoggedDay:
    source = Source(key, CorruptedFileError)
    values = read_value(list[int | None], decode_sealed(content, source), source)
    if len(values) != 4 or None in values[2:]:
        raise source.refuse("no survey of a log")
    return LoggedDay(day, *values)
