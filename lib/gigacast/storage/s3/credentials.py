"""The job's endpoint, region and credentials as options of other programs' S3 clients."""

import os

from botocore.exceptions import BotoCoreError

from gigacast.errors import AccessDeniedError
from gigacast.storage.s3.client import open_session, resolve_location


def s3_options(endpoint_url: str | None, region: str | None) -> dict[str, str]:
    """Return the options of object_store's S3 client, by which it finds what `S3Store` finds.

    The credentials are those of this moment: open a client anew for each use.

    Raises
    ------
    AccessDeniedError
        If there are no credentials, or they cannot be read.
    """
    session = open_session()
    location = resolve_location(session, "", "", endpoint_url, region)
    options = {"aws_region": location.region}
    if location.endpoint_url:
        options["aws_endpoint_url"] = location.endpoint_url
        if location.endpoint_url.startswith("http://"):
            options["aws_allow_http"] = "true"
    if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true", "yes"}:
        return options | {"aws_skip_signature": "true"}
    try:
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials is not None else None
    except BotoCoreError as error:
        raise AccessDeniedError(f"the AWS credentials cannot be used: {error}") from error
    if frozen is None or not frozen.access_key:
        raise AccessDeniedError(
            "no AWS credentials were found",
            hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    options["aws_access_key_id"] = frozen.access_key
    options["aws_secret_access_key"] = frozen.secret_key
    return options | ({"aws_session_token": frozen.token} if frozen.token else {})
