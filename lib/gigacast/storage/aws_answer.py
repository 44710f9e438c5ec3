"""Answers of AWS that were cut on their way.

botocore takes a body of JSON that ends too early for an answer without fields: a stream without
records, a queue without jobs. Its clients of S3 have checks of their own.
"""

from typing import Any


def refuse_cut_answers(client: Any, service: str) -> None:
    """Let a client raise an error where a body is shorter than its header says.

    Parameters
    ----------
    client : botocore.client.BaseClient
    service : str
        Name of its service, as ``kinesis``.
    """
    client.meta.events.register(f"before-parse.{service}", _check_length)


def _check_length(response_dict: dict[str, Any], **_: Any) -> None:
    from botocore.exceptions import ResponseStreamingError  # noqa: PLC0415 - slow to import

    length = response_dict["headers"].get("content-length", "")
    body = response_dict["body"]
    # Bodies that are streamed are no bytes; a cut one is noticed by those who read it.
    if isinstance(body, bytes) and length.isdigit() and len(body) < int(length):
        raise ResponseStreamingError(error=f"{len(body)} of {length} bytes arrived")
