"""From an address to a store."""

import pickle
from pathlib import Path

import pytest

from gigacast.errors import AccessDeniedError, ConfigError, StorageError
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.memory import MemoryStore, forget_memory
from gigacast.storage.opening import open_store, unescape_file_url
from gigacast.storage.s3.store import S3Store
from gigacast.storage.store import StoreAddress
from tests.unit.storage.stub_server import StubServer, content


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No AWS settings but those a test makes; returns the folder of the shared files."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
        "AWS_SKIP_SIGNATURE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-env")


def authorization(address: StoreAddress, server: StubServer) -> str:
    """Return how a request is signed."""
    open_store(address).get("key")
    return server.seen[-1].headers["authorization"]


@pytest.mark.parametrize("form", ["file://{}", "{}", "file://localhost{}", "{}/"])
def test_a_folder_is_opened_by_url_or_path(form: str, tmp_path: Path) -> None:
    store = open_store(StoreAddress(form.format(tmp_path)))
    assert isinstance(store, FolderStore)
    assert store.address == StoreAddress(f"file://{tmp_path}")


def test_a_relative_path_starts_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store(StoreAddress("some/folder")).address.url == f"file://{tmp_path}/some/folder"


@pytest.mark.parametrize("name", ["plain", "my data", "käse", "100%", "a%20b", "a+b&c=d", "#1?"])
def test_the_uri_of_a_path_leads_to_the_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    # Once before the folder exists, and once after.
    for _ in range(2):
        assert unescape_file_url(folder.as_uri()) == f"file://{folder}"
        folder.mkdir(exist_ok=True)
    assert unescape_file_url((folder / "new one").as_uri()) == f"file://{folder}/new one"


def test_a_folder_with_percent_signs_may_be_written_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a%20b").mkdir()
    for url in (f"file://{tmp_path}/a%20b", f"file://{tmp_path}/a%20b/new%20one"):
        assert unescape_file_url(url) == url


def test_a_url_of_two_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a%20b").mkdir()
    (tmp_path / "a b").mkdir()
    with pytest.raises(ConfigError, match="names two folders") as raised:
        unescape_file_url(f"file://{tmp_path}/a%20b")
    assert "a%2520b" in str(raised.value.hint)


@pytest.mark.parametrize(
    "url", ["s3://bucket/a%20b", "memory://a%20b", "a%20b", "file:///a%FFb", "file:///a%2Fb%00"]
)
def test_only_escapes_of_file_urls_are_resolved(url: str) -> None:
    assert unescape_file_url(url) == url


def test_a_memory_is_shared_by_its_name() -> None:
    store = open_store(StoreAddress("memory://shared/root"))
    assert isinstance(store, MemoryStore)
    store.put("key", b"content")
    assert open_store(StoreAddress("memory://shared")).get("root/key") == b"content"
    forget_memory("shared")
    assert list(open_store(StoreAddress("memory://shared")).list()) == []


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("url", ["s3://bucket/some/root", "s3a://bucket/some/root/"])
def test_a_bucket_is_opened_by_its_url(url: str) -> None:
    store = open_store(StoreAddress(url, "http://127.0.0.1:9", "eu-west-1"))
    assert isinstance(store, S3Store)
    expected = StoreAddress("s3://bucket/some/root", "http://127.0.0.1:9", "eu-west-1")
    assert store.address == expected == pickle.loads(pickle.dumps(store.address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gs://",
        "az:///x",
        "http://host/x",
        "s3://",
        "s3:///x",
        "s3://bad bucket/",
        "file://",
        "file://relative",
        "memory://",
    ],
)
def test_an_incomplete_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_store(StoreAddress(url))
    assert raised.value.hint


@pytest.mark.usefixtures("keys")
def test_an_endpoint_without_a_scheme_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="localhost:9000"):
        open_store(StoreAddress("s3://bucket", "localhost:9000"))


@pytest.mark.usefixtures("keys")
def test_a_prefix_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(StorageError, match="a//b"):
        open_store(StoreAddress("s3://bucket/a//b"))


# Credentials, endpoint and region, as a boto3 user expects them


def test_missing_credentials_are_named() -> None:
    with pytest.raises(AccessDeniedError, match="no AWS credentials") as raised:
        open_store(StoreAddress("s3://bucket"))
    assert "AWS_PROFILE" in str(raised.value.hint)


def test_half_a_credential_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    with pytest.raises(AccessDeniedError, match=r"(?i)aws_secret_access_key"):
        open_store(StoreAddress("s3://bucket"))


def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessDeniedError, match="nobody"):
        open_store(StoreAddress("s3://bucket"))


def test_an_unreadable_profile_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "config").write_text("this is no configuration file")
    with pytest.raises(AccessDeniedError, match="config"):
        open_store(StoreAddress("s3://bucket"))


def test_a_profile_gives_credentials_region_and_endpoint(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubServer(content(b"data")) as server:
        (bare / "credentials").write_text(
            "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = secret\n"
        )
        (bare / "config").write_text(
            f"[profile work]\nregion = eu-central-1\nendpoint_url = {server.url}\n"
        )
        monkeypatch.setenv("AWS_PROFILE", "work")
        signed = authorization(StoreAddress("s3://bucket"), server)
    assert "Credential=AKIDWORK/" in signed
    assert "/eu-central-1/s3/" in signed


@pytest.mark.usefixtures("keys")
def test_the_environment_gives_credentials_and_endpoint_and_the_region_has_a_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StubServer(content(b"data")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        signed = authorization(StoreAddress("s3://bucket"), server)
    assert "Credential=AKIDENV/" in signed
    assert "/us-east-1/s3/" in signed


@pytest.mark.usefixtures("keys")
def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with StubServer(content(b"data")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        signed = authorization(StoreAddress("s3://bucket", server.url, "eu-north-1"), server)
    assert "/eu-north-1/s3/" in signed


def test_a_public_bucket_is_read_unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with StubServer(content(b"data")) as server:
        open_store(StoreAddress("s3://bucket", server.url)).get("key")
    assert "authorization" not in server.seen[-1].headers


def test_credentials_that_cannot_be_refreshed_are_access_denied(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "config").write_text("[profile sso]\ncredential_process = /bin/false\n")
    monkeypatch.setenv("AWS_PROFILE", "sso")
    with pytest.raises(AccessDeniedError, match="credential"):
        open_store(StoreAddress("s3://bucket", "http://127.0.0.1:9")).get("key")
