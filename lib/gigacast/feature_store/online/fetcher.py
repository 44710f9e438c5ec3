"""Fetches: the features of keys at a moment, of joins and of group-bys."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from gigacast.errors import DataNotFoundError, GigacastError, StorageError
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import parse_name
from gigacast.feature_store.online.key import group_by_key, join_key
from gigacast.feature_store.online.lookup import Answer, GroupByLookup, Read
from gigacast.feature_store.online.question import Request, Response
from gigacast.feature_store.online.serving import ServedGroupBy, decode_group_by, decode_join
from gigacast.feature_store.online.store import OnlineStore, Versioned
from gigacast.feature_store.online.wide import JoinLookup, Service, code_of
from gigacast.lake.feature_layout import group_by_log

T = TypeVar("T")
REFRESH_S = 1.0
"""Seconds for which a pointer is used without reading it again."""


class AnswerLog(Protocol):
    """What a fetcher tells of its answers."""

    def record(
        self,
        name: str,
        definition: str,
        response: Response,
        batch_ends: Mapping[str, int],
        share: float = 1.0,
    ) -> None:
        """Log an answer; see `gigacast.feature_store.trust.request_log.RequestLog.record`."""

    def close(self) -> None:
        """Write what is in memory."""


@dataclass
class _Recent(Generic[T]):
    value: T
    content: bytes
    read_at: float


class Fetcher:
    """Answers requests from an online store. Threads may share it.

    Parameters
    ----------
    store : OnlineStore
    services : mapping of str to function, optional
        External sources by name: functions of a list of keys that return a list of values, both
        mappings by field.
    refresh_s : float
        Seconds for which a pointer is used without reading it again. The batch before the newest is
        kept, so a pointer that is a little old answers as it did.
    clock : function
        Returns the time, epoch seconds.
    log : AnswerLog, optional
        Receives the answers, and is closed with the fetcher.
    """

    def __init__(
        self,
        store: OnlineStore,
        *,
        services: Mapping[str, Service] | None = None,
        refresh_s: float = REFRESH_S,
        clock: Callable[[], float] = time.time,
        log: AnswerLog | None = None,
    ) -> None:
        self._store = store
        self._services = services or {}
        self._refresh_s = refresh_s
        self._clock = clock
        self._log = log
        self._group_bys: dict[str, _Recent[GroupByLookup]] = {}
        self._joins: dict[str, _Recent[JoinLookup]] = {}

    def close(self) -> None:
        """Close the store, and the log."""
        try:
            if self._log is not None:
                self._log.close()
        finally:
            self._store.close()

    @property
    def is_local(self) -> bool:
        """Whether fetches of few keys take well below a millisecond: nothing is asked elsewhere."""
        return self._store.is_local and not self._services

    def fetch_group_by(self, requests: Sequence[Request]) -> list[Response]:
        """Return the features of group-bys, in the order of the requests.

        Errors are in the responses: a request that fails does not fail the others.
        """
        lookups = self._lookups([request.name for request in requests])
        prepared = [
            _prepare(lookups[request.name], request.keys, self._at(request)) for request in requests
        ]
        answers = self._read(prepared)
        responses = [
            Response(
                request,
                answer.at,
                answer.features,
                {},
                batch_age_ms=answer.batch_age_ms,
                freshness_ms=answer.freshness_ms,
            )
            if isinstance(answer, Answer)
            else self._failed(request, answer)
            for request, answer in zip(requests, answers, strict=True)
        ]
        if self._log is not None:
            for response in responses:
                _log_group_by(self._log, lookups[response.request.name], response)
        return responses

    def fetch_join(self, requests: Sequence[Request]) -> list[Response]:
        """Return the features of joins, in the order of the requests.

        All parts of all requests are read at once. A part that fails has an entry
        ``{part}_exception``, and the other parts answer.
        """
        joins = {name: self._join(name) for name in dict.fromkeys(r.name for r in requests)}
        names = [
            name
            for join in joins.values()
            if isinstance(join, JoinLookup)
            for name in join.group_by_names
        ]
        lookups = self._lookups(names)
        prepared: list[Read | GigacastError] = []
        counts = []
        for request in requests:
            join = joins[request.name]
            mine: list[Read | GigacastError] = []
            if isinstance(join, JoinLookup):
                at = self._at(request)
                mine = [
                    keys
                    if isinstance(keys, GigacastError)
                    else _prepare(lookups[part.group_by_name], keys, at, part.digest)
                    for part in join.parts
                    for keys in [part.keys_of(request.keys)]
                ]
            prepared += mine
            counts.append(len(mine))
        answers = iter(self._read(prepared))
        external = self._external(requests, joins)
        responses = []
        for n, (request, count) in enumerate(zip(requests, counts, strict=True)):
            join = joins[request.name]
            parts = [next(answers) for _ in range(count)]
            if isinstance(join, GigacastError):
                responses.append(self._failed(request, join))
                continue
            at = self._at(request)
            values, errors, codes = join.assemble(request.keys, at, parts, external[n])
            response = Response(request, at, values, errors, *_ages(parts), codes)
            responses.append(response)
            if self._log is not None:
                self._log.record(
                    join.name, join.definition, response, join.batch_ends(parts), join.log_share
                )
        return responses

    def served_join(self, name: str) -> Join:
        """Return the join that is served under a name.

        Raises
        ------
        DataNotFoundError
            If none is.
        StorageError, DataError, ConfigError
            If what is served cannot be read.
        """
        lookup = self._join(name)
        if isinstance(lookup, GigacastError):
            raise lookup
        return lookup.join

    def served_group_by(self, name: str) -> ServedGroupBy:
        """Return the batch that a group-by serves; see `served_join`."""
        lookup = self._lookups([name])[name]
        if isinstance(lookup, GigacastError):
            raise lookup
        return lookup.served

    def _failed(self, request: Request, error: GigacastError) -> Response:
        at = self._at(request)
        return Response(request, at, {}, {"": str(error)}, codes={"": code_of(error)})

    def _at(self, request: Request) -> int:
        return int(self._clock() * 1000) if request.at is None else request.at

    def _external(
        self, requests: Sequence[Request], joins: Mapping[str, JoinLookup | GigacastError]
    ) -> list[dict[str, Mapping[str, Any] | str]]:
        """Return the answers of external sources for each request, or messages, by source."""
        answers: list[dict[str, Mapping[str, Any] | str]] = [{} for _ in requests]
        for name, join in joins.items():
            if not isinstance(join, JoinLookup) or not join.external:
                continue
            places = [n for n, request in enumerate(requests) if request.name == name]
            keys = [requests[n].keys for n in places]
            for label, values in join.ask(keys, self._services).items():
                for place, value in zip(places, values, strict=True):
                    answers[place][label] = value
        return answers

    def _read(self, prepared: Sequence[Read | GigacastError]) -> list[Any]:
        """Return the answers of lookups; one read of the store for all of them."""
        # Parts and requests may share keys; those of a single one are all different.
        if len(prepared) == 1:
            return [self._read_alone(prepared[0])]
        reads = [read.keys for read in prepared if isinstance(read, Read)]
        keys = [*dict.fromkeys(chain.from_iterable(reads))]
        try:
            values = dict(zip(keys, self._store.get_many(keys), strict=True)) if keys else {}
        except StorageError:
            # Part by part: those whose values can be read still answer.
            return [self._read_alone(read) for read in prepared]
        return [
            _answer(read, [values[key] for key in read.keys]) if isinstance(read, Read) else read
            for read in prepared
        ]

    def _read_alone(self, read: Read | GigacastError) -> Any:
        if isinstance(read, GigacastError):
            return read
        try:
            stored = self._store.get_many(read.keys) if read.keys else ()
        except StorageError as error:
            return error
        return _answer(read, stored)

    def _lookups(self, names: Sequence[str]) -> dict[str, GroupByLookup | GigacastError]:
        """Return what group-bys serve now; pointers that are too old are read again, at once."""
        now = time.monotonic()
        unique = list(dict.fromkeys(names))
        lookups: dict[str, GroupByLookup | GigacastError] = {}
        stale = []
        for name in unique:
            recent = self._group_bys.get(name)
            if recent is not None and now - recent.read_at < self._refresh_s:
                lookups[name] = recent.value
            else:
                stale.append(name)
        if stale:
            lookups |= self._renewed(stale, now)
        return lookups

    def _renewed(
        self, names: Sequence[str], now: float
    ) -> dict[str, GroupByLookup | GigacastError]:
        renewed: dict[str, GroupByLookup | GigacastError] = {}
        try:
            plain = {name: parse_name(name) for name in names}
            stored = self._store.get_many([group_by_key(plain[name]) for name in names])
        except GigacastError as error:
            return dict.fromkeys(names, error)
        for name, value in zip(names, stored, strict=True):
            recent = self._group_bys.get(name)
            if value is not None and recent is not None and recent.content == value.value:
                recent.read_at = now
                renewed[name] = recent.value
                continue
            try:
                lookup = GroupByLookup(decode_group_by(value, plain[name]))
            except GigacastError as error:
                self._group_bys.pop(name, None)
                renewed[name] = error
                continue
            content = value.value if value is not None else b""
            self._group_bys[name] = _Recent(lookup, content, now)
            renewed[name] = lookup
        return renewed

    def _join(self, name: str) -> JoinLookup | GigacastError:
        now = time.monotonic()
        recent = self._joins.get(name)
        if recent is not None and now - recent.read_at < self._refresh_s:
            return recent.value
        try:
            plain = parse_name(name)
            stored = self._store.get_many([join_key(plain)])[0]
            if stored is not None and recent is not None and recent.content == stored.value:
                recent.read_at = now
                return recent.value
            lookup = JoinLookup(decode_join(stored, plain))
        except GigacastError as error:
            self._joins.pop(name, None)
            return error
        self._joins[name] = _Recent(lookup, stored.value if stored else b"", now)
        return lookup


def _prepare(
    lookup: GroupByLookup | GigacastError,
    keys: Mapping[str, Any],
    at: int,
    digest: str | None = None,
) -> Read | GigacastError:
    if isinstance(lookup, GigacastError):
        return lookup
    try:
        return lookup.prepare(keys, at, digest)
    except GigacastError as error:
        return error


def _log_group_by(
    log: AnswerLog, lookup: GroupByLookup | GigacastError, response: Response
) -> None:
    """Log the answer of a group-by that is served; a name that is not makes no log."""
    if isinstance(lookup, GigacastError):
        return
    name, age = lookup.served.name, response.batch_age_ms
    ends = {} if age is None else {name: response.at - age}
    log.record(group_by_log(name), lookup.definition, response, ends)


def _answer(read: Read, stored: Sequence[Versioned | None]) -> Any:
    try:
        return read.lookup.answer(read, stored)
    except GigacastError as error:
        return error


def _ages(parts: Sequence[Any]) -> tuple[int | None, int | None]:
    answers = [part for part in parts if isinstance(part, Answer)]
    ages = [part.batch_age_ms for part in answers]
    fresh = [part.freshness_ms for part in answers if part.freshness_ms is not None]
    return max(ages, default=None), min(fresh, default=None)


def find_type(store: OnlineStore, name: str) -> str:
    """Return whether a name is served as a ``join`` or as a ``group-by``; the join's if as both.

    Raises
    ------
    DataNotFoundError
        If neither is served.
    """
    plain = parse_name(name)
    join, group_by = store.get_many([join_key(plain), group_by_key(plain)])
    if join is None and group_by is None:
        raise DataNotFoundError(
            f"{plain}: neither a join nor a group-by of that name is served",
            hint="gigacast feature-store upload NAME --ds DAY writes it to the online store",
        )
    return "group-by" if join is None else "join"
