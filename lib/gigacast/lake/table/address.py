"""The addresses of tables: ``iceberg://CATALOG/NAMESPACE.TABLE`` and ``delta://PLACE``.

The place of a Delta table is written as any other: a path (``delta:///data/sales``) or a URL
(``delta://s3://bucket/sales``). Options follow a question mark. An address that names a snapshot
(``snapshot`` of Iceberg, ``version`` of Delta) is pinned: it means the same rows forever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qsl, quote, unquote

from gigacast.errors import ConfigError
from gigacast.storage.store import StoreAddress

Kind = Literal["iceberg", "delta"]
By = Literal["table", "month"]
Mode = Literal["replace", "append"]
SCHEMES = ("iceberg://", "delta://")
_SNAPSHOT: Mapping[str, str] = {"iceberg": "snapshot", "delta": "version"}
_HINT = "as iceberg://CATALOG/NAMESPACE.TABLE, delta:///FOLDER or delta://s3://BUCKET/FOLDER"


def is_table(url: str) -> bool:
    """Return whether a URL is the address of a table."""
    return url.startswith(SCHEMES)


@dataclass(frozen=True, slots=True)
class TableAddress:
    """A table, the snapshot that is read, and how its rows become partitions.

    Parameters
    ----------
    kind : {"iceberg", "delta"}
    place : str
        ``CATALOG/NAMESPACE.TABLE``, or the path or URL of a Delta table's folder.
    snapshot : int, optional
        Id of the snapshot, or version of the Delta table; the latest by default.
    as_of : datetime, optional
        Time whose snapshot is read.
    ref : str, optional
        Branch or tag of an Iceberg table.
    by : {"table", "month"}
        Whether months are those of the table's own partitions, or cut from its time column.
    time : str, optional
        Column of times; the only one of such a type by default.
    columns : tuple of str
        Columns that are read; all by default.
    metadata : str, optional
        URL of the metadata file of an Iceberg table, which is read in place of its catalog.
    """

    kind: Kind
    place: str
    snapshot: int | None = None
    as_of: datetime | None = None
    ref: str | None = None
    by: By = "table"
    time: str | None = None
    columns: tuple[str, ...] = ()
    metadata: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the parts of a URL.

        Raises
        ------
        ConfigError
            If it names no table, or has an unknown option.
        """
        scheme, _, named = url.partition("://")
        kind = next((kind for kind in get_args(Kind) if kind == scheme), None)
        place, _, query = named.partition("?")
        if kind is None or not place.strip("/"):
            raise ConfigError(f"{url!r} names no table", hint=_HINT)
        if kind == "iceberg" and not _is_identifier(place):
            raise ConfigError(f"{url!r} names no catalog, namespace and table", hint=_HINT)
        address = cls(kind, place.rstrip("/"))
        return replace(address, **_options(kind, query, url))

    @property
    def is_pinned(self) -> bool:
        """Whether the address names a snapshot."""
        return self.snapshot is not None

    @property
    def folder(self) -> str:
        """URL of the folder of a Delta table."""
        return self.place if "://" in self.place else f"file://{self.place}"

    @property
    def name(self) -> str:
        """The address without its options."""
        return f"{self.kind}://{self.place}"

    @property
    def url(self) -> str:
        """The address in one spelling, with its options."""
        options = {
            _SNAPSHOT[self.kind]: self.snapshot,
            "as_of": self.as_of.isoformat() if self.as_of is not None else None,
            "ref": self.ref,
            "by": self.by if self.by != "table" else None,
            "time": self.time,
            "columns": ",".join(quote(name, safe="") for name in self.columns) or None,
            "metadata": self.metadata,
        }
        named = [
            f"{name}={value if name == 'columns' else quote(str(value), safe=':/')}"
            for name, value in options.items()
            if value is not None
        ]
        return self.name + ("?" + "&".join(named) if named else "")

    def pinned(self, snapshot: int) -> Self:
        """Return the address of a snapshot of this table."""
        return replace(self, snapshot=snapshot, as_of=None, ref=None)


@dataclass(frozen=True, slots=True)
class TableTarget:
    """The table that results are written to.

    Parameters
    ----------
    address : StoreAddress
    mode : {"replace", "append"}
        Whether the rows of a partition replace those of its earlier outputs.
    """

    address: StoreAddress
    mode: Mode = "replace"


@dataclass(frozen=True, slots=True)
class TableWritten:
    """What a run has changed in a table: partitions with new rows, and partitions removed."""

    url: str
    written: int
    removed: int
    rows: int

    def describe(self) -> dict[str, object]:
        """Return the fields as audits and summaries list them."""
        return {
            "url": self.url,
            "partitions_written": self.written,
            "partitions_removed": self.removed,
            "rows_written": self.rows,
        }


def _is_identifier(place: str) -> bool:
    catalog, _, table = place.partition("/")
    parts = table.split(".")
    return bool(catalog) and "/" not in table and len(parts) > 1 and all(parts)


def _options(kind: Kind, query: str, url: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    allowed = (_SNAPSHOT[kind], "as_of", *(("ref", "metadata") if kind == "iceberg" else ()))
    for name, value in parse_qsl(_kept_commas(query), keep_blank_values=True):
        if name in allowed[:1]:
            options["snapshot"] = _number(name, value, url)
        elif name == "as_of" and name in allowed:
            options[name] = _moment(value, url)
        elif name == "by" and value in get_args(By):
            options[name] = value
        elif name == "columns":
            options[name] = tuple(unquote(part) for part in value.split(",") if part)
        elif value and (name == "time" or name in allowed):
            options[name] = value
        else:
            raise ConfigError(
                f"{url!r}: the option {name}={value} is not known",
                hint=f"options are {', '.join((*allowed, 'by=month', 'time', 'columns'))}",
            )
    named = [name for name in ("snapshot", "as_of", "ref") if name in options]
    if len(named) > 1:
        raise ConfigError(f"{url!r} names the snapshot twice", hint="leave one of them out")
    return options


def _kept_commas(query: str) -> str:
    """Return a query in which escapes of columns outlive its decoding; plus signs are no blanks."""
    parts = query.replace("+", "%2B").split("&")
    return "&".join(p.replace("%", "%25") if p.startswith("columns=") else p for p in parts)


def _number(name: str, value: str, url: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise ConfigError(f"{url!r}: {name} is no number", hint=f"write {name}=12")
    return int(value)


def _moment(value: str, url: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ConfigError(
            f"{url!r}: as_of is no time", hint="write as_of=2026-01-31 or as_of=2026-01-31T12:00Z"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
