"""Names that mean harm, of files, items and columns: drawn from what terminals and paths fear.

A bucket has one sound part and one with hostile names. Commands that read, write and show both end
with a code of their own, print no control characters, and forecast the sound part as ever.
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.text import is_unprintable
from tests.campaign.sweep import call, made_in
from tests.support.panels import hourly_panel

PIECES = (
    *("\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x7f", "\x00", "\n", "\r", "\t"),
    *("\u202e", "\u2066", "\u200b", "\ufeff", "é", "e\u0301", "日本", "😀", "\ud7ff", "\U0010ffff"),
    *(" ", "..", "\\", "'", '"', ";", "=", "#", "?", "&", "%2F", "%", "*", "[", "{x}", "$HOME"),
    *("-", "--help", "_", "0", "NaN", "null", "<script>", "|", "`id`", "a" * 90),
)
NAIVE = "--model seasonal-naive --horizon 6"
COMMANDS = (
    *(f"forecast {NAIVE}", f"status {NAIVE}", "ls", "ls items", "data quality", "data discover"),
    *("read --model seasonal-naive -o {o}", "report", f"backtest {NAIVE} --windows 1"),
)
SOUND = "2024/01/part-0"


def draw(rng: random.Random) -> str:
    """Return a name of a few pieces."""
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 4)))


def _item(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.replace({"item_id": {"a": name}})


def _column(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame if name in frame.columns else frame.assign(**{name: 1.0})


def _value(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.assign(note=name)


def _target(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.rename(columns={"target": name})


PLACES: Mapping[str, Callable[[pd.DataFrame, str], pd.DataFrame]] = {
    "name of a file": lambda frame, name: frame,
    "name of a folder": lambda frame, name: frame,
    "name of an item": _item,
    "name of a column": _column,
    "name of the target": _target,
    "text in a column": _value,
}
"""What has the name, and how it gets it."""


def attempt(place: str, rng: random.Random, folder: Path) -> str | None:
    """Run the commands on a bucket with a hostile name; return the law that is broken."""
    name = draw(rng)
    month = folder / "bucket" / "2024" / "01"
    month.mkdir(parents=True)
    frame = hourly_panel("2024-01", ("a", "b"), steps=48)
    _write(frame, month / "part-0.parquet")
    call(COMMANDS[0], folder)
    truth = _sound(folder)
    file = f"part-{name}.parquet" if place == "name of a file" else "part-1.parquet"
    if place == "name of a folder":
        file = f"../../{name}/2024/01/part-1.parquet"
    try:
        (month / file).parent.mkdir(parents=True, exist_ok=True)
        _write(PLACES[place](frame, name), month / file)
    except (ValueError, OSError):
        return None  # no file system takes this name
    for words in COMMANDS:
        try:
            code, shown = call(words, folder)
        except Exception as error:
            return f"{name!r}: {words}: {type(error).__name__}: {error}"
        if code not in {0, 1, 2}:
            return f"{name!r}: {words}: exit code {code}: {shown[-300:]}"
        if "Traceback" in shown or any(map(is_unprintable, shown.split("\n"))):
            return f"{name!r}: {words}: {shown[-500:]!r}"
    return None if truth and _sound(folder) == truth else f"{name!r}: another forecast of {SOUND}"


def _write(frame: pd.DataFrame, path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)


def _sound(folder: Path) -> dict[str, str]:
    digests, end = made_in(folder / "bucket"), f"{SOUND}.parquet"
    return {
        k: digest for k, digest in digests.items() if k.startswith("forecasts/") and k.endswith(end)
    }
