"""What the stores of other clouds do when a cloud does not do what was asked."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gigacast.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConfigError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientStorageError,
)
from gigacast.storage.bucket.error import translate
from gigacast.storage.cloud.store import AzureStore, GcsStore
from gigacast.storage.opening import open_store
from gigacast.storage.retry import Retrier, RetryPolicy
from gigacast.storage.store import StoreAddress
from tests.support.clouds.azure import ACCOUNT, KEY
from tests.unit.storage.stub_server import Reply, StubServer, content, refusal

CloudStore = GcsStore | AzureStore
Script = Callable[..., tuple[CloudStore, StubServer]]
BUSY = refusal(503, "ServerBusy")
LOST = refusal(412, "PreconditionFailed")
RETRIER = Retrier(RetryPolicy(attempts=4), lambda seconds: None, lambda: 0.5)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of other clouds but those a test makes."""
    for name in ("GOOGLE_BASE_URL", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "token-of-google")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)


@pytest.fixture(params=[GcsStore, AzureStore], ids=["gs", "az"])
def kind(request: pytest.FixtureRequest) -> type[CloudStore]:
    """The class of the store under test."""
    chosen: type[CloudStore] = request.param
    return chosen


@pytest.fixture
def play(kind: type[CloudStore]) -> Iterator[Script]:
    """A function from a script to a store that talks to a server with that script."""
    servers: list[StubServer] = []

    def start(*script: Reply) -> tuple[CloudStore, StubServer]:
        server = StubServer(*script)
        servers.append(server.__enter__())
        return kind("bucket", "root", endpoint_url=server.url, retrier=RETRIER), server

    yield start
    for server in servers:
        server.__exit__()


def methods(server: StubServer) -> list[str]:
    return [request.method for request in server.seen]


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        refusal(429, "RateLimitExceeded"),
        refusal(500, "OperationTimedOut"),
        content(b"a body that breaks off", cut=True),
        Reply(drop=True),
    ],
    ids=["busy", "too many", "timeout", "broken body", "broken connection"],
)
def test_transient_faults_are_retried(play: Script, failure: Reply) -> None:
    store, server = play(failure, content(b"data"))
    assert store.get("key") == b"data"
    assert methods(server) == ["GET", "GET"]


def test_lasting_faults_are_raised_after_the_last_attempt(play: Script) -> None:
    store, server = play(BUSY)
    with pytest.raises(TransientStorageError, match="bucket/root/key: ServerBusy"):
        store.put("key", b"data")
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("reply", "error", "match"),
    [
        (refusal(403, "AuthorizationFailure"), AccessDeniedError, "AuthorizationFailure"),
        (refusal(401, "AuthenticationRequired"), AccessDeniedError, "credentials"),
        (refusal(404, "NoSuchBucket"), BucketNotFoundError, "no bucket"),
        (refusal(404, "ContainerNotFound"), BucketNotFoundError, "no bucket"),
        (refusal(404, "BlobNotFound"), ObjectNotFoundError, "no object"),
        (LOST, PreconditionFailedError, "was replaced or deleted"),
        (refusal(409, "BlobImmutableDueToPolicy"), StorageError, "BlobImmutableDueToPolicy"),
        (refusal(400, "InvalidUri"), StorageError, "InvalidUri"),
    ],
)
def test_permanent_faults_are_raised_at_once_as_their_own_error(
    play: Script, reply: Reply, error: type[StorageError], match: str
) -> None:
    store, server = play(reply)
    with pytest.raises(StorageError, match=match) as raised:
        store.get("key")
    assert type(raised.value) is error
    # Azure fails a condition on an object that is gone, too: it is looked up.
    is_looked_up = reply is LOST and isinstance(store, AzureStore)
    assert methods(server) == (["GET", "HEAD"] if is_looked_up else ["GET"])


def test_the_hint_names_the_credentials_of_the_cloud(play: Script, kind: type) -> None:
    store, _ = play(refusal(403, "Forbidden"))
    with pytest.raises(AccessDeniedError) as raised:
        store.check()
    own = "GOOGLE_APPLICATION_CREDENTIALS" if kind is GcsStore else "AZURE_STORAGE_ACCOUNT_NAME"
    assert own in str(raised.value.hint)
    assert "AWS" not in str(raised.value.hint)


@pytest.mark.parametrize("failure", [refusal(500, "InternalError"), Reply(drop=True)])
def test_a_conditional_write_whose_answer_was_lost_succeeds(play: Script, failure: Reply) -> None:
    store, server = play(failure, LOST, content(b"data", etag="ours"))
    assert store.put_if_absent("key", b"data") == "ours"
    assert methods(server) == ["PUT", "PUT", "HEAD", "GET"]


def test_a_conditional_write_whose_answer_was_lost_fails_if_another_won(play: Script) -> None:
    store, _ = play(refusal(500, "InternalError"), LOST, content(b"them"))
    with pytest.raises(PreconditionFailedError):
        store.put_if_absent("key", b"data")


def test_an_answer_of_another_version_than_the_one_asked_for_is_refused(play: Script) -> None:
    store, server = play(content(b"data", etag="new"))
    with pytest.raises(PreconditionFailedError, match="is no longer old"):
        store.get("key", if_match="old")
    assert server.seen[0].headers["if-match"] == '"old"'


def test_googles_condition_is_the_generation_of_the_object_with_the_etag() -> None:
    current = content(b"data", etag="old")
    current = Reply(200, current.body, current.headers | {"x-goog-generation": "17"})
    with StubServer(current, content(b"", etag="new")) as server:
        store = GcsStore("bucket", endpoint_url=server.url, retrier=RETRIER)
        assert store.put_if_match("key", b"data", "old") == "new"
        assert server.seen[1].headers["x-goog-if-generation-match"] == "17"
        store.put_if_absent("key", b"data")
        assert server.seen[2].headers["x-goog-if-generation-match"] == "0"


def test_azures_condition_is_the_etag() -> None:
    with StubServer(content(b"", etag="new"), refusal(409, "BlobAlreadyExists")) as server:
        store = AzureStore("bucket", endpoint_url=server.url, retrier=RETRIER)
        assert store.put_if_match("key", b"data", "old") == "new"
        with pytest.raises(PreconditionFailedError, match="exists already"):
            store.put_if_absent("key", b"data")
        assert server.seen[0].headers["if-match"] == '"old"'
        assert server.seen[1].headers["if-none-match"] == "*"
        assert len(server.seen) == 2


def test_an_upload_whose_blocks_another_one_displaced_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes((16 << 20) + 1))
    accepted = content(b"", etag="whole")
    with StubServer(accepted, accepted, refusal(400, "InvalidBlockList"), accepted) as server:
        store = AzureStore("bucket", endpoint_url=server.url, retrier=RETRIER)
        assert store.put("key", path) == "whole"
        assert methods(server) == ["PUT"] * 6


# Credentials


@pytest.mark.parametrize("scheme", ["gs", "az"])
@pytest.mark.parametrize("reason", ["Connection refused", "status code: 404 Not Found"])
def test_a_token_that_cannot_be_had_is_a_matter_of_credentials(scheme: str, reason: str) -> None:
    """Off the machines of a cloud nothing answers where their tokens are."""
    error = ValueError(f"Error performing token request: error sending request: {reason}")
    translated = translate(error, f"{scheme}://bucket/key")
    assert type(translated) is AccessDeniedError
    assert translated.hint
    busy = ValueError("Error performing token request: status code: 503 Service Unavailable")
    assert type(translate(busy, f"{scheme}://bucket/key")) is TransientStorageError


def test_an_account_that_is_not_named_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(AccessDeniedError, match="Account must be specified") as raised:
        open_store(StoreAddress("az://container"))
    assert "AZURE_STORAGE_ACCOUNT_NAME" in str(raised.value.hint)


@pytest.mark.parametrize(
    "text",
    ["", '{"private_key": "-----BEGIN TOPSECRET', '{"type": "authorized_user"}'],
)
def test_a_file_of_credentials_that_cannot_be_read_is_told_without_its_content(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(AccessDeniedError, match="gs://bucket") as raised:
        open_store(StoreAddress("gs://bucket"))
    assert "TOPSECRET" not in str(raised.value)


def test_a_key_that_cannot_be_read_is_not_spelled_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(
        '{"type": "service_account", "private_key": "-----BEGIN TOPSECRET", "private_key_id": "x",'
        ' "client_email": "a@example.org"}'
    )
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(AccessDeniedError) as raised:
        open_store(StoreAddress("gs://bucket"))
    # The library lists the bytes of the line.
    assert "84, 79, 80" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_token_in_a_url_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2023-11-03&sig=TOPSECRET")
    with StubServer(Reply(418)) as server:
        store = AzureStore("bucket", endpoint_url=server.url, retrier=RETRIER)
        with pytest.raises(StorageError) as raised:
            store.get("key")
    assert "TOPSECRET" in server.seen[0].path
    assert "TOPSECRET" not in f"{raised.value} {raised.value.__cause__}"


# Addresses


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_an_address_is_opened_and_sent_to_other_processes(scheme: str) -> None:
    address = StoreAddress(f"{scheme}://bucket/some/root/", "http://127.0.0.1:9")
    opened = open_store(address)
    assert isinstance(opened, GcsStore if scheme == "gs" else AzureStore)
    expected = StoreAddress(f"{scheme}://bucket/some/root", "http://127.0.0.1:9")
    assert opened.address == expected == pickle.loads(pickle.dumps(opened.address))


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_an_endpoint_that_is_no_url_is_a_config_error(scheme: str) -> None:
    with pytest.raises(ConfigError, match="ftp://host"):
        open_store(StoreAddress(f"{scheme}://bucket", "ftp://host"))


def test_the_endpoint_of_s3_is_none_of_other_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    with StubServer(content(b"theirs")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", server.url)
        for scheme in ("gs", "az"):
            assert open_store(StoreAddress(f"{scheme}://bucket")).get("key") == b"theirs"
    assert [request.path for request in server.seen] == ["/bucket/key", "/bucket/key"]
    assert server.seen[0].headers["authorization"] == "Bearer token-of-google"
    assert server.seen[1].headers["authorization"].startswith(f"SharedKey {ACCOUNT}:")
