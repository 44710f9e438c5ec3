"""The HTTP server's application: paths, tokens, limits and time-outs around the exchange."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gigacast.errors import GigacastError
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.serve.catalog import Catalog, Names
from gigacast.feature_store.serve.exchange import (
    KINDS,
    STATUS,
    UNAUTHORIZED,
    Limits,
    RefusedError,
    Reply,
    is_allowed,
    reply_to,
)
from gigacast.feature_store.serve.library import import_extra
from gigacast.feature_store.serve.metric import Metrics
from gigacast.feature_store.serve.openapi import describe_api
from gigacast.feature_store.serve.page import PAGE, PAGE_POLICY
from gigacast.settings.command.feature_store import ServeOptions

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

T = TypeVar("T")
_THREADS = 16
"""Most threads that read the store: those of stores over a network wait, the others compute."""
_SHORT_BYTES = 1024
"""Longest body that is answered without a thread, where the store is local. Measured: the way to a
thread and back takes three times as long as the answer for a key."""
_DISCARDED_BYTES = 64 << 20
"""Bytes beyond the limit of a body that are read, and not kept: a client that still sends when the
connection is closed sees a broken connection in place of the answer."""
_OPEN = frozenset({"/", "/ping"})
"""Paths without a token: a page without data, and the sign of life for balancers."""
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """Rules of a server.

    Parameters
    ----------
    limits : Limits
    max_concurrent : int
        Requests that are answered at a time; more are refused at once.
    timeout_s : float
        Time for a request, its body included.
    token : str, optional
        Token that callers must bring; none by default.
    """

    limits: Limits = field(default_factory=Limits)
    max_concurrent: int = ServeOptions.max_concurrent
    timeout_s: float = ServeOptions.timeout
    token: str | None = None


def make_app(fetcher: Fetcher, names: Names, rules: Rules | None = None) -> "Starlette":
    """Return the application, for any server of ASGI.

    Parameters
    ----------
    fetcher : Fetcher
        Closed by the caller.
    names : function
        Returns folders (``joins``, ...) and names of the definitions that ``/config`` describes.
    rules : Rules, optional

    Raises
    ------
    MissingExtraError
        If ``gigacast[serve]`` is not installed.
    """
    applications = import_extra("starlette.applications")
    routing = import_extra("starlette.routing")
    exceptions = import_extra("starlette.exceptions")
    server = _Server(fetcher, Catalog(fetcher, names), rules or Rules())
    app: Starlette = applications.Starlette(
        routes=[
            routing.Route("/v1/features/{kind}/{name:path}", server.features, methods=["POST"]),
            routing.Route("/", server.page),
            routing.Route("/ping", server.ping),
            routing.Route("/config", server.config),
            routing.Route("/openapi.json", server.openapi),
            routing.Route("/metrics", server.metrics),
        ],
        exception_handlers={
            exceptions.HTTPException: server.on_http_error,
            Exception: server.on_fault,
        },
        lifespan=server.lifespan,
    )
    app.add_middleware(_Guard, rules=server.rules)
    return app


class _Guard:
    """Lets requests with the token pass, and gives every response its headers."""

    def __init__(self, app: Any, rules: Rules) -> None:
        self._app = app
        self._token = rules.token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = [(n.encode(), v.encode()) for n, v in _HEADERS.items()]
                message["headers"] += [pair for pair in more if pair[0] not in own]
            await send(message)

        app = self._app
        if scope["type"] == "http" and not self._is_allowed(scope):
            app = _respond(UNAUTHORIZED, {"www-authenticate": "Bearer"})
        await app(scope, receive, send_guarded)

    def _is_allowed(self, scope: Any) -> bool:
        if scope["path"] in _OPEN:
            return True
        header = next((v for n, v in scope["headers"] if n == b"authorization"), b"")
        return is_allowed(header, self._token)


def _respond(reply: Reply, headers: dict[str, str] | None = None) -> "Response":
    return _json(reply.status, reply.encode(), headers)


def _json(status: int, content: bytes, headers: dict[str, str] | None = None) -> "Response":
    response: Response = import_extra("starlette.responses").Response(
        content, status, headers, "application/json"
    )
    return response


class _Server:
    def __init__(self, fetcher: Fetcher, catalog: Catalog, rules: Rules) -> None:
        self._fetcher = fetcher
        self._catalog = catalog
        self.rules = rules
        self._metrics = Metrics()
        self._busy = 0
        self._pool = ThreadPoolExecutor(
            min(rules.max_concurrent, _THREADS), thread_name_prefix="features"
        )

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        yield
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def features(self, request: "Request") -> "Response":
        start = time.perf_counter()
        kind, name = request.path_params["kind"], request.path_params["name"]
        body: bytes | None = None
        try:
            # One time for body and answer: a slow sender holds a connection as a slow store does.
            async with asyncio.timeout(self.rules.timeout_s):
                body = await self._body(request)
                work = partial(self._answer, kind, name, body)
                is_short = self._fetcher.is_local and len(body) <= _SHORT_BYTES
                reply, content = work() if is_short else await self._in_thread(work)
        except TimeoutError:
            code, missing = ("too_slow", "body") if body is None else ("timeout", "answer")
            text = f"no {missing} within {self.rules.timeout_s:g} s"
            reply = RefusedError(code, text).reply
            content = reply.encode()
        except RefusedError as error:
            reply, content = error.reply, error.reply.encode()
        self._metrics.count(KINDS.get(kind, "other"), reply, time.perf_counter() - start)
        return _json(reply.status, content, {"retry-after": "1"} if reply.status == 503 else None)

    def _answer(self, kind: str, name: str, body: bytes) -> tuple[Reply, bytes]:
        try:
            reply = reply_to(self._fetcher, kind, name, body, self.rules.limits)
        except Exception:
            _log.exception("a question for features failed")
            reply = RefusedError("failed", "a fault of the server; its log says more").reply
        for result in reply.content.get("results", ()):
            if result["freshness_ms"] is not None:
                self._catalog.note(reply.content["name"], result["freshness_ms"])
        return reply, reply.encode()

    async def _body(self, request: "Request") -> bytes:
        limit = self.rules.limits.body_bytes
        length = request.headers.get("content-length", "")
        body, size = bytearray(), 0
        if not (length.isdecimal() and int(length) > limit + _DISCARDED_BYTES):
            try:
                async for piece in request.stream():
                    size += len(piece)
                    if size <= limit:
                        body += piece
                    elif size > limit + _DISCARDED_BYTES:
                        break
            except import_extra("starlette.requests").ClientDisconnect:
                raise RefusedError("invalid", "the body was cut short") from None
            if size <= limit:
                return bytes(body)
        raise RefusedError("too_large", f"the body is larger than {limit} bytes")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Return the result of work in a thread.

        Raises
        ------
        RefusedError
            If as much is being done already.
        """
        if self._busy >= self.rules.max_concurrent:
            raise RefusedError("busy", "too many requests at a time; try again")
        loop = asyncio.get_running_loop()
        self._busy += 1
        self._metrics.in_flight.set(self._busy)
        future: Future[T] = self._pool.submit(work)
        # The place is free when the thread is: after a time-out it may still wait for the store.
        future.add_done_callback(lambda _: _call(loop, self._release))
        return await asyncio.wrap_future(future)

    def _release(self) -> None:
        self._busy -= 1
        self._metrics.in_flight.set(self._busy)

    async def ping(self, request: "Request") -> "Response":
        return _json(200, b'{"status":"ok"}')

    async def config(self, request: "Request") -> "Response":
        limits = self.rules.limits
        try:
            async with asyncio.timeout(self.rules.timeout_s):
                served = await self._in_thread(self._catalog.describe)
        except TimeoutError:
            return _respond(RefusedError("timeout", "no answer in time").reply)
        except RefusedError as error:
            return _respond(error.reply)
        except GigacastError as error:
            _log.warning("definitions: %s", error)
            text = "the definitions cannot be listed"
            return _respond(RefusedError("store_unavailable", text).reply)
        content = {
            "limits": {
                "body_bytes": limits.body_bytes,
                "items": limits.items,
                "concurrent": self.rules.max_concurrent,
                "timeout_s": self.rules.timeout_s,
            },
            **served,
        }
        return _json(200, json.dumps(content).encode())

    async def openapi(self, request: "Request") -> "Response":
        is_guarded = self.rules.token is not None
        return _json(200, json.dumps(describe_api(self.rules.limits, is_guarded)).encode())

    async def metrics(self, request: "Request") -> "Response":
        content, kind = self._metrics.text()
        response = _json(200, content)
        response.headers["content-type"] = kind
        return response

    async def page(self, request: "Request") -> "Response":
        response = _json(200, PAGE, {"content-security-policy": PAGE_POLICY})
        response.headers["content-type"] = "text/html; charset=utf-8"
        return response

    async def on_http_error(self, request: "Request", error: Any) -> "Response":
        code = next((c for c, status in STATUS.items() if status == error.status_code), "invalid")
        reply = RefusedError(code, f"{request.method} {request.url.path[:200]}: {error.detail}")
        return _json(error.status_code, reply.reply.encode(), error.headers)

    async def on_fault(self, request: "Request", error: Exception) -> "Response":
        return _respond(RefusedError("failed", "a fault of the server; its log says more").reply)


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    # After the end of the loop nobody waits for a place.
    if not loop.is_closed():
        loop.call_soon_threadsafe(work)
