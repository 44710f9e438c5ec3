"""The process that serves the application over HTTP, until a signal ends it."""

import gc
import math
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from gigacast.errors import ConfigError
from gigacast.feature_store.serve.library import import_extra

_BACKLOG = 1024
_HEAD_BYTES = 1 << 14
_KEEP_ALIVE_S = 30


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises
    ------
    ConfigError
        If the address cannot be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host!r}: {error}", hint="write --host 127.0.0.1") from error
    try:
        # A successor may listen at once, while connections of this server still fade away.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"--host {host!r} --port {port}: {error.strerror}",
            hint="choose another --port; 0 takes a free one",
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address of a listening socket, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run_server(
    app: Any,
    listener: socket.socket,
    *,
    timeout_s: float,
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve an application until SIGTERM or Ctrl-C; requests in flight are answered before the end.

    Parameters
    ----------
    app : ASGI application
    listener : socket
        Closed at the end.
    timeout_s : float
        Time that requests in flight have at the end.
    on_start : function
        Called with the address when connections are accepted.

    Raises
    ------
    MissingExtraError
        If ``uvicorn`` is not installed.
    """
    uvicorn = import_extra("uvicorn")
    config = uvicorn.Config(
        app,
        http=_protocol(),
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(timeout_s),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )
    server = uvicorn.Server(config)
    # Connections wait in the backlog until the loop takes them: the address can be told now.
    on_start(url_of(listener))
    gc.collect()
    # What is loaded by now stays: collections need not look at it in the middle of a request.
    gc.freeze()
    try:
        with _ignored_after(signal.SIGTERM, signal.SIGINT):
            server.run(sockets=[listener])
    finally:
        gc.unfreeze()
        listener.close()


def _protocol() -> Any:
    """Return the protocol of HTTP: that of httptools, or uvicorn's own where it is not installed.

    The parser of httptools is in C: parsing takes less of a request's CPU.
    """
    try:
        module = import_module("uvicorn.protocols.http.httptools_impl")
    except ImportError:
        return "h11"

    class BoundedProtocol(module.HttpToolsProtocol):  # type: ignore[misc, name-defined]
        """HTTP with a limit of the bytes before a request's body, which httptools has not."""

        _waiting_bytes = 0
        _steps = 0

        def data_received(self, data: bytes) -> None:
            steps = self._steps
            super().data_received(data)
            # Bytes after which neither a head nor a request was complete: of a body they are
            # counted by the application, else they are of a head that does not end.
            is_waiting = steps == self._steps and steps % 2 == 0
            self._waiting_bytes = self._waiting_bytes + len(data) if is_waiting else 0
            if self._waiting_bytes > _HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

        def on_headers_complete(self) -> None:
            self._steps += 1
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > _HEAD_BYTES:
                raise ValueError("the head is too long")  # answered by 400, as all of the parser
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._steps += 1
            super().on_message_complete()

    return BoundedProtocol


@contextmanager
def _ignored_after(*signals: signal.Signals) -> Iterator[None]:
    """Ignore signals that the server has obeyed: it sends them to the process again at its end."""
    former = {}
    try:
        for number in signals:
            former[number] = signal.signal(number, lambda *_: None)
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
