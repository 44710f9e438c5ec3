"""Answer requests for features: a Lambda function behind API Gateway (HTTP API) or its own URL.

The paths, bodies and replies are those of `gigacast feature-store serve`. Settings come from
``GIGACAST_*`` variables; ``GIGACAST_ONLINE_STORE`` names the store, as ``dynamodb:TABLE``, and
``GIGACAST_LOG_SHARE`` the share of the answers that are logged in the bucket.
"""

import base64
import binascii
import logging
import os
from functools import cache
from typing import Any

from gigacast.errors import StorageError
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.serve.exchange import (
    UNAUTHORIZED,
    Limits,
    RefusedError,
    Reply,
    is_allowed,
    reply_to,
)
from gigacast.settings.assembly import addresses
from gigacast.settings.command.feature_store import TOKEN_VARIABLE
from gigacast.settings.load import load_settings
from gigacast.storage.store import StoreAddress

_PREFIX = "/v1/features/"
_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_log = logging.getLogger(__name__)


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return the response to a request, in the form of API Gateway (payload version 2.0)."""
    try:
        reply = _reply(event)
        _write_log()
    except RefusedError as error:
        reply = error.reply
    except Exception:
        # A fault would otherwise be an answer of Lambda, with its text.
        _log.exception("a request for features failed")
        reply = RefusedError("failed", "a fault of the function; its log says more").reply
    headers = {"retry-after": "1", **_HEADERS} if reply.status == 503 else _HEADERS
    return {"statusCode": reply.status, "headers": headers, "body": reply.encode().decode()}


def _reply(event: dict[str, Any]) -> Reply:
    method = event["requestContext"]["http"]["method"]
    path = str(event["rawPath"])
    if path.endswith("/ping") and method == "GET":
        return Reply("ok", {"status": "ok"})
    # Names of headers are in lower case in this form of events.
    header = str((event.get("headers") or {}).get("authorization", ""))
    if not is_allowed(header.encode(), os.environ.get(TOKEN_VARIABLE) or None):
        return UNAUTHORIZED
    # A stage of API Gateway stands before the path.
    _, found, rest = path.partition(_PREFIX)
    if not found:
        raise RefusedError("not_found", f"the path is {_PREFIX}join/NAME or .../group-by/NAME")
    if method != "POST":
        raise RefusedError("not_allowed", "features are asked for by POST")
    kind, _, name = rest.partition("/")
    return reply_to(_fetcher(), kind, name, _body(event), Limits())


def _body(event: dict[str, Any]) -> bytes:
    text = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise RefusedError("invalid", "the body is no base64") from None


@cache
def _fetcher() -> Fetcher:
    """Return the fetcher, which lives as long as the function's process."""
    settings, root = _settings()
    return Fetcher(open_online_store(settings.online_store, root), log=_log_of_answers())


@cache
def _log_of_answers() -> Any:
    """Return the log of a share of the answers; none without a share."""
    settings, root = _settings()
    if not settings.log_share:
        return None
    from gigacast.feature_store.trust.request_log import RequestLog  # noqa: PLC0415
    from gigacast.storage.opening import open_store  # noqa: PLC0415

    return RequestLog(open_store(root), settings.log_share)


def _write_log() -> None:
    """Write what was logged: between two requests a function stands still, and may be gone."""
    log = _log_of_answers()
    try:
        if log is not None:
            log.flush()
    except StorageError as error:
        # Kept in memory for the next request. An answer is never refused for its log.
        _log.warning("answers could not be logged: %s", error)


def _settings() -> tuple[Any, StoreAddress]:
    settings = load_settings()
    _, root = addresses(settings.run.model_copy(update={"input_prefix": None}), None)
    return settings, root
