"""Files in the formats and dialects of many writers, and the keys under which they are put."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.forms.tables import Row

Write = Callable[[pa.Table], bytes]


@dataclass(frozen=True)
class FileForm:
    """A form of files.

    Parameters
    ----------
    name : str
    ending : str
        ``parquet``, ``csv`` or ``json``.
    write : callable
        Returns the bytes of a table.
    refused : str
        Pattern of the refusal; empty for forms that are read.
    options : mapping
        Options of a job that name what the file does not say.
    """

    name: str
    ending: str
    write: Write
    refused: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def has_header(self) -> bool:
        """Whether the file names its columns."""
        return "csv_header" not in self.options

    @property
    def keeps_types(self) -> bool:
        """Whether the file says zones and durations as the table does."""
        return not any(word in self.name for word in ("DuckDB", "no Arrow schema", "INT96"))


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet(**options: Any) -> Write:
    def write(table: pa.Table) -> bytes:
        # Arrow 26 then writes files that it cannot read itself: "expected length 1 but got 0".
        if "write_batch_size" in options and any(_has_listed_codes(f.type) for f in table.schema):
            raise TypeError("Arrow loses lists of dictionary values that are longer than a batch")
        buffer = io.BytesIO()
        pq.write_table(table, buffer, **options)
        return buffer.getvalue()

    return write


def _has_listed_codes(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) and any(
        pa.types.is_dictionary(kind.field(place).type) for place in range(kind.num_fields)
    )


def _encoded(test: Callable[[pa.DataType], bool], encoding: str) -> Write:
    """Return a writer with an encoding for the columns of some types, and PLAIN for others."""

    def write(table: pa.Table) -> bytes:
        chosen = {f.name: encoding for f in table.schema if test(f.type)}
        if not chosen:
            raise pa.ArrowNotImplementedError(f"no column for {encoding}")
        return _parquet(use_dictionary=False, column_encoding=chosen)(table)

    return write


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _is_whole(kind: pa.DataType) -> bool:
    return bool(
        kind in {pa.int32(), pa.int64(), pa.uint32(), pa.uint64(), pa.date32()}
        or pa.types.is_timestamp(kind)
    )


def _is_real(kind: pa.DataType) -> bool:
    return kind in {pa.float32(), pa.float64(), pa.int32(), pa.int64()}


def _of_pandas(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    table.to_pandas().to_parquet(buffer)
    return buffer.getvalue()


def _of_pandas_with_index(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    frame = table.to_pandas()
    frame.set_index(list(frame.columns[:2])).to_parquet(buffer)
    return buffer.getvalue()


def _of_duckdb(version: str, codec: str, folder: Callable[[], str]) -> Write:
    def write(table: pa.Table) -> bytes:
        import duckdb

        # DuckDB 2.0 writes the codes of a dictionary in place of its texts there.
        if any(_is_array_of_codes(field.type) for field in table.schema):
            raise TypeError("DuckDB loses the texts of dictionaries in lists of one size")
        path = f"{folder()}/table.parquet"
        connection = duckdb.connect()
        connection.register("t", table)
        connection.execute(
            f"COPY t TO '{path}' (FORMAT parquet, PARQUET_VERSION {version}, COMPRESSION {codec},"
            " ROW_GROUP_SIZE 2048)"
        )
        connection.close()
        with open(path, "rb") as file:  # noqa: PTH123 - a path of its own
            return file.read()

    return write


def _is_array_of_codes(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) and pa.types.is_dictionary(kind.value_type)


def _temporary() -> str:
    import tempfile

    return tempfile.mkdtemp(prefix="gigacast-forms-")


_INT96 = {"use_deprecated_int96_timestamps": True}
_PARQUET = [
    ("Parquet", _parquet()),
    ("Parquet, no dictionary", _parquet(use_dictionary=False)),
    ("Parquet, format 1.0", _parquet(version="1.0")),
    ("Parquet, format 2.4", _parquet(version="2.4")),
    ("Parquet, pages of version 2", _parquet(data_page_version="2.0")),
    ("Parquet, tiny pages", _parquet(data_page_size=32, write_batch_size=2)),
    ("Parquet, many row groups", _parquet(row_group_size=3)),
    ("Parquet, page index", _parquet(write_page_index=True, write_page_checksum=True)),
    ("Parquet, no statistics", _parquet(write_statistics=False)),
    ("Parquet, no Arrow schema", _parquet(store_schema=False)),
    ("Parquet, old names in lists", _parquet(use_compliant_nested_type=False)),
    ("Parquet, INT96", _parquet(**_INT96)),
    ("Parquet, INT96 of Impala", _parquet(**_INT96, store_schema=False, version="1.0")),
    *(
        (f"Parquet, {codec}", _parquet(compression=codec, row_group_size=20))
        for codec in ("none", "gzip", "brotli", "zstd", "lz4")
    ),
    ("Parquet, DELTA_BYTE_ARRAY", _encoded(_is_bytes, "DELTA_BYTE_ARRAY")),
    ("Parquet, DELTA_LENGTH_BYTE_ARRAY", _encoded(_is_bytes, "DELTA_LENGTH_BYTE_ARRAY")),
    ("Parquet, DELTA_BINARY_PACKED", _encoded(_is_whole, "DELTA_BINARY_PACKED")),
    ("Parquet, BYTE_STREAM_SPLIT", _encoded(_is_real, "BYTE_STREAM_SPLIT")),
    ("Parquet of pandas", _of_pandas),
    ("Parquet of pandas, keys in the index", _of_pandas_with_index),
    ("Parquet of DuckDB", _of_duckdb("v1", "snappy", _temporary)),
    ("Parquet of DuckDB, v2", _of_duckdb("v2", "zstd", _temporary)),
]

# -- CSV -------------------------------------------------------------------------------------------


def _spell(value: Any, missing: str, mark: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return missing
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).replace(".", mark)
    return str(value)


def _csv(
    *,
    separator: str = ",",
    mark: str = ".",
    missing: str = "",
    ends: str = "\n",
    encoding: str = "utf-8",
    quoting: Any = csv.QUOTE_MINIMAL,
    header: bool = True,
    before: str = "",
) -> Write:
    def write(table: pa.Table) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=separator, lineterminator=ends, quoting=quoting)
        if header:
            writer.writerow(table.column_names)
        for row in table.to_pylist():
            writer.writerow([_spell(value, missing, mark) for value in row.values()])
        try:
            return (before + text.getvalue()).encode(encoding)
        except UnicodeEncodeError as error:
            raise pa.ArrowInvalid(f"{encoding} cannot spell it") from error

    return write


def _without_last_break(table: pa.Table) -> bytes:
    return _csv()(table).rstrip(b"\n")


def _row_numbers(table: pa.Table) -> bytes:
    return table.to_pandas().to_csv().encode()


_CSV = [
    ("CSV", _csv()),
    ("CSV, all quoted", _csv(quoting=csv.QUOTE_ALL)),
    ("CSV, lines of Windows", _csv(ends="\r\n")),
    ("CSV, byte order mark", _csv(encoding="utf-8-sig")),
    ("CSV, no last line break", _without_last_break),
    ("CSV, blank lines", _csv(ends="\n\n")),
    ("CSV, missing is NA", _csv(missing="NA")),
    ("CSV, missing is null", _csv(missing="null")),
    ("CSV, missing is NaN", _csv(missing="NaN")),
    ("CSV, row numbers of pandas", _row_numbers),
    ("CSV, semicolons", _csv(separator=";")),
    ("CSV, semicolons and decimal commas", _csv(separator=";", mark=",")),
    ("CSV, tabs", _csv(separator="\t")),
    ("CSV, bars", _csv(separator="|")),
    ("CSV, UTF-16", _csv(encoding="utf-16")),
    ("CSV, Windows-1252", _csv(encoding="cp1252")),
]

_COMMENT = FileForm(
    "CSV, a comment first",
    "csv",
    _csv(before="# written by hand\n"),
    "can(not|'t) be read|recognised",
)
_NO_HEADER = FileForm(
    "CSV, no header",
    "csv",
    _csv(header=False),
    options={
        "csv_header": "none",
        "item_column": "column_1",
        "timestamp_column": "column_2",
        "targets": "column_3",
    },
)

# -- JSON ------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return None if isinstance(value, float) and math.isnan(value) else value
    return str(value)


def _records(table: pa.Table) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _lines(table: pa.Table) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in _records(table)).encode()


def _sparse_lines(table: pa.Table) -> bytes:
    filled = [{n: v for n, v in record.items() if v is not None} for record in _records(table)]
    return "\r\n".join(json.dumps(record) for record in filled).encode()


def _columns(table: pa.Table, *, labels: bool) -> bytes:
    columns = {name: [record[name] for record in _records(table)] for name in table.column_names}
    if labels:
        return json.dumps({n: dict(enumerate(v)) for n, v in columns.items()}).encode()
    return json.dumps(columns).encode()


def _by_label(table: pa.Table) -> bytes:
    return json.dumps(dict(enumerate(_records(table)))).encode()


def _split(table: pa.Table) -> bytes:
    data = [list(record.values()) for record in _records(table)]
    names = table.column_names
    return json.dumps({"columns": names, "index": list(range(len(data))), "data": data}).encode()


def _table_orient(table: pa.Table) -> bytes:
    fields = [{"name": name, "type": "string"} for name in table.column_names]
    return json.dumps({"schema": {"fields": fields}, "data": _records(table)}).encode()


def _array(table: pa.Table) -> bytes:
    return json.dumps(_records(table), indent=2).encode("utf-8-sig")


_JSON = [
    ("JSON records", lambda table: json.dumps(_records(table)).encode()),
    ("JSON records, indented, byte order mark", _array),
    ("JSON lines", _lines),
    ("JSON lines without nulls", _sparse_lines),
    ("JSON columns", partial(_columns, labels=False)),
    ("JSON columns of pandas", partial(_columns, labels=True)),
    ("JSON of pandas, split", _split),
    ("JSON of pandas, table", _table_orient),
]
# Columns of labels and labels of columns look alike, so rows by label are not read.
_BY_LABEL = FileForm(
    "JSON of pandas, index", "json", _by_label, "cannot be read as json|recognised"
)

FILES = {
    form.name: form
    for form in (
        *(FileForm(name, "parquet", write) for name, write in _PARQUET),
        *(FileForm(name, "csv", write) for name, write in _CSV),
        *(FileForm(name, "json", write) for name, write in _JSON),
        _COMMENT,
        _NO_HEADER,
        _BY_LABEL,
    )
}

# -- places ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Keys of a partition's files.

    Parameters
    ----------
    name : str
    keys : tuple of str
        Keys without their endings.
    part : callable
        Returns which file has a row: its item and its position in the panel are given.
    options : mapping
        Options of the job.
    lone : tuple of str
        Id of the series of a wide table, by file.
    refused : str
        Pattern of the refusal; empty for places that are read.
    items : tuple of str
        Level of the keys and column of the file that identify an item together.
    """

    name: str
    keys: tuple[str, ...]
    part: Callable[[Row, int], int]
    options: dict[str, Any]
    lone: str
    refused: str = ""
    items: tuple[str, ...] = ()

    def id_of(self, name: Any, item: int) -> Any:
        """Return the id of an item whose id in the file is given."""
        return (str(item % 2), name) if self.items else name


def _first(row: Row, position: int) -> int:
    del row, position
    return 0


def _items_apart(row: Row, position: int) -> int:
    del position
    return row[0] % 2


def _rows_apart(row: Row, position: int) -> int:
    del row
    return position % 2


_MONTH = {"partition_by": "month"}
_TWO = ("2024/01/part-0", "2024/01/part-1")
_LEVELS = ("year=2024/month=1/shop=0/a", "year=2024/month=1/shop=1/a")
_LEVELS_ABOVE = ("shop=0/year=2024/month=01/a", "shop=1/year=2024/month=01/a")
_SHOPS: dict[str, Any] = {
    "options": {"item_columns": "shop,item_id"}, "lone": "", "items": ("shop", "item_id"),
}  # fmt: skip
_SPANNED = "partition_by.{1,2}month"
_PLACE_LIST = [
    Place("a month", ("2024/01/part-00000",), _first, {}, "part-00000"),
    Place("below a prefix", ("in/2024/01/part-a",), _first, {"input_prefix": "in"}, "part-a"),
    Place("hive", ("year=2024/month=01/data",), _first, {}, "data"),
    Place("hive, unpadded", ("year=2024/month=1/0001",), _first, {}, "0001"),
    Place("a name with signs", ("2024/01/part-ä %20+b",), _first, {}, "part-ä %20+b"),
    Place("items in objects", _TWO, _items_apart, {}, ""),
    Place("parts of a month, items apart", _TWO, _items_apart, _MONTH, "month"),
    Place("parts of a month, rows apart", _TWO, _rows_apart, _MONTH, "month"),
    Place("hive, parts of a month",
          ("year=2024/month=1/a", "year=2024/month=1/b"), _rows_apart, _MONTH, "month"),
    Place("items over objects", _TWO, _rows_apart, {}, "", refused=_SPANNED),
    Place("deeper hive levels", _LEVELS, _items_apart, {}, ""),
    Place("deeper hive levels of items", _LEVELS, _items_apart, **_SHOPS),
    Place("hive levels of items above", _LEVELS_ABOVE, _items_apart, **_SHOPS),
    Place("hive levels of items, parts of a month", _LEVELS, _items_apart,
          **_SHOPS | {"options": {**_MONTH, "item_columns": "shop,item_id"}}),
]  # fmt: skip
PLACES = {place.name: place for place in _PLACE_LIST}
