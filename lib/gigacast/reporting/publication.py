"""Pages in the bucket: one per result, the latest, and an index of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gigacast.core.mark import Amount, Time, moment_of
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.layout import report_key
from gigacast.report.document import Column, Document, Kind, Table
from gigacast.report.html.page import Frame, render_page
from gigacast.storage.store import Store

MAX_ENTRIES = 500
"""Pages that the index lists; older ones stay in the bucket."""
_ATTEMPTS = 20  # each fails only if another process wrote the index
_INDEX, _LATEST = "index", "latest"
_HINT = "delete it: the next report begins a new index"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the index.

    Parameters
    ----------
    name : str
        Name of the page: the id of a run, or of a result.
    kind, status : str
        As on the page.
    tone : str
        Colour of the status, see `Tone`.
    at : str
        Time of the result, ISO 8601.
    elapsed_s, series, failed : float, optional
        Seconds, series and partitions that failed; ``None`` where a result has none.
    """

    name: str
    kind: str
    status: str
    tone: str
    at: Time
    elapsed_s: Amount | None = None
    series: Amount | None = None
    failed: Amount | None = None


def publish_page(outputs: Store, entry: Entry, document: Document, frame: Frame) -> str:
    """Write a page, then the index, and the latest page if this is the newest; return its key.

    Raises
    ------
    StorageError
    """
    page = render_page(document, frame).encode()
    key = report_key(entry.name)
    # The page before the index: an index never names a page that is not there.
    outputs.put(key, page)
    entries = _update_index(outputs, entry)
    outputs.put(report_key(_INDEX), render_index(entries).encode())
    # Reports of older runs can be made again, and then are not the latest.
    if entries[0].name == entry.name:
        outputs.put(report_key(_LATEST), page)
    return key


def render_index(entries: Sequence[Entry]) -> str:
    """Return the page that lists all pages."""
    return render_page(_index_document(entries), Frame("Reports", has_siblings=False))


def _index_document(entries: Sequence[Entry]) -> Document:
    columns = (
        Column("report", Kind.KEY, is_link=True),
        Column("kind"),
        Column("status"),
        Column("time", Kind.DATE),
        Column("took", Kind.DURATION),
        Column("series", Kind.COUNT),
        Column("failed", Kind.COUNT),
    )
    rows = [
        (
            e.name,
            e.kind,
            e.status,
            e.at.replace("T", " "),
            e.elapsed_s,
            int(e.series) if e.series is not None else None,
            int(e.failed) if e.failed else None,
        )
        for e in entries
    ]
    return Document((Table(columns, tuple(rows)),), "All reports")


def read_index(outputs: Store) -> tuple[list[Entry], str | None]:
    """Return the entries of the index, the latest first, and its ETag; none without an index.

    Raises
    ------
    StorageError, CorruptedFileError
    """
    key = report_key(_INDEX, "json")
    try:
        etag = outputs.head(key).etag
        content = outputs.get(key, if_match=etag)
    except (ObjectNotFoundError, PreconditionFailedError):
        return [], None
    source = Source(key, CorruptedFileError, "not an index of reports", _HINT)
    return read_value(list[Entry], decode_json(content, source), source), etag


def _update_index(outputs: Store, entry: Entry) -> list[Entry]:
    """Add an entry by compare and swap: two runs may end at the same time."""
    key = report_key(_INDEX, "json")
    for attempt in range(_ATTEMPTS):
        entries, etag = read_index(outputs)
        older = [listed for listed in entries if listed.name != entry.name]
        merged = sorted([*older, entry], key=lambda e: (moment_of(e.at), e.name), reverse=True)
        merged = merged[:MAX_ENTRIES]
        content = json.dumps([asdict(e) for e in merged], indent=1).encode()
        try:
            if etag is None:
                outputs.put_if_absent(key, content)
            else:
                outputs.put_if_match(key, content, etag)
        except PreconditionFailedError:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        return merged
    raise AssertionError("unreachable")
