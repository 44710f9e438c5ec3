"""Text safe to show: no control character, no mark of direction, no credential; else unchanged."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.text import (
    blank_secrets,
    blank_secrets_in,
    is_unprintable,
    printable,
    printable_json,
)

SECRETS = {
    "GET http://ann:hunter2@host:9000/b?x=1 failed": "GET http://***@host:9000/b?x=1 failed",
    "http://hunter2@host/": "http://***@host/",
    "HTTPS://ANN:hunter2%40@[::1]:9/": "HTTPS://***@[::1]:9/",
    "authorization: Basic hunter2": "authorization: ***",
    'headers: {"Authorization": "AWS4-HMAC-SHA256 Credential=hunter2, Signature=hunter2"}': (
        'headers: {"Authorization": "***"}'
    ),
    "x-amz-security-token:hunter2": "x-amz-security-token:***",
    r"{\"x-amz-security-token\": \"hunter2\"}": r"{\"x-amz-security-token\": \"***\"}",
    "https://b/k?X-Amz-Credential=hunter2&X-Amz-Signature=hunter2&x=1": (
        "https://b/k?X-Amz-Credential=***&X-Amz-Signature=***&x=1"
    ),
    "https://b/k?a=1&access_token=hunter2": "https://b/k?a=1&access_token=***",
    r"body: GET\n/\nx-amz-security-token:hunter2\nauthorization:hunter2\n": (
        r"body: GET\n/\nx-amz-security-token:***\nauthorization:***\n"
    ),
    "aws_secret_access_key = hunter2": "aws_secret_access_key = ***",
    "mysql://ann:hun/te?r#2@host:1/x@y": "mysql://***@y",
    r'{"url": "http:\/\/ann:hunter2@host"}': r'{"url": "http:\/\/***@host"}',
    "{b'authorization': b'hunter2'}": "{b'authorization': b'***'}",
    "Invalid header value b'Bearer hunter2\\n'": "Invalid header value b'Bearer ***'",
    '{"SecretAccessKey": "hunter2", "x": 1}': '{"SecretAccessKey": "***", "x": 1}',
    "<SessionToken>hunter2</SessionToken>": "<SessionToken>***</SessionToken>",
    "AccountName=ann;AccountKey=hunter2==;x=1": "AccountName=ann;AccountKey=***;x=1",
}
HARMLESS = [
    "s3://bucket/prefix/a@b.parquet: 3 rows",
    "mail ann@desk: the column cookie has 3 values",
    "signature=5 is a column",
    "2024-01-01T10:00:00 part-00001: done",
    "s3://bucket/k?a@b",
    "http://127.0.0.1:9000/bucket/a@b.parquet",
    "s3://arn:aws:s3:eu-west-1:1:accesspoint/x/a@b",
    '{"a":"http://h","b":"x@y"}',
]


def is_safe(text: str) -> bool:
    """Slow and obvious: categories of Unicode, and the marks that reverse the reading order."""
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} and character != "\n":
            return False
        if unicodedata.bidirectional(character) in {"LRE", "RLE", "PDF", "LRO", "RLO"}:
            return False
        if unicodedata.bidirectional(character) in {"LRI", "RLI", "FSI", "PDI"}:
            return False
    return True


@pytest.mark.parametrize(("text", "shown"), SECRETS.items())
def test_credentials_are_blanked_and_the_rest_stays(text: str, shown: str) -> None:
    assert blank_secrets(text) == shown
    assert printable(text) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_text_without_credentials_is_not_changed(text: str) -> None:
    assert blank_secrets(text) == text


def test_a_long_text_of_addresses_is_looked_at_in_little_time() -> None:
    text = "@" + "a://b:c" * 3_000
    assert blank_secrets(text) == text


@given(st.text())
def test_printable_text_has_nothing_that_moves_a_terminal(text: str) -> None:
    shown = printable(text)
    assert is_safe(shown)
    assert not is_unprintable(shown)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_printable_json_is_the_same_value_and_safe(value: object) -> None:
    text = printable_json(value, indent=1)
    assert is_safe(text)
    assert json.loads(text) == json.loads(json.dumps(blank_secrets_in(value)))


def test_a_column_named_like_a_header_is_no_secret_in_json() -> None:
    value = {"cookie": 5, "authorization": {"type": "float"}, "x-api-key": "float64"}
    assert json.loads(printable_json(value)) == value


def test_secrets_are_blanked_in_every_text_of_a_value() -> None:
    value = {"a": ["http://u:hunter2@h/", {"b": "authorization: hunter2"}], "n": 1}
    assert "hunter2" not in printable_json(value)
