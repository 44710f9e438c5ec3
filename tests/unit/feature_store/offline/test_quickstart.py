"""The training set of the quickstart: every value of 200 rows and 22 features."""

from pathlib import Path

import pytest

from tests.support.features.lake import Lake
from tests.support.features.quickstart import cell, put_quickstart, read_csv, training_set
from tests.support.features.repository import FILES

PURCHASES = "group_bys/quickstart/purchases.py"
TOPIC = 'table="data.purchases", topic="events/purchase_events",'


@pytest.mark.parametrize(
    ("expected", "changes", "in_folders"),
    [
        ("training_set_expected", {}, True),
        ("training_set_expected", {}, False),
        (
            "training_set_expected_with_topic",
            {PURCHASES: FILES[PURCHASES].replace('table="data.purchases",', TOPIC)},
            True,
        ),
    ],
)
def test_the_training_set_has_the_values_that_it_must_have(
    tmp_path: Path, expected: str, changes: dict[str, str], in_folders: bool
) -> None:
    lake = Lake(tmp_path / "lake")
    put_quickstart(lake, in_folders=in_folders)
    join = training_set(tmp_path / "repository", changes)
    lake.backfill(join)
    expected_rows = read_csv(expected)
    rows = [{name: cell(value) for name, value in row.items()} for row in lake.read(join)]
    assert len(expected_rows) == 200
    assert len(expected_rows[0]) == 25
    assert rows == expected_rows
