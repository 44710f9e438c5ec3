"""Every exception of the clients becomes one of ours."""

import warnings

import obstore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from gigacast.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientStorageError,
)
from gigacast.storage.bucket.error import RangeError, translate, translated


def client_exceptions() -> dict[str, type[Exception]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        named = {name: getattr(obstore.exceptions, name) for name in dir(obstore.exceptions)}
    return {name: kind for name, kind in named.items() if not name.startswith("_")}


EXPECTED = {
    "AlreadyExistsError": PreconditionFailedError,
    "BaseError": StorageError,
    "GenericError": StorageError,
    "InvalidPathError": StorageError,
    "JoinError": StorageError,
    "NotFoundError": StorageError,  # deprecated: FileNotFoundError is raised instead
    "NotModifiedError": PreconditionFailedError,
    "NotSupportedError": StorageError,
    "PermissionDeniedError": AccessDeniedError,
    "PreconditionError": PreconditionFailedError,
    "UnauthenticatedError": AccessDeniedError,
    "UnknownConfigurationKeyError": StorageError,
}


def test_every_exception_of_obstore_is_one_of_ours() -> None:
    kinds = client_exceptions()
    error_kinds = {name: type(translate(kind("boom"), "s3://b/k")) for name, kind in kinds.items()}
    assert error_kinds == EXPECTED


@pytest.mark.parametrize("kind", [*client_exceptions().values(), ValueError, FileNotFoundError])
def test_no_obstore_exception_leaves_the_translation(kind: type[Exception]) -> None:
    with pytest.raises(StorageError, match="s3://b/k") as raised, translated("s3://b/k"):
        raise kind("boom")
    assert isinstance(raised.value.__cause__, kind)


def test_a_missing_file_is_a_missing_object() -> None:
    assert isinstance(translate(FileNotFoundError("k"), "s3://b/k"), ObjectNotFoundError)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchBucket", 404, BucketNotFoundError),
        ("AccessDenied", 403, AccessDeniedError),
        ("SlowDown", 503, TransientStorageError),
        ("NoSuchKey", 404, ObjectNotFoundError),
        ("PreconditionFailed", 412, PreconditionFailedError),
        ("Strange", 400, StorageError),
    ],
)
def test_client_errors_of_boto3_are_translated(
    code: str, status: int, expected: type[StorageError]
) -> None:
    response = {
        "Error": {"Code": code, "Message": "told so"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = translate(ClientError(response, "ListObjectsV2"), "s3://b/k")
    assert type(error) is expected


def test_connection_errors_of_botocore_are_translated() -> None:
    unreachable = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
    assert isinstance(translate(unreachable, "s3://b"), TransientStorageError)
    assert type(translate(BotoCoreError(), "s3://b")) is StorageError


def test_a_range_beyond_the_end_has_its_own_error() -> None:
    message = "Server returned non-2xx status code: 416 Range Not Satisfiable: "
    with pytest.raises(RangeError), translated("s3://b/k"):
        raise obstore.exceptions.GenericError(message)
    with pytest.raises(RangeError), translated("az://b/k"):
        raise obstore.exceptions.GenericError("Wanted range starting at 10, but object was only 10")
