"""Run `gigacast data` in this process."""

import json

import pytest

from gigacast.cli.program import run
from gigacast.storage.store import Store

Capture = pytest.CaptureFixture[str]


def command(bucket: Store, *words: str) -> int:
    return run(["data", *words, "--bucket", bucket.address.url])


def output_of(bucket: Store, capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert command(bucket, *words) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def json_of(bucket: Store, capsys: Capture, *words: str, code: int = 0) -> object:
    return json.loads(output_of(bucket, capsys, *words, "--json", code=code))
