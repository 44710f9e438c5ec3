"""The quickstart's tables and its training set as it must be, beside this repository."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from gigacast.feature_store.definition.name import Definition
from gigacast.feature_store.repository import open_repository, read_definitions
from tests.support.features.lake import Lake
from tests.support.features.repository import write_repository
from tests.support.features.vectors import SHARED

DATA = SHARED / "feature_store" / "data"


def training_set(folder: Path, changes: dict[str, str]) -> Definition:
    repository = write_repository(folder, changes)
    file = repository / "joins/quickstart/training_set.py"
    definitions = read_definitions(open_repository(repository), file)
    return next(d for d in definitions if d.name == "quickstart.training_set.v1")


def read_csv(name: str) -> list[dict[str, str]]:
    file = DATA / f"{name}.csv"
    if not file.is_file():
        pytest.skip(f"the data of the quickstart are not beside this repository: {name}")
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return json.dumps(value)
    return repr(value) if isinstance(value, float) else str(value)


def put_quickstart(lake: Lake, *, in_folders: bool) -> None:
    """Put the tables as they are, in files with a column of days, or in a folder for each day."""
    for table in ("checkouts", "purchases", "returns", "users"):
        days: dict[str, list[dict[str, str]]] = {}
        for row in read_csv(table):
            days.setdefault(row["ds"] if in_folders else "", []).append(row)
        for day, rows in days.items():
            folder = lake.root / "data" / table / (f"ds={day}" if day else "")
            folder.mkdir(parents=True)
            names = [name for name in rows[0] if not day or name != "ds"]
            with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, names, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
