"""What the S3 store does when S3 does not do what was asked."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gigacast.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientStorageError,
)
from gigacast.storage.retry import Retrier, RetryPolicy
from gigacast.storage.s3.store import S3Store
from tests.unit.storage.stub_server import Reply, StubServer, content, refusal

Script = Callable[..., tuple[S3Store, StubServer]]
BUSY = refusal(503, "SlowDown", "Please reduce your request rate.")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stub-secret")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def slept() -> list[float]:
    """The delays waited between attempts, without waiting them."""
    return []


@pytest.fixture
def play(slept: list[float]) -> Iterator[Script]:
    """A function from a script to a store that talks to a server with that script."""
    servers: list[StubServer] = []

    def start(*script: Reply) -> tuple[S3Store, StubServer]:
        server = StubServer(*script)
        servers.append(server.__enter__())
        retrier = Retrier(RetryPolicy(attempts=4), slept.append, lambda: 0.5)
        return S3Store("bucket", "root", endpoint_url=server.url, retrier=retrier), server

    yield start
    for server in servers:
        server.__exit__()


@contextmanager
def raises(error: type[StorageError], match: str) -> Iterator[None]:
    """Expect an error whose text is one line that names the object."""
    with pytest.raises(error, match=match) as raised:
        yield
    assert "s3://bucket" in str(raised.value)
    assert "\n" not in str(raised.value)


def methods(server: StubServer) -> list[str]:
    return [request.method for request in server.seen]


# Trying again


def test_a_throttled_read_is_retried_with_growing_delays(play: Script, slept: list[float]) -> None:
    store, server = play(BUSY, BUSY, content(b"data"))
    assert store.get("key") == b"data"
    assert slept == [0.1, 0.2]
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "failure",
    [
        refusal(500, "InternalError"),
        refusal(429, "TooManyRequests"),
        refusal(400, "RequestTimeout"),
        refusal(400, "XAmzContentSHA256Mismatch"),
        content(b"a body that breaks off", cut=True),
        Reply(drop=True),
    ],
    ids=["error", "too many", "timeout", "changed body", "broken body", "broken connection"],
)
def test_transient_faults_are_retried(play: Script, failure: Reply) -> None:
    store, _ = play(failure, content(b"data"))
    assert store.get("key") == b"data"


@pytest.mark.parametrize("failure", [BUSY, content(b"breaks off", cut=True), Reply(drop=True)])
def test_lasting_faults_are_raised_after_the_last_attempt(
    play: Script, failure: Reply, slept: list[float]
) -> None:
    store, server = play(failure)
    with raises(TransientStorageError, "bucket/root/key"):
        store.get("key")
    assert len(server.seen) == 4
    assert slept == [0.1, 0.2, 0.4]


def test_a_throttled_write_and_a_throttled_delete_are_retried(play: Script) -> None:
    store, server = play(BUSY, content(b"", etag="new"))
    assert store.put("key", b"data") == "new"
    assert methods(server) == ["PUT", "PUT"]
    deleted = b"<DeleteResult><Deleted><Key>root/key</Key></Deleted></DeleteResult>"
    store, server = play(BUSY, Reply(200, deleted))
    store.delete(["key"])
    assert methods(server) == ["POST", "POST"]


def test_a_throttled_head_is_retried(play: Script) -> None:
    store, _ = play(Reply(503), content(b"data"))
    assert store.head("key").size_bytes == 4


def page(*keys: str, token: str = "") -> Reply:
    rows = "".join(
        f"<Contents><Key>root/{key}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>"
        f'<ETag>"e"</ETag><Size>1</Size></Contents>'
        for key in keys
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    cut = "true" if token else "false"
    body = f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{more}{rows}</ListBucketResult>"
    return Reply(200, body.encode(), {"Content-Type": "application/xml"})


def test_a_listing_continues_after_the_last_page_received(play: Script) -> None:
    first = [f"a{i:04d}" for i in range(1000)]
    store, server = play(page(*first, token="next"), BUSY, page("b", "c"))
    assert [meta.key for some in store.list() for meta in some] == [*first, "b", "c"]
    assert "start-after=root%2Fa0999" in server.seen[2].path


def test_a_check_of_a_refused_connection_tries_as_long_as_every_request() -> None:
    waits: list[float] = []
    retrier = Retrier(sleep=waits.append)
    store = S3Store("bucket", endpoint_url="http://127.0.0.1:9", retrier=retrier)
    with pytest.raises(TransientStorageError, match="Connection refused") as raised:
        store.check()
    assert "endpoint" in str(raised.value.hint)
    assert len(waits) == retrier.policy.attempts - 1


# Conditional writes


def test_a_conflict_of_two_conditional_writes_is_retried(play: Script) -> None:
    conflict = refusal(409, "ConditionalRequestConflict")
    store, _ = play(conflict, content(b"", etag="new"))
    assert store.put_if_absent("key", b"data") == "new"
    store, _ = play(conflict, content(b"", etag="new"))
    assert store.put_if_match("key", b"data", "old") == "new"


def test_after_a_conflict_the_other_writer_may_have_won(play: Script) -> None:
    conflict, lost = refusal(409, "ConditionalRequestConflict"), refusal(412, "PreconditionFailed")
    store, server = play(conflict, lost)
    with pytest.raises(PreconditionFailedError):
        store.put_if_absent("key", b"data")
    assert methods(server) == ["PUT", "PUT"]


@pytest.mark.parametrize("failure", [refusal(500, "InternalError"), Reply(drop=True)])
def test_a_conditional_write_whose_answer_was_lost_succeeds(play: Script, failure: Reply) -> None:
    lost, ours = refusal(412, "PreconditionFailed"), content(b"data", etag="ours")
    store, server = play(failure, lost, ours)
    assert store.put_if_absent("key", b"data") == "ours"
    assert methods(server) == ["PUT", "PUT", "HEAD", "GET"]


def test_a_conditional_write_whose_answer_was_lost_fails_if_another_won(
    play: Script,
) -> None:
    lost, theirs = refusal(412, "PreconditionFailed"), content(b"them")
    store, _ = play(refusal(500, "InternalError"), lost, theirs)
    with pytest.raises(PreconditionFailedError):
        store.put_if_match("key", b"data", "old")


def test_conditions_are_sent_with_quotes(play: Script) -> None:
    store, server = play(content(b"data", etag="e"))
    store.get("key", if_match="e")
    store.put_if_match("key", b"data", "e")
    store.put_if_absent("key", b"data")
    assert [request.headers.get("if-match") for request in server.seen] == ['"e"', '"e"', None]
    assert server.seen[2].headers["if-none-match"] == "*"


# What lasts


@pytest.mark.parametrize(
    ("reply", "error", "match"),
    [
        (refusal(403, "AccessDenied"), AccessDeniedError, "AccessDenied: told so"),
        (refusal(403, "InvalidAccessKeyId"), AccessDeniedError, "credentials"),
        (refusal(400, "ExpiredToken"), AccessDeniedError, "ExpiredToken"),
        (refusal(401, "Unauthorized"), AccessDeniedError, "Unauthorized"),
        (refusal(404, "NoSuchBucket"), BucketNotFoundError, "no bucket"),
        (refusal(404, "NoSuchKey"), ObjectNotFoundError, "no object"),
        (refusal(412, "PreconditionFailed"), PreconditionFailedError, "was replaced or deleted"),
        (refusal(400, "AuthorizationHeaderMalformed"), StorageError, "AWS_REGION"),
        (refusal(301, "PermanentRedirect"), StorageError, "AWS_REGION"),
        (refusal(400, "KeyTooLongError"), StorageError, "KeyTooLongError"),
    ],
)
def test_permanent_faults_are_raised_at_once_as_their_own_error(
    play: Script, reply: Reply, error: type[StorageError], match: str
) -> None:
    store, server = play(reply)
    with raises(error, match):
        store.get("key")
    assert len(server.seen) == 1


def test_a_listing_without_permission_is_access_denied(play: Script) -> None:
    store, _ = play(refusal(403, "AccessDenied"))
    for request in (store.check, lambda: list(store.list()), store.list_folder):
        with raises(AccessDeniedError, "AccessDenied"):
            request()
    with raises(AccessDeniedError, "AccessDenied"):
        list(store.list("a/tex"))  # asked through the other client


def test_no_secret_is_in_an_error_or_its_traceback(play: Script) -> None:
    echo = "GET\n/\nx-amz-security-token:TOPSECRET\n"
    request = f"<CanonicalRequest>{echo}</CanonicalRequest>"
    body = f"<Error><Code>SignatureDoesNotMatch</Code>{request}</Error>"
    store, _ = play(Reply(403, body.encode()))
    with pytest.raises(AccessDeniedError) as raised:
        store.get("key")
    trace = "".join(traceback.format_exception(raised.value))
    assert "SignatureDoesNotMatch" in trace
    assert "TOPSECRET" not in trace
    assert "stub-secret" not in trace


def test_a_large_file_is_sent_in_parts_of_a_fixed_size(play: Script, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(40 << 20))
    started = Reply(
        200,
        b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        {"ETag": '"part"'},
    )
    completed = Reply(
        200,
        b"<CompleteMultipartUploadResult><ETag>whole-3</ETag></CompleteMultipartUploadResult>",
    )
    store, server = play(started, started, started, started, completed)
    assert store.put("key", path) == "whole-3"
    sizes = [
        request.headers["content-length"] for request in server.seen if request.method == "PUT"
    ]
    assert sorted(sizes) == sorted([str(16 << 20), str(16 << 20), str(8 << 20)])


def test_an_answer_of_another_version_than_the_one_asked_for_is_refused(play: Script) -> None:
    store, server = play(content(b"data", etag="new"))
    with raises(PreconditionFailedError, "is no longer old"):
        store.get("key", if_match="old")
    assert methods(server) == ["GET"]
    store, _ = play(content(b"data", etag="old"))
    assert store.get("key", if_match="old") == b"data"
    store, _ = play(content(b"data", etag="new"))
    assert store.get("key") == b"data"


def test_a_body_changed_on_its_way_is_sent_again(play: Script) -> None:
    store, server = play(refusal(400, "XAmzContentSHA256Mismatch"), content(b"", etag="new"))
    assert store.put("key", b"data") == "new"
    assert methods(server) == ["PUT", "PUT"]
