"""Forecasts of one file: read as an object of a bucket is, written as one file."""

import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from gigacast.core.footer import VerifiedParquet
from gigacast.core.local_file import write_whole
from gigacast.core.plural import counted
from gigacast.core.record import parse_json
from gigacast.core.series.item_key import ItemKey, items_of
from gigacast.errors import ConfigError, DataNotFoundError, SchemaError
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasting.document import figure_of
from gigacast.forecasting.frame import SourceForecast, forecast_source
from gigacast.forecasting.prediction import is_wide, level_name, long_table, with_names
from gigacast.forecasting.preview import Histories, Look, choose_series, histories_of, look_of
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.document import (
    Block,
    Column,
    Document,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.series.source import FILE_FORMATS, SeriesSource, format_of
from gigacast.storage.parquet.writer import table_bytes

STANDARD = "-"
"""Name of standard input and standard output."""
_TEXTS = pa_csv.ConvertOptions(
    column_types={name: pa.string() for name in ("item_id", "target_name", "fallback")},
    strings_can_be_null=True,
    null_values=[""],
)
_SHOWN_ROWS = 10
_SHOWN_STEPS = 96


def open_file(place: str) -> SeriesSource:
    """Return a file, or standard input, as a source of series.

    The format is that of the ending; without a known one, that of the first bytes.

    Raises
    ------
    ConfigError
        If the place is a folder, or the file is compressed as a whole.
    DataNotFoundError
        If there is no such file.
    """
    opening: Callable[[], Any]
    if place == STANDARD:
        content = sys.stdin.buffer.read()
        opening = partial(io.BytesIO, content)
        return SeriesSource(opening, format_of(content[:64], "standard input"), "standard input")
    path = Path(place)
    if path.is_dir():
        raise ConfigError(
            f"{place} is a folder",
            hint=f"forecast it by --bucket {path.absolute().as_uri()}",
        )
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise DataNotFoundError(f"{place}: {error.strerror or error}") from error
    return SeriesSource(partial(path.open, "rb"), format_of(head, place), place)


def is_file_name(name: str) -> bool:
    """Return whether a name has the ending of a file that can be read."""
    return Path(name).suffix.lower() in FILE_FORMATS


def read_predictions(place: str) -> pa.Table:
    """Return the forecasts in a file that ``gigacast forecast FILE --output`` wrote.

    Raises
    ------
    DataNotFoundError, ConfigError
        If there is no such file, or it is a folder.
    SchemaError
        If it cannot be read as a table.
    """
    source = open_file(place)
    try:
        with source.open() as file:
            if source.format == "parquet":
                return VerifiedParquet(file).read()
            if source.format == "csv":
                return _with_item_columns(pa_csv.read_csv(file, convert_options=_TEXTS))
            return _with_item_columns(pa.Table.from_pylist(parse_json(file.read().decode())))
    except (pa.ArrowException, ValueError, OSError, TypeError) as error:
        raise SchemaError(f"{place} can't be read as forecasts: {error}") from error


def _with_item_columns(table: pa.Table) -> pa.Table:
    """Return a table from text, with what Parquet says by types and metadata."""
    names = table.column_names
    place = table.schema.get_field_index("timestamp")
    if place >= 0 and pa.types.is_string(table.schema.field(place).type):
        times = table["timestamp"].cast(pa.timestamp("us"))
        table = table.set_column(place, "timestamp", times)
    # The columns before the times are those of the items.
    if place > 0 and "item_id" not in names:
        table = table.replace_schema_metadata(ItemKey(tuple(names[:place]), ()).metadata)
    return table


@dataclass(frozen=True)
class FileForecast:
    """The forecasts of a file.

    Parameters
    ----------
    source : SourceForecast
    output : str, optional
        File that they were written to.
    """

    source: SourceForecast
    output: str | None = None

    @property
    def series(self) -> int:
        """Number of series with a forecast."""
        return sum(len(batch.series) for batch in self.source.batches)

    @property
    def fallbacks(self) -> dict[str, int]:
        """Number of series that the model did not forecast, by reason."""
        table = self.source.predictions
        steps = 1 if is_wide(table.schema) else self.source.horizon
        flags = pc.drop_null(table["fallback"].cast(pa.string()))
        counts = pc.value_counts(flags.combine_chunks()).to_pylist()
        return {entry["values"]: entry["counts"] // steps for entry in counts}

    def looks(self, levels: tuple[float, ...]) -> list[Look]:
        """Return the first series with a forecast, its history beside it; none without times."""
        table = long_table(self.source.predictions)
        pairs = choose_series(table, None, 1)
        histories: Histories = {}
        for batch in self.source.batches[:1]:
            histories = histories_of(batch.series.with_bases_added(), {item for item, _ in pairs})
        histories = {
            pair: (times[-_SHOWN_STEPS:], values[-_SHOWN_STEPS:])
            for pair, (times, values) in histories.items()
        }
        # A series without a frequency has no times to draw.
        with suppress(DataNotFoundError):
            return [look_of(table, pair, levels, histories, {}) for pair in pairs]
        return []


def forecast_file(
    source: SeriesSource,
    forecaster: Forecaster,
    job: ForecastJob,
    output: str | None,
    names: Literal["own", "nixtla"] = "own",
) -> FileForecast:
    """Forecast every series of a file, and write the forecasts to another.

    Parameters
    ----------
    source : SeriesSource
    forecaster : Forecaster
    job : ForecastJob
        Its method and batch size; addresses and selection are not used.
    output : str, optional
        File to write, or ``-`` for standard output; none by default.
    names : {"own", "nixtla"}
        Names of the columns of the file.

    Raises
    ------
    ConfigError
        If the output has an unknown ending, or cannot be written.
    DataError, ModelError
    """
    encode = encoding_of(output) if output is not None else None
    forecast = forecast_source(source, forecaster, job.method, job.resources.batch_size)
    if output is not None and encode is not None:
        write_output(output, encode(with_names(forecast.predictions, names)))
    return FileForecast(forecast, output)


def encoding_of(output: str) -> Callable[[pa.Table], bytes]:
    """Return the function that makes the bytes of an output file, by the ending of its name.

    Raises
    ------
    ConfigError
        If no format has this ending.
    """
    suffix = ".csv" if output == STANDARD else Path(output).suffix.lower()
    encodings: dict[str, Callable[[pa.Table], bytes]] = {
        ".parquet": partial(table_bytes, codec="zstd"),
        ".csv": _csv_bytes,
        ".json": _json_bytes,
    }
    if suffix not in encodings:
        raise ConfigError(
            f"--output: {output} ends with none of {', '.join(encodings)}",
            hint="the ending decides on the format; - is CSV on standard output",
        )
    return encodings[suffix]


def _csv_bytes(table: pa.Table) -> bytes:
    if any(pa.types.is_list(field.type) for field in table.schema):
        raise ConfigError("CSV has no lists", hint="use --layout long, or a Parquet file")
    plain = table.set_column(
        table.schema.get_field_index("fallback"),
        "fallback",
        table["fallback"].cast(pa.string()),
    )
    index = plain.schema.get_field_index("target_name")
    plain = plain.set_column(index, "target_name", plain["target_name"].cast(pa.string()))
    sink = io.BytesIO()
    try:
        pa_csv.write_csv(plain, sink)
    except pa.ArrowException as error:
        raise SchemaError(f"the forecasts can't be written as CSV: {error}") from error
    return sink.getvalue()


def _json_bytes(table: pa.Table) -> bytes:
    return json.dumps(records_of(table), ensure_ascii=False, indent=1).encode()


def records_of(table: pa.Table) -> list[dict[str, Any]]:
    """Return predictions as values of JSON: times in ISO 8601, missing values as ``None``."""
    return [{name: _json_value(value) for name, value in row.items()} for row in table.to_pylist()]


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value else None  # noqa: PLR0124 - NaN alone differs from itself
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def write_output(output: str, content: bytes) -> None:
    """Write an output file; ``-`` is standard output.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    if output == STANDARD:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(Path(output), content)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--output: {output} can't be written: {reason}") from error


def file_document(forecast: FileForecast, levels: tuple[float, ...]) -> Document:
    """Return the counts of a file's forecasts; without an output file a plot and the first rows."""
    source = forecast.source
    facts = KeyValues.of(
        [
            ("model", f"{source.info.name} {source.info.version}"),
            ("series", f"{forecast.series:,}"),
            ("horizon", counted(source.horizon, "step")),
            *(
                (f"fallback: {reason}", f"{count:,}")
                for reason, count in forecast.fallbacks.items()
            ),
            ("output", forecast.output),
        ]
    )
    return Document((*_shown(forecast, levels), facts))


def _shown(forecast: FileForecast, levels: tuple[float, ...]) -> tuple[Block, ...]:
    if forecast.output is not None or forecast.series == 0:
        return ()
    figures = [figure_of(look) for look in forecast.looks(levels)]
    table = long_table(forecast.source.predictions)
    has_more = table.num_rows > _SHOWN_ROWS
    more = f"{table.num_rows:,} rows in all: --output FILE writes them" if has_more else ""
    return (*figures, _rows(table, levels), Paragraph(more, Tone.QUIET))


def _rows(table: pa.Table, levels: tuple[float, ...]) -> Table:
    """Return the first rows as a table; the outermost quantiles are left out last."""
    ids = items_of(table).slice(0, _SHOWN_ROWS).cast(pa.string()).to_pylist()
    head = table.slice(0, _SHOWN_ROWS)
    middle = (len(levels) - 1) / 2
    columns = [
        Column("item", Kind.KEY),
        Column("timestamp", Kind.DATE),
        Column("target", Kind.KEY, priority=1),
        Column("median", Kind.NUMBER),
        *(
            Column(level_name(level), Kind.NUMBER, priority=2 + round(middle - abs(n - middle)))
            for n, level in enumerate(levels)
        ),
    ]
    times = head["timestamp"].cast(pa.string()).to_pylist()
    values = [head["predictions"], *(head[level_name(level)] for level in levels)]
    targets = head["target_name"].cast(pa.string()).to_pylist()
    cells = zip(ids, times, targets, *(column.to_pylist() for column in values), strict=True)
    return Table(tuple(columns), tuple(cells))


def file_json(forecast: FileForecast) -> dict[str, Any]:
    """Return the counts of a file's forecasts; without an output file the forecasts as well."""
    source = forecast.source
    counts = {
        "model": source.info.name,
        "version": source.info.version,
        "series": forecast.series,
        "rows": source.predictions.num_rows,
        "horizon": source.horizon,
        "fallbacks": forecast.fallbacks,
        "conflicts": source.conflicts,
        "output": forecast.output,
    }
    return counts if forecast.output else {**counts, "forecasts": records_of(source.predictions)}
