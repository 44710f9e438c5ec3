"""``gigacast feature-store stream``: events of a topic change served features."""

import signal
import sys
import threading
import uuid
from typing import Any

import click

from gigacast.cli.feature_store.command import open_online, print_json
from gigacast.cli.flags import flags_of, place_options, settings_flags
from gigacast.cli.help import Command
from gigacast.feature_store.definition.name import parse_name
from gigacast.feature_store.online.serving import read_group_by
from gigacast.feature_store.served_document import stream_document
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.encoding import stored_parsers, text_parser
from gigacast.feature_store.stream.memory import LineStream
from gigacast.feature_store.stream.opening import open_stream
from gigacast.feature_store.stream.run import StreamMetrics, StreamWatch, run_stream
from gigacast.job.outage import Patience
from gigacast.report.terminal import say, show
from gigacast.settings.command.feature_store import (
    OnlineOptions,
    StatusOptions,
    StreamOptions,
)
from gigacast.settings.flag import take


@click.command(cls=Command)
@click.argument("name")
@flags_of(StreamOptions, StatusOptions, OnlineOptions)
@settings_flags("outage_minutes")
@place_options
def stream(name: str, as_json: bool, **flags: Any) -> None:
    """Apply the topic of the group-by NAME to its served features, until it is stopped.

    Each record counts once, also after restarts and with several writers. Ctrl-C and SIGTERM end
    the command after the records in hand.

    \b
    Examples:
      gigacast feature-store stream quickstart.returns.v1 --local --bucket b < events.jsonl
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(StreamOptions, flags)
    has_metrics = take(StatusOptions, flags).metrics
    online = open_online(take(OnlineOptions, flags), flags)
    patience = Patience(online.settings.run.outage_minutes * 60)
    stop = threading.Event()
    former = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with online.opened() as store:
            served = read_group_by(store, parse_name(name))
            # Lines have no position that a later run could know: each run is a stream of its own.
            source = (
                LineStream(sys.stdin.buffer, f"stdin-{uuid.uuid4().hex}")
                if options.local
                else open_stream(served, options.stream_url)
            )
            try:
                # Lines are text, whatever the form of the topic's own records.
                parsers = text_parser if options.local else stored_parsers(online.tables.store)
                applier = StreamApplier(store, name, source.name, parsers=parsers)
                notes = StreamMetrics(
                    applier.served.name,
                    source,
                    lambda line: say(line, err=True) if has_metrics else None,
                )
                report = run_stream(
                    applier,
                    source,
                    stop=stop,
                    idle_s=options.idle,
                    patience=patience,
                    watch=StreamWatch(
                        notes,
                        lambda reason: say(f"gigacast: the stream waits: {reason}", err=True),
                    ),
                )
            finally:
                source.close()
    finally:
        signal.signal(signal.SIGTERM, former)
    if as_json:
        print_json(report.to_json())
    else:
        show(stream_document(report))
