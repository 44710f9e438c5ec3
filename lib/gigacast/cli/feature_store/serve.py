"""``gigacast feature-store serve``: features over HTTP."""

import os
from contextlib import closing
from typing import Any

import click

from gigacast.cli.feature_store.command import open_online, print_json
from gigacast.cli.flags import flags_of, place_options
from gigacast.cli.help import Command
from gigacast.errors import ConfigError
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.serve.app import Rules, make_app
from gigacast.feature_store.serve.exchange import Limits
from gigacast.feature_store.serve.server import listen, run_server
from gigacast.feature_store.stored import list_names
from gigacast.report.document import Tone
from gigacast.report.terminal import say
from gigacast.settings.command.feature_store import (
    TOKEN_VARIABLE,
    LogOptions,
    OnlineOptions,
    ServeOptions,
)
from gigacast.settings.flag import take

_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command(cls=Command)
@flags_of(ServeOptions, OnlineOptions, LogOptions)
@place_options
def serve(as_json: bool, **flags: Any) -> None:
    """Answer requests for features over HTTP, until Ctrl-C or SIGTERM.

    POST /v1/features/join/NAME and /v1/features/group-by/NAME take keys as JSON. A page at / shows
    what is served. If the variable GIGACAST_SERVE_TOKEN is set, callers must send it:
    `Authorization: Bearer TOKEN`.

    \b
    Examples:
      gigacast feature-store serve --port 8080 --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(ServeOptions, flags)
    online = open_online(take(OnlineOptions, flags), flags)
    rules = Rules(
        Limits(options.max_body, options.max_items),
        options.max_concurrent,
        options.timeout,
        _token(),
    )
    # The fetcher writes what is left of the log at the end.
    log = online.log(take(LogOptions, flags))
    with online.opened() as store, closing(Fetcher(store, log=log)) as fetcher:
        app = make_app(fetcher, lambda: list_names(online.tables.store), rules)
        listener = listen(options.host, options.port)
        if rules.token is None and options.host not in _LOCAL:
            text = f"{TOKEN_VARIABLE} is not set: all who reach the port can read features"
            say(text, tone=Tone.WARNING, err=True)

        def tell(url: str) -> None:
            print_json({"url": url}) if as_json else say(f"serving features at {url}")

        run_server(app, listener, timeout_s=options.timeout, on_start=tell)


def _token() -> str | None:
    """Return the token of the environment, where no process list or history shows it.

    Raises
    ------
    ConfigError
        If it is too short to be one.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable()):
        raise ConfigError(
            f"{TOKEN_VARIABLE}: expected at least 16 printable characters of ASCII",
            hint="openssl rand -hex 32 makes one",
        )
    return token
