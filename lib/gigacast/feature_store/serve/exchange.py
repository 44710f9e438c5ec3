"""Questions for features and their replies as JSON, whatever carries them.

A door (the HTTP server, the Lambda function) takes apart its own envelope, calls `reply_to` and
packs the reply into its own again. All rules of the exchange are here.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigacast.errors import GigacastError
from gigacast.feature_store.definition.name import parse_name
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.question import Request, Response
from gigacast.feature_store.online.typed import to_json
from gigacast.feature_store.online.wide import code_of
from gigacast.settings.command.feature_store import ServeOptions

KINDS: Mapping[str, str] = {"join": "join", "group-by": "group-by", "groupby": "group-by"}
"""Kinds of definitions by the words of paths; Chronon writes ``groupby``."""
STATUS: Mapping[str, int] = {
    "ok": 200,
    "invalid": 400,
    "unauthorized": 401,
    "not_found": 404,
    "not_allowed": 405,
    "too_slow": 408,
    "too_large": 413,
    "failed": 500,
    "store_unavailable": 503,
    "busy": 503,
    "timeout": 504,
}
"""Status of HTTP by the code of a reply."""
_TEXTS = {
    "store_unavailable": "the online store cannot be reached",
    "failed": "a stored value cannot be used; the log of the server says which",
    "external_failed": "an external source did not answer",
}
"""Texts in place of messages that name files, hosts or what a user's own client raised."""
# Made once: json.dumps with separators makes an encoder for each reply.
_encode = json.JSONEncoder(separators=(",", ":")).encode
_TIMES = range(-(1 << 53), 1 << 53)
_FIELDS = frozenset({"keys", "at"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Largest questions that are answered.

    Parameters
    ----------
    body_bytes : int
    items : int
        Keys of a question.
    """

    body_bytes: int = ServeOptions.max_body
    items: int = ServeOptions.max_items


@dataclass(frozen=True)
class Question:
    """A question for the features of several keys.

    Parameters
    ----------
    kind : str
        ``join`` or ``group-by``.
    name : str
        Name of the definition.
    keys : sequence of mapping
        Keys of each entity by name.
    at : int, optional
        Moment, epoch milliseconds; now by default.
    """

    kind: str
    name: str
    keys: Sequence[Mapping[str, Any]]
    at: int | None = None


@dataclass(frozen=True)
class Reply:
    """A reply.

    Parameters
    ----------
    code : str
        One of `STATUS`.
    content : dict
        Content for JSON.
    """

    code: str
    content: dict[str, Any]

    @property
    def status(self) -> int:
        """Status of HTTP."""
        return STATUS[self.code]

    def encode(self) -> bytes:
        """Return the content as JSON."""
        return _encode(self.content).encode()


class RefusedError(Exception):
    """A question that is not answered.

    Parameters
    ----------
    code : str
        One of `STATUS`.
    message : str
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def reply(self) -> Reply:
        """The reply that says so."""
        return Reply(self.code, {"error": {"code": self.code, "message": str(self)}})


UNAUTHORIZED = RefusedError("unauthorized", "a token is needed: Authorization: Bearer TOKEN").reply


def is_allowed(header: bytes, token: str | None) -> bool:
    """Return whether a header ``Authorization`` has the token of a server, if it has one."""
    if token is None:
        return True
    scheme, _, found = header.partition(b" ")
    # Digests have one length, and their comparison takes the same time for all.
    same = hmac.compare_digest(_digest(found.strip()), _digest(token.encode()))
    return same and scheme.lower() == b"bearer"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def reply_to(fetcher: Fetcher, kind: str, name: str, body: bytes, limits: Limits) -> Reply:
    """Return the reply to a question.

    Parameters
    ----------
    fetcher : Fetcher
    kind, name : str
        Words of the path.
    body : bytes
        JSON: a list of keys, as ``[{"user_id": 5}]``, or ``{"keys": [...], "at": 1706745600000}``.
    limits : Limits
    """
    try:
        return answer(fetcher, read_question(kind, name, body, limits))
    except RefusedError as error:
        return error.reply


def read_question(kind: str, name: str, body: bytes, limits: Limits) -> Question:
    """Return the question of a path and a body.

    Raises
    ------
    RefusedError
        If they are none, or larger than the limits.
    """
    if kind not in KINDS:
        raise RefusedError("not_found", "the path is /v1/features/join/NAME or .../group-by/NAME")
    if len(body) > limits.body_bytes:
        raise RefusedError("too_large", f"the body is larger than {limits.body_bytes} bytes")
    try:
        # A name has several spellings, and caches know it by one of them.
        plain = parse_name(name)
    except GigacastError as error:
        raise RefusedError("not_found", error.message) from None
    content = _parse(body)
    at: Any = None
    if isinstance(content, dict):
        if unknown := sorted(content.keys() - _FIELDS):
            raise RefusedError("invalid", f"the body has a field {unknown[0][:80]!r}")
        at = content.get("at")
        content = content.get("keys")
    if at is not None and (type(at) is not int or at not in _TIMES):
        raise RefusedError("invalid", "at: a number of milliseconds since 1970 is expected")
    return Question(KINDS[kind], plain, _keys(content, limits), at)


def answer(fetcher: Fetcher, question: Question) -> Reply:
    """Return the reply to a question: a result with a status for each entity.

    Raises
    ------
    RefusedError
        If nothing of that name is served, or the store cannot say so.
    """
    is_join = question.kind == "join"
    try:
        (fetcher.served_join if is_join else fetcher.served_group_by)(question.name)
    except GigacastError as error:
        raise _refusal(error, question) from error
    fetch = fetcher.fetch_join if is_join else fetcher.fetch_group_by
    requests = [Request(question.name, keys, question.at) for keys in question.keys]
    results = [result_of(response) for response in fetch(requests)]
    # A store that is down fails every key: callers try again, and balancers go elsewhere.
    is_down = bool(results) and all(
        "store_unavailable" in result["codes"].values() and result["status"] == "failed"
        for result in results
    )
    content = {"name": question.name, "results": results}
    return Reply("store_unavailable" if is_down else "ok", content)


def result_of(response: Response) -> dict[str, Any]:
    """Return an answer as plain values, without what only the server may know.

    ``status`` is ``ok``, ``partial`` if other parts answered, or ``failed``.
    """
    values, errors = response.values, response.errors
    if errors:
        _log.warning("%s: %r", response.request.name, errors)
        errors = {part: _safe(response.codes.get(part, ""), errors[part]) for part in errors}
        values = values | {f"{part}_exception": text for part, text in errors.items() if part}
    others = len(values) - len(errors)
    return {
        "status": "ok" if not errors else "partial" if "" not in errors and others else "failed",
        "keys": response.request.keys,
        "at": response.at,
        "values": {name: to_json(value) for name, value in values.items()},
        "errors": errors,
        "codes": response.codes,
        "batch_age_ms": response.batch_age_ms,
        "freshness_ms": response.freshness_ms,
    }


def _safe(code: str, message: str) -> str:
    return _TEXTS.get(code, message)


def _refusal(error: GigacastError, question: Question) -> RefusedError:
    code = code_of(error)
    _log.warning("%s %s: %s", question.kind, question.name, error)
    return RefusedError(code if code in STATUS else "failed", _safe(code, str(error)))


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusedError("invalid", "the body is no JSON") from None


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _keys(content: Any, limits: Limits) -> list[Mapping[str, Any]]:
    if not isinstance(content, list):
        raise RefusedError("invalid", 'the body is no list of keys, as [{"user_id": 5}]')
    if len(content) > limits.items:
        raise RefusedError("too_large", f"{len(content)} keys; at most {limits.items} at a time")
    for n, entry in enumerate(content):
        if not isinstance(entry, dict):
            raise RefusedError("invalid", f"keys[{n}]: an object is expected")
    return content
