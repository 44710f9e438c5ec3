"""Origins: the earlier forecasts of a partition, kept when a later one replaces them.

The copy comes first, and the forecast is replaced only if it still is the one that was copied. So
in every order of steps of several workers, and after every crash, a forecast that was published is
at its own key or in its partition's history, until it is one of more than are kept.
"""

import filecmp
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import text_column
from gigacast.core.footer import DamagedParquetError, VerifiedParquet
from gigacast.errors import ObjectNotFoundError, PreconditionFailedError, TransientStorageError
from gigacast.lake.layout import origin_key, origins_prefix, output_id, parse_origin_key
from gigacast.scratch import ScratchFolder
from gigacast.storage.store import ObjectMeta, Store

ATTEMPTS = 20  # each fails only if another process replaced the forecast
CUTOFF = "cutoff"
UNKNOWN = "0000-unknown"
"""Cutoff in the key of a forecast without one, as earlier releases wrote them: it sorts first."""
SINGLE_BYTES = 64 << 20
"""Largest forecast that is replaced by one conditional request, which holds it in memory."""
_CHUNK_BYTES = 16 << 20
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Origin(NamedTuple):
    """A kept forecast of a partition: its object, its newest cutoff, and the id of its ETag."""

    meta: ObjectMeta
    cutoff: str
    output_id: str

    @property
    def day(self) -> str | None:
        """The day of the newest cutoff, ``2024-01-31``; ``None`` for steps and where unknown."""
        match = _DAY.match(self.cutoff)
        return match[0] if match and self.cutoff != UNKNOWN else None


def list_origins(store: Store, output_key: str) -> list[Origin]:
    """Return the kept forecasts of a partition, the latest first; the current one is not listed.

    Of equal cutoffs the one that was replaced last is the latest: it was made last.
    """
    pages = store.list(origins_prefix(output_key))
    return sort_origins(entry for page in pages for entry in page)


def sort_origins(entries: Iterable[ObjectMeta]) -> list[Origin]:
    """Return listed objects that are kept forecasts, the latest first."""
    origins = [
        Origin(entry, named.cutoff, named.output_id)
        for entry in entries
        if (named := parse_origin_key(entry.key)) is not None
    ]
    return sorted(origins, key=lambda o: (o.cutoff, o.meta.modified_ns, o.meta.key), reverse=True)


def surplus_of(origins: list[Origin], current_etag: str | None, keep: int) -> list[str]:
    """Return the keys of the kept forecasts of a partition that are too many.

    Parameters
    ----------
    origins : list of Origin
        Those of one partition, the latest first.
    current_etag : str or None
        ETag of the current forecast, which counts as one of them.
    keep : int
    """
    # A copy of the current forecast counts with it. It is not deleted: another worker may have
    # made it a moment ago, to replace the current forecast next.
    current = output_id(current_etag) if current_etag is not None else None
    earlier = [origin for origin in origins if origin.output_id != current]
    return [origin.meta.key for origin in earlier[max(0, keep - 1) :]]


def trim_origins(store: Store, output_key: str, current_etag: str, keep: int) -> None:
    """Delete the kept forecasts of a partition that are more than ``keep``.

    Only listed keys are deleted, and those of the oldest: whatever another worker adds in the
    meantime is later, or is a copy of one of these.
    """
    surplus = surplus_of(list_origins(store, output_key), current_etag, keep)
    if surplus:
        store.delete(surplus)


def publish_kept(
    store: Store, output_key: str, content: bytes | Path, *, is_first: bool = False
) -> str:
    """Write or replace a forecast, keep the one that is replaced, and return the new ETag.

    A forecast with the same bytes is left as it is.

    Parameters
    ----------
    store : Store
    output_key : str
    content : bytes or Path
        The forecast, or its local file.
    is_first : bool
        Whether no forecast is known there; saves a request if so.

    Raises
    ------
    TransientStorageError
        When other processes replaced the forecast `ATTEMPTS` times.
    StorageError
    """
    absent = is_first
    for _ in range(ATTEMPTS):
        try:
            if absent:
                return _put_first(store, output_key, content)
            current = store.head(output_key)
            with ScratchFolder("origin") as folder:
                copy = _fetch(store, current, folder / "origin.parquet")
                if _is_equal(copy, content):
                    return current.etag
                _keep(store, current, copy)
            return _put_over(store, current, content)
        except ObjectNotFoundError:
            absent = True
        # Another worker was faster: its forecast is the one to keep now.
        except PreconditionFailedError:
            absent = False
    raise TransientStorageError(
        f"{store.address.url}/{output_key} is being replaced again and again by others",
        hint="run the command again when the other run has ended",
    )


def _put_first(store: Store, output_key: str, content: bytes | Path) -> str:
    if _size_bytes(content) <= SINGLE_BYTES:
        return store.put_if_absent(output_key, content)
    # A large file goes in parts, which S3 takes without a condition.
    with suppress(ObjectNotFoundError):
        store.head(output_key)
        raise PreconditionFailedError(f"{output_key} exists")
    return store.put(output_key, content)


def _put_over(store: Store, current: ObjectMeta, content: bytes | Path) -> str:
    if _size_bytes(content) <= SINGLE_BYTES:
        return store.put_if_match(current.key, content, current.etag)
    if store.head(current.key).etag != current.etag:
        raise PreconditionFailedError(f"{current.key} is no longer {current.etag}")
    return store.put(current.key, content)


def _size_bytes(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _fetch(store: Store, meta: ObjectMeta, path: Path) -> Path:
    """Copy one version of an object into a local file, and return the file."""
    with path.open("wb") as file:
        for start in range(0, max(1, meta.size_bytes), _CHUNK_BYTES):
            stop = start + _CHUNK_BYTES
            file.write(store.get(meta.key, if_match=meta.etag, start=start, stop=stop))
    return path


def _is_equal(path: Path, content: bytes | Path) -> bool:
    if isinstance(content, Path):
        return filecmp.cmp(path, content, shallow=False)
    return path.read_bytes() == content


def _keep(store: Store, current: ObjectMeta, copy: Path) -> None:
    """Write the copy of a forecast that is about to be replaced."""
    cutoff = newest_cutoff(copy)
    # What cannot be read is no forecast, as after damage: nobody could look back at it.
    if cutoff is not None:
        store.put_unless_equal(origin_key(current.key, cutoff, current.etag), copy)


def newest_cutoff(path: Path) -> str | None:
    """Return the newest cutoff of a forecast's rows for its key; ``None`` for a damaged file.

    Times are wall time, as in ``2024-01-31T093000``, and steps have twenty digits, so that texts
    sort as their values.
    """
    try:
        with VerifiedParquet(path) as file:
            if CUTOFF not in file.schema_arrow.names:
                return UNKNOWN
            newest = pc.max(file.read(columns=[CUTOFF])[CUTOFF])
    except (DamagedParquetError, pa.ArrowException, OSError):
        return None
    return cutoff_text(newest)


def cutoff_text(cutoff: pa.Scalar) -> str:
    """Return a cutoff as it stands in keys; `UNKNOWN` for a null or a time before the year 0."""
    if not cutoff.is_valid:
        return UNKNOWN
    if pa.types.is_integer(cutoff.type):
        return f"{cutoff.as_py():020d}" if cutoff.as_py() >= 0 else UNKNOWN
    local = wall_time(pa.array([cutoff], cutoff.type))
    text = str(pc.strftime(local, "%Y-%m-%dT%H%M%S")[0])
    return text.replace(".000000", "").replace(".", "-") if _DAY.match(text) else UNKNOWN


def wall_time(times: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return timestamps or dates as microseconds of wall time, without a zone."""
    if pa.types.is_timestamp(times.type) and times.type.tz is not None:
        times = pc.local_timestamp(times)
    return times.cast(pa.timestamp("us"), safe=False)


def last_made(tables: Sequence[pa.Table], names: Sequence[str]) -> list[pa.Table]:
    """Return tables without the rows of which a later table has rows with the same names.

    Parameters
    ----------
    tables : sequence of pa.Table
        Forecasts in the order in which they were made.
    names : sequence of str
        Columns that name a series and its cutoff.
    """
    keys = [_names_of(table, names) for table in tables]
    later = text_column([])
    remaining: list[pa.Table] = []
    for table, key in zip(reversed(tables), reversed(keys), strict=True):
        remaining.append(table.filter(pc.invert(pc.is_in(key, value_set=later))))
        later = pc.unique(pa.concat_arrays([later, *key.chunks]))
    return remaining[::-1]


def _names_of(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """Return the values of some columns as a single text for each row."""
    # Joined by a zero byte, which no key contains; a null is a text that no value has.
    columns = [pc.fill_null(_plain(table[name]).cast(pa.string()), "\0") for name in names]
    return pc.binary_join_element_wise(*columns, pa.scalar("\0"))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_dictionary = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_dictionary else column
