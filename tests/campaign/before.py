"""What some jobs begin with, made in peace: forecasts, a topic with events, a recipe of a model."""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import gigacast
from gigacast.cli.program import run
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.online.sqlite import SqliteOnlineStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.campaign.features import DAYS, FIRST_MS, put_returns
from tests.support.panels import hourly_panel

NANO = Path(gigacast.__file__).parent / "forecasters" / "weights" / "gigacast-bolt-nano"
ROWS, RECIPE, SERVED = "rows.parquet", "recipe.yaml", "served.sqlite"
STREAMED, TOPIC = "quickstart.returns.v1", "events.returns"
STEPS, STEPS_LATER, STEPS_LATEST = 72, 80, 88
_WRITTEN_NS = 1_700_000_000_000_000_000
_USERS, _EVENTS = 4, 300
_BATCH_END = FIRST_MS + len(DAYS) * 86_400_000
_MODEL = {
    "model": {
        "d_model": 32,
        "d_ff": 64,
        "d_kv": 8,
        "num_heads": 4,
        "num_layers": 2,
        "num_decoder_layers": 1,
        "context_length": 64,
        "prediction_length": 16,
    },
    "steps": 6,
    "decay_steps": 0,
    "batch_size": 16,
    "context_lengths": {64: 1.0},
    "held_out_series": 32,
    "checkpoint_every": 2,
    "precision": "float32",
}


def command(words: str, url: str) -> None:
    """Run a command on a bucket, past all disturbances."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run([*words.split(), "--bucket", url])
    if code:
        raise RuntimeError(f"{words}: {code}: {out.getvalue()}")


def forecast_then_land(url: str, folder: Path) -> None:
    """Forecast all parts, and then let the rows of the horizon arrive."""
    command("forecast --model seasonal-naive --horizon 6", url)
    _land(url, folder, "abc")


def forecast_well_then_land(url: str, folder: Path) -> None:
    """Forecast all parts by a model that can be calibrated, from two origins; let rows arrive."""
    for steps in (STEPS_LATER, STEPS_LATEST):
        command(f"forecast --model {NANO} --model_engine numpy --horizon 6", url)
        _land(url, folder, "abc", steps)


def forecast_then_change(url: str, folder: Path) -> None:
    """Forecast all parts with notes of their series, and then let rows of one series arrive."""
    command("forecast --model seasonal-naive --horizon 6 --incremental", url)
    _land(url, folder, "a")


def _land(url: str, folder: Path, letters: str, until: int = STEPS_LATER) -> None:
    """Let rows of some series of each part arrive."""
    store = open_store(StoreAddress(url))
    for page in store.list("2024/"):
        for entry in page:
            part = int(entry.key.rpartition("-")[2].partition(".")[0])
            items = [f"{part}-{letter}" for letter in "abc"]
            grown, former = (
                hourly_panel("2024-01", items, steps=steps, seed=part) for steps in (until, STEPS)
            )
            names = {f"{part}-{letter}" for letter in letters}
            is_grown = [frame["item_id"].isin(names) for frame in (grown, former)]
            frame = pd.concat([grown[is_grown[0]], former[~is_grown[1]]])
            file = io.BytesIO()
            table = pa.Table.from_pandas(frame, preserve_index=False)
            pq.write_table(table, file, write_page_checksum=True)
            store.put(entry.key, file.getvalue())
    # The scores name the ETags of these files, which in a folder are made of their times.
    for path in (folder / "bucket").glob("2024/*/*"):
        os.utime(path, ns=(_WRITTEN_NS + 1, _WRITTEN_NS + 1))


def put_topic(url: str, folder: Path) -> None:
    """Upload a group-by that is streamed, and fill its topic, which all trials share."""
    put_returns(open_store(StoreAddress(url)))
    command(
        f"feature-store upload {STREAMED} --ds {DAYS[-1]} --online_store sqlite:{folder}/{SERVED}",
        url,
    )
    kinesis = boto3.client("kinesis")
    try:
        kinesis.create_stream(StreamName=TOPIC, ShardCount=2)
    except kinesis.exceptions.ResourceInUseException:
        return
    events = [
        {"ts": _BATCH_END + 60_000 * number, "user_id": str(number % _USERS), "refund_amt": number}
        for number in range(_EVENTS)
    ]
    kinesis.put_records(
        StreamName=TOPIC,
        Records=[
            {"Data": json.dumps(event).encode(), "PartitionKey": event["user_id"]}
            for event in events
        ],
    )


def served(folder: Path) -> dict[str, str]:
    """Return digests of the features that are served after the last event, by user."""
    online = SqliteOnlineStore(folder / SERVED)
    try:
        moment = _BATCH_END + 60_000 * _EVENTS
        requests = [Request(STREAMED, {"user_id": str(u)}, moment) for u in range(_USERS)]
        responses = Fetcher(online).fetch_group_by(requests)
    finally:
        online.close()
    return {
        f"user {number}": hashlib.sha256(repr((dict(r.values), r.errors)).encode()).hexdigest()
        for number, r in enumerate(responses)
    }


def put_recipe(url: str, folder: Path) -> None:
    """Write the recipe of a small model."""
    (folder / RECIPE).write_text(json.dumps(_MODEL))
