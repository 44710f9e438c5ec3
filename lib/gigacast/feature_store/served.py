"""Served features from Python: uploads and fetches."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

from gigacast.errors import DataError
from gigacast.feature_store.api import root_of, settings_of
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.offline.day import read_day
from gigacast.feature_store.online.fetcher import AnswerLog, Fetcher
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.question import Request, Response
from gigacast.feature_store.online.serving import write_join
from gigacast.feature_store.online.wide import Service
from gigacast.feature_store.stored import find_stored
from gigacast.feature_store.table import Tables
from gigacast.feature_store.trust.request_log import RequestLog
from gigacast.feature_store.uploads.plan import SERVING_DAYS, UploadJob, parts_to_upload
from gigacast.feature_store.uploads.run import UploadResult
from gigacast.feature_store.uploads.run import upload as _upload
from gigacast.job.forecast_job import Resources
from gigacast.settings.argument import check_argument, checked


@checked
def upload(
    name: str,
    ds: str,
    *,
    bucket: str | Path | None = None,
    online_store: str | None = None,
    serving_days: int = SERVING_DAYS,
    overwrite: bool = False,
) -> UploadResult:
    """Write the features of a group-by or a join to the online store, and serve them.

    A batch appears whole; what is served already is not written again.

    Parameters
    ----------
    name : str
        Compiled group-by or join. Of a join all group-bys are uploaded, and then it can be fetched.
    ds : str
        Newest day of the rows, as ``2023-12-01``.
    bucket : str or Path, optional
        Bucket, URL or folder of the feature store; that of the settings or the working folder by
        default.
    online_store : str, optional
        Address of the online store, as ``sqlite:FILE`` or ``dynamodb:TABLE``; that of the settings,
        else a SQLite file in the feature store's folder by default.
    serving_days : int
        Days after the end of the batch for which it is served.
    overwrite : bool
        Whether to upload again what is served, and to replace later days.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
    DataError
        If a group-by could not be uploaded; the others are served.
    """
    tables, url = _place(bucket, online_store)
    definition = find_stored(tables.store, name).definition
    job = UploadJob(
        tables,
        parts_to_upload(definition),
        read_day(ds, "ds"),
        (definition,) if isinstance(definition, Join) else (),
        online_store=url,
        serving_days=serving_days,
        resources=Resources(),
        overwrite=overwrite,
    )
    result = _upload(job)
    if result.failures:
        task, failure = result.failures[0]
        raise DataError(f"{task.partition}: {failure.message}", hint=failure.hint)
    return result


@checked
def upload_metadata(
    name: str, *, bucket: str | Path | None = None, online_store: str | None = None
) -> bool:
    """Let a join be fetched whose group-bys are uploaded, and return whether anything changed.

    Parameters
    ----------
    name : str
        Compiled join.
    bucket, online_store
        See `upload`.
    """
    tables, url = _place(bucket, online_store)
    join = find_stored(tables.store, f"joins/{name.rpartition('joins/')[2]}").definition
    store = open_online_store(url, tables.root)
    try:
        return write_join(store, join)
    finally:
        store.close()


@checked
def open_fetcher(
    *,
    bucket: str | Path | None = None,
    online_store: str | None = None,
    services: Mapping[str, Service] | None = None,
    log: AnswerLog | None = None,
) -> Fetcher:
    """Return a fetcher over the online store, for many fetches. Threads may share it.

    Parameters
    ----------
    bucket, online_store
        See `upload`.
    services : mapping of str to function, optional
        Clients of external sources by name: functions of a list of keys that return a list of
        values, both mappings by field.
    log : RequestLog, optional
        Log of the answers, which `open_request_log` returns; it is closed with the
        fetcher. Without one, the setting ``log_share`` decides what is logged.
    """
    settings = settings_of(_text(bucket), None, {})
    tables = Tables.at(root_of(settings), settings.tables)
    if log is None and settings.log_share:
        log = RequestLog(tables.store, settings.log_share)
    store = open_online_store(online_store or settings.online_store, tables.root)
    return Fetcher(store, services=services, log=log)


@checked
def open_request_log(*, bucket: str | Path | None = None, share: float = 1.0) -> RequestLog:
    """Return a log of answers, for `open_fetcher`.

    A thread writes it as Parquet by hour: ``feature_store/logs/{join}/ds={day}/hr={hour}/``. What
    cannot be written is dropped and counted, see `RequestLog.counts`.

    Parameters
    ----------
    bucket
        See `upload`.
    share : float
        Share of the answers that are logged, 0 to 1; that of a join's ``sample_percent`` is taken
        of it.

    Raises
    ------
    ConfigError, StorageError
    """
    tables, _ = _place(bucket, None)
    return RequestLog(tables.store, share)


@overload
def fetch_join(
    request: Request,
    *,
    fetcher: Fetcher | None = ...,
    bucket: str | Path | None = ...,
    online_store: str | None = ...,
) -> Response: ...
@overload
def fetch_join(
    request: Sequence[Request],
    *,
    fetcher: Fetcher | None = ...,
    bucket: str | Path | None = ...,
    online_store: str | None = ...,
) -> list[Response]: ...
@checked
def fetch_join(
    request: Request | Sequence[Request],
    *,
    fetcher: Fetcher | None = None,
    bucket: str | Path | None = None,
    online_store: str | None = None,
) -> Response | list[Response]:
    """Return the features of a join for one request, or for several by one read of the store.

    Errors of parts are in the responses; the other parts answer.

    Parameters
    ----------
    request : Request or sequence of Request
    fetcher : Fetcher, optional
        Opened fetcher, which `open_fetcher` returns; opened and closed here by default.
    bucket, online_store
        See `upload`.
    """
    requests = _requests(request)
    used = fetcher or open_fetcher(bucket=bucket, online_store=online_store)
    try:
        responses = used.fetch_join(requests)
    finally:
        if fetcher is None:
            used.close()
    return responses[0] if isinstance(request, Request) else responses


@overload
def fetch_group_by(
    request: Request,
    *,
    fetcher: Fetcher | None = ...,
    bucket: str | Path | None = ...,
    online_store: str | None = ...,
) -> Response: ...
@overload
def fetch_group_by(
    request: Sequence[Request],
    *,
    fetcher: Fetcher | None = ...,
    bucket: str | Path | None = ...,
    online_store: str | None = ...,
) -> list[Response]: ...
@checked
def fetch_group_by(
    request: Request | Sequence[Request],
    *,
    fetcher: Fetcher | None = None,
    bucket: str | Path | None = None,
    online_store: str | None = None,
) -> Response | list[Response]:
    """Return the features of a group-by for one request, or for several by one read of the store.

    Parameters
    ----------
    request, fetcher, bucket, online_store
        See `fetch_join`.
    """
    requests = _requests(request)
    used = fetcher or open_fetcher(bucket=bucket, online_store=online_store)
    try:
        responses = used.fetch_group_by(requests)
    finally:
        if fetcher is None:
            used.close()
    return responses[0] if isinstance(request, Request) else responses


async def fetch_join_async(requests: Sequence[Request], fetcher: Fetcher) -> list[Response]:
    """Return the features of joins without blocking the event loop; see `fetch_join`."""
    check_argument("fetcher", fetcher, Fetcher)
    return await asyncio.to_thread(fetcher.fetch_join, _requests(requests))


async def fetch_group_by_async(requests: Sequence[Request], fetcher: Fetcher) -> list[Response]:
    """Return the features of group-bys without blocking the event loop; see `fetch_group_by`."""
    check_argument("fetcher", fetcher, Fetcher)
    return await asyncio.to_thread(fetcher.fetch_group_by, _requests(requests))


def _requests(request: Request | Sequence[Request]) -> list[Request]:
    check_argument("request", request, Request | Sequence[Request])
    requests = [request] if isinstance(request, Request) else [*request]
    for entry in requests:
        check_argument("request", entry, Request)
    return requests


def _place(bucket: str | Path | None, online_store: str | None) -> tuple[Tables, str | None]:
    """Return the tables of a bucket, and the address of the online store."""
    settings = settings_of(_text(bucket), None, {})
    return Tables.at(root_of(settings), settings.tables), online_store or settings.online_store


def _text(bucket: str | Path | None) -> str | None:
    return f"file://{bucket.absolute()}" if isinstance(bucket, Path) else bucket
