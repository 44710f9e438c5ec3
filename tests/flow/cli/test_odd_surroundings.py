"""Addresses, regions and credentials that are none end in an error, and are shown without secrets.

Clients of servers end in faults of their own on them: panics of Rust, bare errors of Python.
"""

from pathlib import Path

import pytest

from gigacast.cli.program import run
from gigacast.core.address import is_http_address, without_credentials
from gigacast.errors import AccessDeniedError, ConfigError, StorageError
from gigacast.feature_store.client import FeatureClient
from gigacast.feature_store.online.opening import open_online_store
from gigacast.storage.bucket.error import translated
from gigacast.storage.opening import open_store
from gigacast.storage.retry import RetryPolicy
from gigacast.storage.store import StoreAddress

SECRET = "hunter2"
NO_ADDRESS = [
    "http://ann:hunter2@127.0.0.1:999999",
    "http://ann:hunter2@[::1",
    "http://ann:hunter2/w@127.0.0.1:9",
    "http://ann:a?hunter2@127.0.0.1:9",
    "http://ann:a#hunter2@127.0.0.1:9",
    "http://ann:a hunter2@127.0.0.1:9",
    'http://ann:a"hunter2@127.0.0.1:9',
    "http://ann:12/hunter2@127.0.0.1:9",
    "http://ann:hunter2@",
    "http:/ann:hunter2@127.0.0.1:9",
    "http//ann:hunter2@127.0.0.1:9",
    "ann:hunter2@127.0.0.1:9",
    "ftp://ann:hunter2@127.0.0.1:9",
]
ADDRESSES = [
    "http://127.0.0.1:9000",
    "https://ann:p%2Fw@host/path",
    "http://[::1]:9",
    "https://bucket.vpce-1a.s3.eu-west-1.vpce.amazonaws.com",
]
PLAN = ["plan", "--bucket", "s3://bucket", "--model", "seasonal-naive", "--horizon", "2"]


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_of_a_server_is_one(url: str) -> None:
    assert is_http_address(url)


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_address_of_a_server_is_none(url: str) -> None:
    assert not is_http_address(url)
    assert SECRET not in without_credentials(url)


@pytest.mark.parametrize("url", [NO_ADDRESS[0], NO_ADDRESS[2], NO_ADDRESS[-2]])
def test_what_is_no_address_is_refused_wherever_it_stands(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert run([*PLAN, "--endpoint_url", url]) == 2
    assert run(["config", "show", "--endpoint_url", url]) == 2
    root = StoreAddress(f"file://{tmp_path}")
    with pytest.raises(ConfigError) as refused:
        FeatureClient(url)
    assert SECRET not in str(refused.value)
    for name in ("AWS_ENDPOINT_URL", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.setenv(name, url)
    for address in ("s3://bucket", "gs://bucket", "az://container"):
        with pytest.raises(ConfigError, match="not a URL") as refused:
            open_store(StoreAddress(address))
        assert SECRET not in str(refused.value)
    with pytest.raises(ConfigError, match="not a URL") as refused:
        open_online_store("dynamodb:table", root)
    assert SECRET not in str(refused.value)
    monkeypatch.setenv("HF_ENDPOINT", url)
    assert run([*PLAN[:3], "--model", "amazon/chronos-bolt-tiny"]) == 2
    out, err = capsys.readouterr()
    assert err.count("gigacast: ") == 3
    assert SECRET not in out + err


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:hunter2/w@127.0.0.1:9",
        "redis://ann:hunter2@127.0.0.1:999999",
        "redis://ann:hunter2@[::1",
        "redis://ann:hunter2@127.0.0.1:9?db=x",
        "redis://ann:hunter2@127.0.0.1:9?colour=red",
        "redis:ann:hunter2@127.0.0.1",
        "sqlite:a\0b",
        "lmdb:a\0b",
    ],
)
def test_what_is_no_address_of_an_online_store_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address") as refused:
        open_online_store(url, StoreAddress(f"file://{tmp_path}"))
    assert SECRET not in str(refused.value)


def test_a_region_is_that_of_any_aws_sdk_or_missing_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    root = StoreAddress("s3://bucket")
    with pytest.raises(ConfigError, match="no AWS region"):
        open_online_store("dynamodb:table", root)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    open_online_store("dynamodb:table", root).close()
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        open_online_store("dynamodb:table", root)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AWS_REGION", ConfigError),
        ("AWS_ACCESS_KEY_ID", AccessDeniedError),
        ("AWS_SESSION_TOKEN", AccessDeniedError),
    ],
)
def test_a_line_feed_after_a_credential_is_refused(
    name: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "x")
    monkeypatch.setenv(name, f"{SECRET}\n")
    with pytest.raises(kind):
        open_store(StoreAddress("s3://bucket"))


def test_a_panic_of_the_client_is_an_error_of_the_tree() -> None:
    kind = type("PanicException", (BaseException,), {})
    with pytest.raises(StorageError, match="InvalidPort"), translated("s3://bucket/k"):
        raise kind("InvalidPort")
    with pytest.raises(KeyboardInterrupt), translated("s3://bucket/k"):
        raise KeyboardInterrupt


def test_a_token_that_no_header_carries_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        FeatureClient("http://127.0.0.1:9", token=f"{SECRET}\n")
    assert SECRET not in str(refused.value)


def test_an_outage_does_not_make_a_run_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RetryPolicy, "delay_s", lambda *_: 0.0)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "x")
    place = ["--bucket", "s3://bucket", "--endpoint_url", "http://127.0.0.1:9"]
    for command in ("watch", "cancel", "logs"):
        assert run([command, "forecast_20260101_000000_0000", *place]) == 75
        assert "no run" not in capsys.readouterr().err


def test_a_path_that_the_system_refuses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "validate", "x" * 300, "--bucket", "s3://bucket"]) == 2
    assert f"gigacast: {'x' * 300}: File name too long" in capsys.readouterr().err
