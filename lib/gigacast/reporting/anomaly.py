"""Anomalies on the page of a run: those of its forecasts, where they were searched for."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gigacast.core.mark import Count
from gigacast.core.plural import counted
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.errors import CorruptedFileError, StorageError
from gigacast.forecasting.read import Generation
from gigacast.lake.layout import ANOMALIES, anomaly_report_key, spec_prefix
from gigacast.report.document import Block, Column, Heading, Kind, Paragraph, Table
from gigacast.storage.store import Store

_NEWEST = 5
"""Stored searches that are read to find that of a spec."""
_SHOWN = 8
_TEXTS = ("item", "kind")
_COLUMNS = (
    Column("item", Kind.KEY),
    Column("kind"),
    Column("steps", Kind.COUNT),
    Column("score", Kind.NUMBER, label="standard deviations of the forecast"),
    Column("run", Kind.COUNT, label="most in a row"),
)


def find_search(outputs: Store, generation: Generation) -> dict[str, Any] | None:
    """Return the latest stored search of the forecasts of a spec; ``None`` if there is none.

    One listing, and a few small objects at most.

    Raises
    ------
    StorageError
    """
    prefix = anomaly_report_key("", "").rpartition("/")[0] + "/"
    entries = [e for page in outputs.list(prefix) for e in page if e.key.endswith(".json")]
    entries.sort(key=lambda entry: (entry.modified_ns, entry.key), reverse=True)
    folder = spec_prefix(generation.model, generation.version, generation.spec, ANOMALIES)
    for entry in entries[:_NEWEST]:
        with suppress(CorruptedFileError, StorageError):
            search = read_search(outputs.get(entry.key), entry.key)
            if f"{search['dataset']}/".endswith(f"/{folder}"):
                return search
    return None


def read_search(content: bytes, key: str) -> dict[str, Any]:
    """Return the parts of a stored search that are shown, checked.

    Raises
    ------
    CorruptedFileError
    """
    source = Source(key, CorruptedFileError, "not a search", "run `gigacast anomalies` again")
    values = read_value(dict[str, object], decode_json(content, source), source)
    worst = read_value(list[dict[str, object]], values.get("worst"), source, place="worst")
    for entry in worst:
        for name in ("steps", "run"):
            read_value(int, entry.get(name), source, place=f"worst.{name}")
        read_value(float, entry.get("score"), source, place="worst.score")
        for name in _TEXTS:
            read_value(str, entry.get(name), source, place=f"worst.{name}")
    names = ("anomalies", "anomalous_series", "series")
    numbers = {name: read_value(Count, values.get(name), source, place=name) for name in names}
    dataset = read_value(str, values.get("dataset"), source, place="dataset")
    return {**numbers, "dataset": dataset, "worst": worst[:_SHOWN]}


def anomaly_blocks(search: Mapping[str, Any] | None) -> tuple[Block, ...]:
    """Return the worst anomalies of a search as blocks; nothing without one."""
    if search is None or not search["anomalies"]:
        return ()
    text = (
        f"{counted(search['anomalies'], 'value')} of {search['anomalous_series']:,} of "
        f"{counted(search['series'], 'series', 'series')} outside the band, or of stuck sensors."
    )
    rows = tuple(
        (
            entry["item"],
            str(entry["kind"]).replace("_", " "),
            entry["steps"],
            entry["score"],
            entry["run"],
        )
        for entry in search["worst"]
    )
    return Heading("Anomalies"), Paragraph(text), Table(_COLUMNS, rows)
