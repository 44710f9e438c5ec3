"""Clients of AWS other than those of S3: DynamoDB, Kinesis, Batch.

botocore takes a body of JSON that ends too early for an answer without fields: a stream without
records, a queue without jobs. Its clients of S3 have checks of their own.
"""

import os
from typing import Any

from gigacast.errors import ConfigError
from gigacast.storage.bucket.client import check_endpoint


def open_aws_client(
    service: str, *, region: str | None, endpoint_url: str | None, **options: Any
) -> Any:
    """Return a client that refuses answers which were cut on their way.

    Parameters
    ----------
    service : str
        Name of the service, as ``kinesis``.
    region : str, optional
        Region; that of the environment or the profile by default.
    endpoint_url : str, optional
        Address of a stand-in of the service.
    **options
        Those of boto3, as ``config``.

    Raises
    ------
    ConfigError
        If no region is named, or what the environment or the profile says can't be used.
    """
    # Imported here: boto3 takes half a second to import.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, NoRegionError  # noqa: PLC0415

    # botocore reads AWS_DEFAULT_REGION only; the other AWS SDKs and Lambda set AWS_REGION.
    place = region or os.environ.get("AWS_REGION")
    try:
        client = boto3.client(service, region_name=place, endpoint_url=endpoint_url, **options)
    except NoRegionError as error:
        raise ConfigError(f"{service}: no AWS region is named", hint=_REGION_HINT) from error
    except BotoCoreError as error:
        raise ConfigError(f"{service}: AWS cannot be used: {error}", hint=_HINT) from error
    except ValueError:
        # Its text would repeat the address, and a password in it.
        raise ConfigError(f"{service}: the endpoint of AWS is not a URL", hint=_HINT) from None
    check_endpoint(client.meta.endpoint_url)
    client.meta.events.register(f"before-parse.{service}", _check_length)
    return client


_REGION_HINT = "use --region or AWS_REGION"
_HINT = "check AWS_PROFILE, AWS_ENDPOINT_URL (http://host:port), and the files in ~/.aws"


def _check_length(response_dict: dict[str, Any], **_: Any) -> None:
    from botocore.exceptions import ResponseStreamingError  # noqa: PLC0415 - slow to import

    length = response_dict["headers"].get("content-length", "")
    body = response_dict["body"]
    # Bodies that are streamed are no bytes; a cut one is noticed by those who read it.
    if isinstance(body, bytes) and length.isdigit() and len(body) < int(length):
        raise ResponseStreamingError(error=f"{len(body)} of {length} bytes arrived")
