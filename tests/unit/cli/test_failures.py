"""An error is one line on stderr, and with --json an object on stdout."""

import json

import pytest

from gigacast.cli import program as module
from gigacast.cli.program import run

ERRORS = [
    (["status", "--bucket", "file:///nowhere"], "BucketNotFoundError", 2),
    (["status", "--bucket", "UPPER_CASE"], "ConfigError", 2),
    (["status", "--no_such_flag"], "UsageError", 2),
    (["status", "--months", "13", "--bucket", "file:///"], "ConfigError", 2),
]


@pytest.mark.parametrize(("words", "kind", "code"), ERRORS)
def test_an_error_is_an_object_with_json(capsys, words, kind, code):
    assert run([*words, "--json"]) == code
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, code)
    assert shown.err.startswith(f"gigacast: {error['message']}\n")
    assert (error["hint"] or "") in shown.err


@pytest.mark.parametrize(("words", "kind", "code"), ERRORS)
def test_an_error_without_json_is_on_stderr_alone(capsys, words, kind, code):
    assert run(words) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("gigacast: ")


def test_an_interruption_is_an_object_as_well(capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.program, "invoke", interrupt)
    assert run(["status", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Interrupted"
