"""Clients for an S3 bucket, configured as users of boto3 expect.

botocore finds the credentials (environment, shared profile with ``AWS_PROFILE``, single sign-on,
assumed roles, container, instance) and refreshes them. Endpoint and region come from the arguments,
the environment or the profile, in this order.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store as Client

from gigacast.errors import AccessDeniedError, ConfigError
from gigacast.storage.bucket.client import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    check_endpoint,
    client_options,
    retries,
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig

DEFAULT_REGION = "us-east-1"
_HINT = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run 'aws configure'"
_IN_HEADER = re.compile(r"[!-~]+")
_TRUE = {"1", "true", "yes"}


@dataclass(frozen=True, slots=True)
class S3Location:
    """Bucket, root, endpoint and region, with all defaults resolved.

    Parameters
    ----------
    bucket : str
        Name of the bucket.
    root : str
        Prefix of all keys: empty, or ending in ``/``.
    endpoint_url : str or None
        Endpoint; ``None`` is Amazon's own.
    region : str
        Region of the bucket.
    """

    bucket: str
    root: str
    endpoint_url: str | None
    region: str


def open_session() -> botocore.session.Session:
    """Return a botocore session, which reads the environment and the profile.

    Raises
    ------
    AccessDeniedError
        If the selected profile does not exist or its files cannot be read.
    """
    session = botocore.session.Session()
    try:
        session.get_scoped_config()
    except BotoCoreError as error:
        raise AccessDeniedError(f"the AWS profile cannot be used: {error}", hint=_HINT) from error
    return session


def resolve_location(
    session: botocore.session.Session,
    bucket: str,
    root: str,
    endpoint_url: str | None,
    region: str | None,
) -> S3Location:
    """Return the location, with missing arguments from environment, profile or default.

    Raises
    ------
    ConfigError
        If the endpoint is not an http or https URL.
    """
    endpoint = endpoint_url or _configured_endpoint(session)
    check_endpoint(endpoint)
    # botocore reads AWS_DEFAULT_REGION only; the other AWS SDKs and Lambda set AWS_REGION.
    configured = region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    if configured and not _IN_HEADER.fullmatch(configured):
        raise ConfigError(f"the region {configured!r} is none", hint="write it as eu-central-1")
    return S3Location(bucket, root, endpoint, configured or DEFAULT_REGION)


def _configured_endpoint(session: botocore.session.Session) -> str | None:
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    # The order of the AWS SDKs: service before general, environment before profile. botocore
    # resolves it only inside a client, and obstore needs the endpoint too.
    exported = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    profile: dict[str, Any] = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    url = exported or services.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")
    return str(url) if url else None


def find_credentials(
    session: botocore.session.Session, bucket: str
) -> Boto3CredentialProvider | None:
    """Return a provider that gets new credentials for a bucket from botocore when they expire.

    With ``AWS_SKIP_SIGNATURE=true`` there is none: public buckets are read unsigned.

    Raises
    ------
    AccessDeniedError
        If there are no credentials, or they cannot be read.
    """
    if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in _TRUE:
        return None
    try:
        provider = Boto3CredentialProvider(session)
        _check_credentials(provider)
    except ValueError as error:
        # Whoever has no credentials and a folder of that name probably means the folder.
        hint = f"for the folder {bucket} write ./{bucket}; else {_HINT}"
        hint = hint if Path(bucket).is_dir() else _HINT
        raise AccessDeniedError("no AWS credentials were found", hint=hint) from error
    except BotoCoreError as error:
        message = f"the AWS credentials cannot be used: {error}"
        raise AccessDeniedError(message, hint=_HINT) from error
    return provider


def _check_credentials(provider: Boto3CredentialProvider) -> None:
    # obstore panics on those; a line feed at the end is what files and secrets often have. Others
    # than those of the environment or a file are fetched with the first request, not here.
    if type(provider.credentials) is not Credentials:
        return
    found = provider.credentials.get_frozen_credentials()
    texts = {"access key": found.access_key, "secret key": found.secret_key, "token": found.token}
    for name, text in texts.items():
        if text and not _IN_HEADER.fullmatch(text):
            message = f"the AWS credentials cannot be used: the {name} has spaces, or is not ASCII"
            raise AccessDeniedError(message, hint=_HINT)


def open_client(
    location: S3Location, credentials: Boto3CredentialProvider | None, max_retries: int = 0
) -> Client:
    """Return an obstore client rooted at the location's prefix.

    Parameters
    ----------
    location : S3Location
        Bucket and root.
    credentials : Boto3CredentialProvider or None
        Provider of credentials; ``None`` sends unsigned requests.
    max_retries : int
        Number of retries within obstore. `S3Store` retries around the client.
    """
    options: dict[str, Any] = {"region": location.region}
    if location.endpoint_url:
        # Both are set, because obstore prefers AWS_ENDPOINT_URL_S3 to the option "endpoint".
        options["endpoint"] = options["aws_endpoint_url_s3"] = location.endpoint_url
    return Client(
        location.bucket,
        prefix=location.root.rstrip("/") or None,
        client_options=_client_options(location),
        retry_config=retries(max_retries),
        credential_provider=credentials,
        **options,
    )


def _client_options(location: S3Location) -> "ClientConfig":
    options = client_options(location.endpoint_url)
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise ConfigError(f"AWS_CA_BUNDLE {bundle!r}: {error.strerror}") from error
    return options


def open_exact_client(location: S3Location, session: botocore.session.Session) -> Any:
    """Return a botocore client, which represents every key that S3 can hold exactly."""
    # Timestamps are left as text: with parsing a page of 1,000 keys takes 60 ms of processor
    # time, without it 20 ms (docs/decisions/0002-object-store-client.md).
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=lambda text: text)
    timeouts = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S}
    # One attempt, because `S3Lister` retries around the client. Path style, because the servers of
    # other endpoints seldom have a host name per bucket.
    return session.create_client(
        "s3",
        region_name=location.region,
        endpoint_url=location.endpoint_url,
        config=Config(
            retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **timeouts
        ),
    )
