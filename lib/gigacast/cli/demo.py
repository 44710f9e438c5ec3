"""``gigacast demo``: a forecasting job on generated data, against an S3 server on this machine."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import flags_of, json_option
from gigacast.cli.forecast import run_and_report
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.plural import counted
from gigacast.errors import MissingExtraError
from gigacast.forecasting.demo import generate_demo
from gigacast.forecasting.document import figure_of, summarise_run
from gigacast.forecasting.prepare import prepare
from gigacast.forecasting.preview import look_at
from gigacast.forecasting.run import run_forecast
from gigacast.forecasting.stored.partition import Finished, find_partition
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.document import Document
from gigacast.report.plot.picture import save_figures
from gigacast.report.terminal import say, show, show_json
from gigacast.settings.assembly import job_of
from gigacast.settings.command.forecast import DemoOptions
from gigacast.settings.flag import take
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments

BUCKET = "gigacast-demo"
PARTITION = "2024/02/part-00000"
SITE = "site-003"


@click.command(cls=Command)
@flags_of(DemoOptions)
@json_option
def demo(as_json: bool, **flags: Any) -> int:
    """Generate data in an embedded S3, forecast it, look at it, and run again.

    Needs no network and no account: the S3 is a server on this machine that ends with the demo.
    """
    options = take(DemoOptions, flags)
    with embedded_s3() as endpoint:
        arguments = {
            "bucket": BUCKET,
            "prefix": "load",
            "endpoint_url": endpoint,
            "horizon": 24,
            "n_jobs": options.n_jobs,
            "context_partitions": 1,
            "model": options.model,
        }
        job = job_of(load_settings(nest_arguments(arguments)))
        if as_json:
            return _demonstrate(job, options.output)
        say(f"1. An S3 on this machine: {endpoint}, bucket {BUCKET}", bold=True)
        keys = generate_demo(job)
        say(f"   {counted(len(keys), 'partition')} of hourly load, {keys[0]} to {keys[-1]}")
        say("")
        say("2. Forecast the bucket, 24 hours ahead", bold=True)
        code, _ = run_and_report(job)
        say("")
        say("3. One forecast, with what came after", bold=True)
        _show(job, options.output)
        say("")
        say("4. Run again: everything is done, everything is skipped", bold=True)
        started = time.monotonic()
        code = run_and_report(job)[0] or code
        say("")
        say(f"The rerun took {time.monotonic() - started:.1f} s: three listings, no read.")
    return code


def _demonstrate(job: ForecastJob, output: Path) -> int:
    """Do the same and print it as JSON: both runs, a forecast, and the picture."""
    keys = generate_demo(job)
    first = run_forecast(job)
    finished = find_partition(prepare(job), PARTITION)
    looks = look_at(finished, items=[SITE], steps=96)
    picture = _draw(finished, output)
    results = [first, run_forecast(job)]
    content = {
        "partitions": keys,
        "runs": [summarise_run(result, job).to_json() for result in results],
        "series": [look.to_json() for look in looks],
        "picture": str(picture),
    }
    show_json(content, is_ascii=True)
    return EXIT_FAILED if any(result.failures for result in results) else 0


def _show(job: ForecastJob, output: Path) -> None:
    finished = find_partition(prepare(job), PARTITION)
    show(Document((figure_of(look_at(finished, items=[SITE], steps=96)[0]),)))
    picture = _draw(finished, output)
    say("")
    say(f"   picture: {picture}")


def _draw(finished: Finished, output: Path) -> Path:
    output.mkdir(parents=True, exist_ok=True)
    looks = look_at(finished, count=4, steps=72)
    save_figures(output / "forecast.png", [figure_of(look) for look in looks])
    return output / "forecast.png"


@contextmanager
def embedded_s3() -> Iterator[str]:
    """Run an S3 server on loopback, with a bucket, and yield its URL.

    The environment is set for it meanwhile, so that worker processes find it as well.

    Raises
    ------
    MissingExtraError
        If moto is not installed.
    """
    try:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "the demo needs moto, an S3 for tests", hint="pip install 'gigacast[demo]'"
        ) from error
    # The server logs every request, between the lines of the demo.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Port 0: the system chooses a free one, so that two demos can run at once.
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    # Worker processes inherit the environment, where arguments would not reach them.
    saved = dict(os.environ)
    os.environ.update(_ENVIRONMENT)
    try:
        _create_bucket(endpoint)
        yield endpoint
    finally:
        os.environ.clear()
        os.environ.update(saved)
        server.stop()


_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Without these the clients would look for credentials of the machine and of the user.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "NO_PROXY": "127.0.0.1,localhost",
}


def _create_bucket(endpoint: str) -> None:
    import boto3  # noqa: PLC0415 - half a second, for the demo alone

    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
