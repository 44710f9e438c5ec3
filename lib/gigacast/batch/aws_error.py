"""Translation of the errors of AWS clients into the package's errors.

For the clients of Batch, CloudWatch Logs and CloudFormation; S3 has its own translation.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from gigacast.errors import ComputeAccessError, ComputeError, ConfigError, TransientComputeError

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_UNREACHABLE = (
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)
_THROTTLED = {"ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
_DENIED = {"AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized"}
_CREDENTIALS = {
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredTokenException",
    "ExpiredToken",
    "IncompleteSignature",
    "MissingAuthenticationToken",
}
_CLOCK = re.compile(r"[Ss]ignature (?:expired|not yet current)|RequestTimeTooSkewed")
_ACTION = re.compile(r"perform: (?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?")
_MISSING = re.compile(
    r"does(?: not|n't) exist|not found|not.*valid ARN|can't be found", re.IGNORECASE
)

_CREDENTIALS_HINT = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; sign in again"
_MISSING_HINT = (
    "deploy it by `make deploy`, or name another by --stack and --region: names hold in one region"
)


@contextmanager
def translated(action: str, region: str) -> Iterator[None]:
    """Raise errors of the clients as the package's errors.

    Parameters
    ----------
    action : str
        Action for the message, as ``AWS Batch: submit to gigacast-cpu``.
    region : str
        Region for the message; empty where none is named.

    Raises
    ------
    ComputeError, ConfigError
    """
    place = f"{action} ({region})" if region else action
    try:
        yield
    except NoRegionError as error:
        raise ConfigError(
            f"{action}: no region named", hint="use --region or AWS_REGION"
        ) from error
    except _NO_CREDENTIALS as error:
        raise ComputeAccessError(f"{place}: {error}", hint=_CREDENTIALS_HINT) from error
    except _UNREACHABLE as error:
        hint = "check the region's name, the endpoint and the network"
        raise TransientComputeError(f"{place}: {_one_line(error)}", hint=hint) from error
    except ClientError as error:
        raise _of_answer(error, place) from error
    except BotoCoreError as error:
        raise ComputeError(f"{place}: {_one_line(error)}") from error


def _of_answer(error: ClientError, place: str) -> ComputeError:
    """Return the package's error for a refusal of the service."""
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{place}: {code}: {' '.join(message.split())}"
    # Before the others: a wrong clock is answered with status 403, as a missing permission is.
    if _CLOCK.search(f"{code} {message}"):
        return ComputeAccessError(text, hint="the clock of this machine is wrong: set it")
    if code in _CREDENTIALS:
        return ComputeAccessError(text, hint=_CREDENTIALS_HINT)
    if code in _DENIED or status == 403:
        return ComputeAccessError(text, hint=_permission_hint(message))
    if code in _THROTTLED or status == 429 or status >= 500:
        return TransientComputeError(text, hint="try again in a minute; nothing is lost")
    if _MISSING.search(message) or code == "ResourceNotFoundException":
        return ComputeError(text, hint=_MISSING_HINT)
    return ComputeError(text)


def _permission_hint(message: str) -> str:
    refusal = _ACTION.search(message)
    if refusal is None:
        return "the role or user in use lacks a permission"
    resource = f" on {refusal['resource']}" if refusal["resource"] else ""
    return f"allow {refusal['action']}{resource} for the role or user in use"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
