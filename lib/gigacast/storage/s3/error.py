"""What S3 and its clients raise, as the package's errors.

The one seam for obstore and boto3. Only the status, S3's code and its message reach our text;
what could hold a session token is blanked in the causes, too.
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
_CAUSE = re.compile(r'(?:message|error): "([^"]{1,200})"')  # the innermost of obstore's sources
_TOLD = re.compile(r"(?:External AWS credential provider: | - )(.*)")
_SECRET = re.compile(r"(x-amz-security-token\s*[:=]\s*)[^\s\\\"'&]+", re.IGNORECASE)
_RANGE_STATUS = "416"

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
}
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

_ACCESS_HINT = "check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and their permissions"
_BUCKET_HINT = "check the bucket's name and the endpoint"
_REACH_HINT = "check the endpoint URL and the network"
_REGION_HINT = "set the region the bucket is in (AWS_REGION)"


class RangeError(Exception):
    """The range asked for starts behind the object's end."""


class Answer:
    """What can be read off a client's exception: status, S3's code, its message.

    Parameters
    ----------
    error : Exception
        Of obstore or boto3.
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
        """Return a short reason: S3's own words when there are any."""
        told = ": ".join(part for part in (self.code, self.message) if part)
        if told or self.status:
            return told or f"HTTP status {self.status}"
        first_line = _blank(self.text.partition("\n")[0])
        cause = _first(_CAUSE, self.text) or _first(_TOLD, first_line) or first_line
        return cause[:300] or type(self.error).__name__

    @property
    def is_transient(self) -> bool:
        """Tell whether the same request may succeed later."""
        if self.status and self.status not in _TRANSIENT_STATUS:
            return self.code in _TRANSIENT_CODES or self.status == "409"
        return bool(self.status) or _CONNECTION.search(self.text) is not None

    @property
    def is_region(self) -> bool:
        """Tell whether the request went to another region than the bucket's."""
        return self.code in _REGION_CODES or "redirect without LOCATION" in self.text


def translate(error: Exception, where: str) -> StorageError:
    """Return the package's error for one of obstore or boto3.

    Parameters
    ----------
    error : Exception
    where : str
        The URL of the object or bucket.
    """
    answer = Answer(error)
    because = f"{where}: {answer.reason}"
    if answer.code == "NoSuchBucket":
        return BucketNotFoundError(f"there is no bucket for {where}", hint=_BUCKET_HINT)
    if answer.is_region:
        return StorageError(because, hint=_REGION_HINT)
    if answer.is_transient:
        hint = None if answer.status else _REACH_HINT
        return TransientStorageError(because, hint=hint)
    return _translate_lasting(error, answer, where)


def _translate_lasting(error: Exception, answer: Answer, where: str) -> StorageError:
    if isinstance(error, AlreadyExistsError):
        return PreconditionFailedError(f"{where} exists already")
    if isinstance(error, PreconditionError | NotModifiedError) or answer.status == "412":
        return PreconditionFailedError(f"{where} is no longer the object it was")
    if _is_access(error, answer):
        return AccessDeniedError(f"{where}: {answer.reason}", hint=_ACCESS_HINT)
    if isinstance(error, FileNotFoundError) or answer.status == "404":
        return ObjectNotFoundError(f"there is no object {where}")
    return StorageError(f"{where}: {answer.reason}")


@contextmanager
def translated(where: str, passing: type[Exception] | None = None) -> Iterator[None]:
    """Raise what the clients raise as the package's errors.

    Parameters
    ----------
    where : str
        The URL of the object or bucket.
    passing : type, optional
        A client's exception that is let through.

    Raises
    ------
    RangeError
        When the range asked for starts behind the object's end.
    """
    try:
        yield
    except (BaseError, FileNotFoundError, ValueError, ClientError, BotoCoreError) as error:
        if passing and isinstance(error, passing):
            raise
        if Answer(error).status == _RANGE_STATUS:
            raise RangeError from error
        raise translate(error, where) from _without_secret(error)


def _is_access(error: Exception, answer: Answer) -> bool:
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    return denied or answer.status in {"401", "403"} or answer.code in _ACCESS_CODES


def _without_secret(error: Exception) -> Exception:
    text = str(error)
    if _blank(text) == text:
        return error
    if isinstance(error, ClientError):
        return StorageError(_blank(text))
    return type(error)(_blank(text))


def _blank(text: str) -> str:
    return _SECRET.sub(r"\1***", text)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""
