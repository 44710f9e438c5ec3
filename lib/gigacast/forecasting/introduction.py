"""A first look at a bucket, and the settings that fit it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gigacast.core.partition.name import NamingPattern, hive_levels, year_of_folder
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.errors import DataError
from gigacast.forecasting.look import check_times
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs, pin_inputs
from gigacast.lake.plan.discovery import Partition, Selection
from gigacast.lake.plan.months import MonthFolder, find_years, walk_months
from gigacast.report.document import Document, Fact, Items, KeyValues, Kind, Paragraph, Tone
from gigacast.series.columns import Layout
from gigacast.series.formats import Limits, open_table
from gigacast.series.source import MEBIBYTE, SeriesSource
from gigacast.series.value import is_covariate_type
from gigacast.settings.template import settings_text
from gigacast.storage.parquet.read import open_object
from gigacast.storage.store import Store

_HEAD = (
    "Settings of Gigacast. Flags and variables such as GIGACAST_MODEL__PREDICTION_LENGTH override "
    "them; `gigacast config show` says what is in force. A line that begins with # and a key shows "
    "the default: take the # away to change it, with that of its section."
)
_LIMITS = Limits(1 << 16, 64 * MEBIBYTE)


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a bucket holds, as far as its latest month and one file of it say.

    Parameters
    ----------
    url : str
        Input root.
    month : Month, optional
        Latest month with partitions; ``None`` if there are none.
    partitions : int
        Partitions of that month.
    key : str
        File that was looked into; empty without partitions.
    layout : Layout, optional
        Columns as a job recognises them; ``None`` if it does not.
    others : tuple of str
        Columns of numbers or categories that are none of these, and could be covariates.
    problem : str
        Why no layout is recognised; empty otherwise.
    """

    url: str
    month: Month | None = None
    partitions: int = 0
    key: str = ""
    layout: Layout | None = None
    others: tuple[str, ...] = ()
    problem: str = ""


def look_around(job: ForecastJob) -> Introduction:
    """Look at the latest month under the input root of a job, and into one of its files.

    A few listings and one file, however large the bucket is.

    Raises
    ------
    StorageError
        If there is no such bucket, or no permission.
    """
    inputs = open_inputs(pin_inputs(job.inputs))
    inputs.check()
    url = inputs.address.url
    latest = next(_from_the_end(inputs, job.pattern), None)
    if latest is None:
        return Introduction(url)
    partitions = latest.content.partitions
    return _look_into(inputs, job, latest.month, partitions)


def _from_the_end(inputs: Store, pattern: NamingPattern) -> Iterator[MonthFolder]:
    """Yield the month folders with partitions, the latest first, listing one month at a time."""
    folders = find_years(inputs).years
    years = {year for folder in folders if (year := year_of_folder(folder)) is not None}
    for year in sorted(years, reverse=True):
        for number in range(12, 0, -1):
            only = MonthFilter(IntRange(year, year), IntRange(number, number))
            for folder in walk_months(inputs, pattern, Selection(months=only)):
                if folder.content.partitions:
                    yield folder


def _look_into(
    inputs: Store, job: ForecastJob, month: Month, partitions: list[Partition]
) -> Introduction:
    entry = partitions[-1].inputs[-1]
    opening = partial(
        open_object,
        inputs,
        entry.key,
        if_match=entry.etag,
        size_bytes=entry.size_bytes,
        selective=True,
    )
    source = SeriesSource(opening, entry.extension, entry.key)
    facts: dict[str, Any] = {"month": month, "partitions": len(partitions), "key": entry.key}
    try:
        table = open_table(source, job.method.columns, _LIMITS, job.method.csv)
        if table is not None:
            check_times(table, job.method.timestamp_unit)
    except DataError as error:
        return Introduction(inputs.address.url, problem=error.text, **facts)
    if table is None:
        return Introduction(inputs.address.url, problem=f"{entry.key} has no rows", **facts)
    layout = table.layout
    used = {*layout.columns, *layout.items, *hive_levels(entry.key)}
    others = tuple(
        field.name
        for field in table.schema
        if field.name not in used and is_covariate_type(field.type)
    )
    return Introduction(inputs.address.url, layout=layout, others=others, **facts)


def settings_for(introduction: Introduction, chosen: Mapping[str, Any]) -> str:
    """Return the text of a settings file for a bucket.

    Parameters
    ----------
    introduction : Introduction
    chosen : mapping of str to object
        Values by the settings' names that the user has named; they win.
    """
    layout = introduction.layout
    values: dict[str, Any] = {}
    if layout is not None:
        schema = "parquet_loader.schema"
        values[f"{schema}.datetime_column"] = layout.timestamp
        values[f"{schema}.target_columns"] = list(layout.targets)
        if layout.items:
            values[f"{schema}.item_columns"] = list(layout.items)
        elif layout.item_id is not None:
            values[f"{schema}.item_id_column"] = layout.item_id
    head = [
        _HEAD,
        *_remarks(introduction),
    ]
    return settings_text({**values, **chosen}, head)


def _remarks(introduction: Introduction) -> list[str]:
    if introduction.problem:
        return [f"Columns are not recognised: {introduction.problem}"]
    if introduction.others:
        names = ", ".join(introduction.others)
        return [f"Columns that could be covariates: {names}."]
    return []


def introduction_document(introduction: Introduction, file: str) -> Document:
    """Return what was found, and the next command."""
    layout = introduction.layout
    month = introduction.month
    facts: list[Fact] = [
        Fact("settings", file, Kind.KEY),
        Fact("input", introduction.url, Kind.KEY),
    ]
    if month is not None:
        facts += [
            Fact("latest month", f"{month}"),
            Fact("partitions in it", introduction.partitions, Kind.COUNT),
            Fact("looked into", introduction.key, Kind.KEY),
        ]
    if layout is not None:
        facts += [
            Fact("item id", ", ".join(layout.id_names) or "none: each file is one series"),
            Fact("timestamp", layout.timestamp),
            Fact("targets", ", ".join(layout.targets)),
        ]
    if introduction.others:
        facts.append(Fact("other columns", ", ".join(introduction.others)))
    return Document((KeyValues(tuple(facts)), *_advice(introduction)))


def _advice(introduction: Introduction) -> tuple[Paragraph | Items, ...]:
    if introduction.month is None:
        text = (
            "There are no partitions yet: a file is found below folders of year and month, such "
            "as 2024/01/part-00000.parquet."
        )
        return (Paragraph(text, Tone.WARNING),)
    if introduction.problem:
        return (Paragraph(introduction.problem, Tone.WARNING),)
    return (Items.of(["gigacast plan: what a run would do", "gigacast forecast: the run"]),)


def introduction_json(introduction: Introduction, file: str) -> dict[str, Any]:
    """Return what was found, as JSON."""
    layout = introduction.layout
    return {
        "settings": file,
        "input": introduction.url,
        "month": str(introduction.month) if introduction.month else None,
        "partitions": introduction.partitions,
        "key": introduction.key or None,
        "item_columns": list(layout.id_names) if layout else None,
        "timestamp": layout.timestamp if layout else None,
        "targets": list(layout.targets) if layout else None,
        "other_columns": list(introduction.others),
        "problem": introduction.problem or None,
    }
