"""``gigacast feature-store upload``, ``upload-metadata`` and ``fetch``: features online."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import click

from gigacast.cli.feature_store.command import open_online, print_json
from gigacast.cli.flags import array_options, flags_of, place_options, settings_flags
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.offline.day import read_day
from gigacast.feature_store.online.fetcher import Fetcher, find_type
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.online.serving import write_join
from gigacast.feature_store.served_document import (
    response_json,
    responses_document,
    upload_document,
    upload_json,
)
from gigacast.feature_store.stored import find_stored
from gigacast.feature_store.uploads.plan import UploadJob, parts_to_upload
from gigacast.feature_store.uploads.run import upload as upload_batch
from gigacast.job.forecast_job import Resources
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import say, show
from gigacast.settings.assembly import array_options_of
from gigacast.settings.command.feature_store import (
    FetchOptions,
    LogOptions,
    OnlineOptions,
    UploadOptions,
)
from gigacast.settings.flag import take

name_argument = click.argument("name")


@click.command(cls=Command)
@name_argument
@flags_of(UploadOptions, OnlineOptions)
@settings_flags("executor", "n_jobs", "memory_limit", "outage_minutes", "verify_datasets")
@array_options
@place_options
def upload(name: str, as_json: bool, **flags: Any) -> int:
    """Write the features of NAME, a group-by or a join, to the online store, and serve them.

    A batch appears whole. What is served already is not written again. With a join all its
    group-bys are uploaded, and then it can be fetched.

    \b
    Examples:
      gigacast feature-store upload quickstart.returns.v1 --ds 2023-12-01 --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(UploadOptions, flags)
    online = open_online(take(OnlineOptions, flags), flags)
    definition = find_stored(online.tables.store, name).definition
    job = UploadJob(
        online.tables,
        parts_to_upload(definition),
        read_day(options.ds, "--ds"),
        (definition,) if isinstance(definition, Join) else (),
        online_store=online.url,
        serving_days=options.serving_days,
        resources=Resources(
            executor=online.settings.run.executor,
            n_jobs=online.settings.run.n_jobs,
            memory_limit_bytes=online.settings.parquet_loader.performance.memory_limit,
            outage_minutes=online.settings.run.outage_minutes,
        ),
        overwrite=options.overwrite,
    )
    if job.resources.executor == "batch":
        from gigacast.batch.upload import divide_upload  # noqa: PLC0415 - AWS' clients
        from gigacast.cli.batch import job_on_batch  # noqa: PLC0415

        return job_on_batch(divide_upload(job), array_options_of(online.settings), as_json=as_json)
    with RunProgress(quiet=as_json, verb="upload") as progress:
        result = upload_batch(job, events=progress)
    if as_json:
        print_json(upload_json(result))
    else:
        show(upload_document(result))
    return EXIT_FAILED if result.failures else 0


@click.command(cls=Command)
@name_argument
@flags_of(OnlineOptions)
@place_options
def upload_metadata(name: str, as_json: bool, **flags: Any) -> None:
    """Let the join NAME be fetched; its group-bys are uploaded by themselves."""
    online = open_online(take(OnlineOptions, flags), flags)
    join = find_stored(online.tables.store, f"joins/{name.rpartition('joins/')[2]}").definition
    with online.opened() as store:
        changed = write_join(store, join)
    if as_json:
        print_json({"join": join.name, "changed": changed})
    else:
        say(f"{join.name}: {'can be fetched' if changed else 'unchanged'}")


@click.command(cls=Command)
@name_argument
@flags_of(FetchOptions, LogOptions, OnlineOptions)
@place_options
def fetch(name: str, as_json: bool, **flags: Any) -> int:
    """Print the features of keys of NAME, a join or a group-by; exit code 1 if a part fails.

    \b
    Examples:
      gigacast feature-store fetch quickstart.training_set.v2 -k '{"user_id":"5"}' --bucket b
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options, log_options = take(FetchOptions, flags), take(LogOptions, flags)
    keys = _read_keys(options.keys)
    online = open_online(take(OnlineOptions, flags), flags)
    entries = keys if isinstance(keys, list) else [keys]
    requests = [Request(name, entry, options.at) for entry in entries]
    with online.opened() as store:
        kind = options.kind or find_type(store, name)
        with closing(Fetcher(store, log=online.log(log_options))) as fetcher:
            ask = fetcher.fetch_join if kind == "join" else fetcher.fetch_group_by
            responses = ask(requests)
    if as_json:
        answers = [response_json(response) for response in responses]
        print_json(answers if isinstance(keys, list) else answers[0])
    else:
        show(responses_document(responses))
    return 0 if all(response.is_ok for response in responses) else EXIT_FAILED


def _read_keys(text: str) -> Mapping[str, Any] | list[Mapping[str, Any]]:
    hint = """write -k '{"user_id": "5"}'"""
    keys = decode_json(text, Source("--keys", ConfigError, hint=hint))
    entries = keys if isinstance(keys, list) else [keys]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError("--keys: expected an object, or a list of objects", hint=hint)
    checked: Mapping[str, Any] | list[Mapping[str, Any]] = keys
    return checked
