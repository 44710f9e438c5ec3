"""Results of uploads, fetches and streams for people and programs."""

import json
from collections.abc import Sequence
from typing import Any

from gigacast.feature_store.online.question import Response
from gigacast.feature_store.online.typed import to_json
from gigacast.feature_store.stream.run import StreamReport
from gigacast.feature_store.uploads.run import UploadResult
from gigacast.report.document import Column, Document, Heading, KeyValues, Kind, Table, Tone


def upload_document(result: UploadResult) -> Document:
    """Return what an upload wrote, and what was served before."""
    columns = (
        Column("group-by"),
        Column("keys", Kind.COUNT),
        Column("bytes", Kind.COUNT),
        Column("state"),
    )
    rows: list[tuple[Any, ...]] = [
        (
            receipt.partition.partition("/")[0],
            receipt.output["rows"],
            receipt.output["size_bytes"],
            "served",
        )
        for receipt in result.receipts
    ]
    rows += [(name, None, None, "was served before") for name in result.skipped]
    rows += [
        (task.partition.partition("/")[0], None, None, f"failed: {failure.message}")
        for task, failure in result.failures
    ]
    joins = [("can be fetched", name) for name in result.joins]
    tone = Tone.BAD if result.failures else Tone.PLAIN
    blocks = (Table(columns, tuple(rows)), *((KeyValues.of(joins),) if joins else ()))
    return Document(blocks, f"upload of {result.day}", tone)


def upload_json(result: UploadResult) -> dict[str, Any]:
    """Return what an upload wrote as plain values."""
    return {
        "run_id": result.run_id,
        "day": result.day,
        "uploaded": [
            {
                "group_by": receipt.partition.partition("/")[0],
                "keys": receipt.output["rows"],
                "bytes": receipt.output["size_bytes"],
                "seconds": receipt.seconds,
            }
            for receipt in result.receipts
        ],
        "served_before": result.skipped,
        "failures": [
            {"group_by": t.partition.partition("/")[0], "error": f.error, "message": f.message}
            for t, f in result.failures
        ],
        "joins": result.joins,
    }


def responses_document(responses: Sequence[Response]) -> Document:
    """Return the features of answers."""
    blocks: list[Heading | KeyValues] = []
    for response in responses:
        keys = ", ".join(f"{name}={value}" for name, value in response.request.keys.items())
        blocks.append(Heading(f"{response.request.name} {keys}"))
        values = [(name, _text(value)) for name, value in response.values.items()]
        # Errors of parts are among the values; that of the whole answer is not.
        values += [("error", message) for part, message in response.errors.items() if not part]
        blocks.append(KeyValues.of(values))
    failed = sum(not response.is_ok for response in responses)
    summary = f"{failed} of {len(responses)} answers with errors" if failed else ""
    return Document(tuple(blocks), summary, Tone.BAD if failed else Tone.PLAIN)


def response_json(response: Response) -> dict[str, Any]:
    """Return an answer as plain values."""
    return {
        "name": response.request.name,
        "keys": dict(response.request.keys),
        "at": response.at,
        "values": to_json(response.values),
        "errors": response.errors,
        "batch_age_ms": response.batch_age_ms,
        "freshness_ms": response.freshness_ms,
    }


def stream_document(report: StreamReport) -> Document:
    """Return what became of the records of a stream."""
    content = report.to_json()
    samples = content.pop("samples")
    # What is not known is left out, as what a stream without positions has not read.
    values = [(name, value) for name, value in content.items() if value is not None]
    values += [("garbage", sample) for sample in samples]
    return Document((KeyValues.of([(name, str(value)) for name, value in values]),))


def _text(value: Any) -> str:
    return "null" if value is None else json.dumps(to_json(value), ensure_ascii=False)
