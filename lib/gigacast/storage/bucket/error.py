"""The translation of errors of obstore and botocore into the package's errors.

Messages contain only the HTTP status, the store's error code and its message. The causes are kept,
but credentials in their texts are blanked: they would end in logs and audits.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from gigacast.core.text import blank_secrets
from gigacast.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientStorageError,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
# obstore raises few exception classes; status, code and cause are only in their texts.
_CAUSE = re.compile(r'(?:message|error): "([^"]{1,200})"')  # the innermost source of an error
_PROVIDER_REASON = re.compile(r"(?:External AWS credential provider: | - )(.*)")
_RANGE_STATUS = "416"
_BEYOND = "Wanted range starting at"
"""obstore's words where a server answers a range beyond the end by the whole object."""

# Transient: timeouts, throttling, faults of the server, and 409 (ConditionalRequestConflict), the
# answer to a conditional write while another one to the same key is in progress. Not transient:
# 412, a condition that failed for good, and what Azure answers by 409. Sources: *Amazon S3 API
# Reference, Error responses*; *Azure Blob Storage error codes*; *Cloud Storage XML API, HTTP status
# and error codes*.
_TRANSIENT_STATUS = {"408", "425", "429", "500", "502", "503", "504"}
_TRANSIENT_CODES = {
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    # The body was changed on its way: the same request again sends it whole.
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "Md5Mismatch",
    # Of two uploads in blocks to one key at once, Azure drops the blocks of the second: it is sent
    # again as a whole.
    "InvalidBlockList",
}
_PERMANENT_CONFLICTS = {
    "BlobArchived",
    "BlobImmutableDueToPolicy",
    "InvalidBlobType",
    "PathConflict",
    "ResourceTypeMismatch",
}
_BUCKET_CODES = {"NoSuchBucket", "ContainerNotFound"}
_EXISTS_CODES = {"BlobAlreadyExists"}
# Tokens are fetched by obstore within the request that needs one.
_TOKEN = re.compile(r"token request|fetching token|Azure CLI|az account get-access-token")
_CONNECTION = re.compile(
    r"HTTP error|error sending request|decoding response body|request or response body"
    r"|timed out|timeout|connection (?:reset|closed|refused)|IncompleteMessage|ConnectError"
    r"|Could not connect|Connection was closed|got more than \d+ bytes|truncated",
    re.IGNORECASE,
)
_ACCESS_CODES = {
    "AccessDenied",
    "AllAccessDisabled",
    "AccountProblem",
    "ExpiredToken",
    "ExpiredTokenException",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_REGION_CODES = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
}

_ACCESS_HINTS = {
    "s3": "check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and their permissions",
    "gs": "check the credentials (GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth "
    "application-default login`) and their roles",
    "az": "check AZURE_STORAGE_ACCOUNT_NAME, the credentials (AZURE_STORAGE_ACCOUNT_KEY, "
    "AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_ID) and their roles",
}
_BUCKET_HINT = "check the bucket's name and the endpoint"
_REACH_HINT = "check the endpoint URL and the network"
_REGION_HINT = "set the region the bucket is in (AWS_REGION)"


class RangeError(Exception):
    """Raised when a requested range starts beyond the end of the object."""


class Answer:
    """HTTP status, S3's error code and message from a client's exception.

    Parameters
    ----------
    error : Exception
        Error of obstore or botocore.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.text = str(error)
        if isinstance(error, ClientError):
            details = error.response.get("Error", {})
            metadata = error.response.get("ResponseMetadata", {})
            self.status = str(metadata.get("HTTPStatusCode", ""))
            self.code, self.message = details.get("Code", ""), details.get("Message", "")
        else:
            self.status = _first(_STATUS, self.text)
            self.code, self.message = _first(_CODE, self.text), _first(_MESSAGE, self.text)

    @property
    def reason(self) -> str:
        """Short reason: S3's code and message, else the status, else the client's text."""
        answer = ": ".join(part for part in (self.code, self.message) if part)
        if answer or self.status:
            return answer or f"HTTP status {self.status}"
        first_line = blank_secrets(self.text.partition("\n")[0])
        cause = _first(_CAUSE, self.text) or _first(_PROVIDER_REASON, first_line) or first_line
        return cause[:300] or type(self.error).__name__

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        if self.status and self.status not in _TRANSIENT_STATUS:
            is_conflict = self.status == "409" and self.code not in _PERMANENT_CONFLICTS
            return self.code in _TRANSIENT_CODES or is_conflict
        return bool(self.status) or _CONNECTION.search(self.text) is not None

    @property
    def is_token(self) -> bool:
        """Whether no token could be fetched, which was no answer of the store itself."""
        # Without a status nothing answers at the address that a machine of the cloud would have.
        is_waiting = self.status in _TRANSIENT_STATUS
        return _TOKEN.search(self.text) is not None and not is_waiting

    @property
    def is_region(self) -> bool:
        """Whether the request was sent to another region than the bucket's."""
        return self.code in _REGION_CODES or "redirect without LOCATION" in self.text


def translate(error: Exception, url: str) -> StorageError:
    """Return the package's error for an error of obstore or botocore.

    Parameters
    ----------
    error : Exception
        Error of a client.
    url : str
        URL of the object or bucket.
    """
    answer = Answer(error)
    message = f"{url}: {message_of(answer)}"
    if answer.code in _BUCKET_CODES:
        return BucketNotFoundError(f"there is no bucket for {url}", hint=_BUCKET_HINT)
    if answer.code in _EXISTS_CODES:
        return PreconditionFailedError(f"{url} exists already")
    if answer.is_token:
        return AccessDeniedError(f"{url}: no token: {message_of(answer)}", hint=access_hint(url))
    # Only S3's code tells a wrong region from other refused requests, so it is tested first.
    if answer.is_region:
        return StorageError(message, hint=_REGION_HINT)
    if answer.is_transient:
        hint = None if answer.status else _REACH_HINT
        return TransientStorageError(message, hint=hint)
    return _translate_permanent(error, answer, url)


def _translate_permanent(error: Exception, answer: Answer, url: str) -> StorageError:
    if isinstance(error, AlreadyExistsError) and answer.code not in _PERMANENT_CONFLICTS:
        return PreconditionFailedError(f"{url} exists already")
    if isinstance(error, PreconditionError | NotModifiedError) or answer.status == "412":
        return PreconditionFailedError(f"{url} was replaced or deleted in the meantime")
    if _is_access(error, answer):
        return AccessDeniedError(f"{url}: {message_of(answer)}", hint=access_hint(url))
    if isinstance(error, FileNotFoundError) or answer.status == "404":
        return ObjectNotFoundError(f"there is no object {url}")
    return StorageError(f"{url}: {message_of(answer)}")


def message_of(answer: Answer) -> str:
    """Return the reason of an answer without credentials."""
    return blank_secrets(answer.reason)


def access_hint(url: str) -> str:
    """Return the hint for refused or missing credentials at a URL."""
    return _ACCESS_HINTS.get(url.partition("://")[0], _ACCESS_HINTS["s3"])


@contextmanager
def translated(url: str, passing: type[Exception] | None = None) -> Iterator[None]:
    """Raise errors of the clients as the package's errors.

    Parameters
    ----------
    url : str
        URL of the object or bucket.
    passing : type, optional
        Class of a client's errors to raise unchanged; none by default.

    Raises
    ------
    RangeError
        If a requested range starts beyond the end of the object.
    """
    try:
        yield
    except (BaseError, FileNotFoundError, ValueError, ClientError, BotoCoreError) as error:
        if passing and isinstance(error, passing):
            raise
        answer = Answer(error)
        if answer.status == _RANGE_STATUS or _BEYOND in answer.text:
            raise RangeError from error
        raise translate(error, url) from _without_secret(error)
    except BaseException as error:
        # Faults of obstore's Rust, as for a request that no HTTP can carry, are no Exceptions.
        if type(error).__name__ != "PanicException":
            raise
        raise StorageError(
            f"{url}: no request can be made: {blank_secrets(str(error))[:300]}",
            hint="check the endpoint, the region and the credentials for spaces and line breaks",
        ) from None


def _is_access(error: Exception, answer: Answer) -> bool:
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    return denied or answer.status in {"401", "403"} or answer.code in _ACCESS_CODES


def _without_secret(error: Exception) -> Exception:
    text = str(error)
    if blank_secrets(text) == text:
        return error
    if isinstance(error, ClientError):
        return StorageError(blank_secrets(text))
    return type(error)(blank_secrets(text))


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""
