"""The verdict of the gate says when a version was trained on what it is judged by."""

from typing import Any

import pytest

from gigacast.models.gate import Seen

INPUTS = frozenset({"2024/01/part-0.parquet", "2024/01/part-1.parquet"})
SEEN = Seen("file:///bucket", INPUTS, 48)


def trained(
    *keys: str, url: str = "file:///bucket", hold_out: Any = 0, kind: str = "training"
) -> dict[str, Any]:
    inputs = [{"key": key, "etag": "x"} for key in keys]
    record = {"data": {"url": url, "inputs": inputs}, "settings": {"hold_out": hold_out}}
    return {"kind": kind, "record": record}


def test_a_version_trained_on_the_inputs_of_its_gate_is_named() -> None:
    caveat = SEEN.caveat("m/v1", trained("2024/01/part-0.parquet", "2023/12/part-0.parquet"))
    assert caveat is not None
    assert "m/v1 was trained on 1 of these 2 inputs" in caveat
    assert "--hold_out 48" in caveat


@pytest.mark.parametrize(
    "source",
    [
        trained("2023/12/part-0.parquet"),
        trained(*INPUTS, url="file:///elsewhere"),
        trained(*INPUTS, hold_out=48),
        trained(*INPUTS, kind="folder"),
        {"kind": "training", "record": {"data": {"kind": "file", "path": "x.csv"}}},
        {"kind": "training"},
        {"kind": "training", "record": [], "parent": None},
        {"kind": "training", "record": {"data": {"url": "file:///bucket", "inputs": "x"}}},
    ],
)
def test_other_data_and_held_out_ends_are_no_reason(source: dict[str, Any]) -> None:
    assert SEEN.caveat("m/v1", source) is None


def test_steps_held_out_that_are_fewer_than_the_windows_are_one() -> None:
    assert SEEN.caveat("m/v1", trained(*INPUTS, hold_out=24)) is not None
    assert SEEN.caveat("m/v1", trained(*INPUTS, hold_out="all")) is not None
