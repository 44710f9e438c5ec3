"""The verdict of the gate says when a version was trained on what it is judged by."""

from typing import Any

import pytest

from gigacast.models.lineage import Seen

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
        {"kind": "training"},
        {"kind": "portfolio", "inputs": "file:///elsewhere", "selection": {}},
        {"kind": "training", "record": [], "parent": None},
        {"kind": "training", "record": {"data": {"url": "file:///bucket", "inputs": "x"}}},
    ],
)
def test_other_data_and_held_out_ends_are_no_reason(source: dict[str, Any]) -> None:
    assert SEEN.caveat("m/v1", source) is None


def test_inputs_are_the_same_wherever_the_prefix_is_written() -> None:
    below = trained("part-0.parquet", "part-9.parquet", url="file:///bucket/2024/01")
    caveat = SEEN.caveat("m/v1", below)
    assert caveat is not None
    assert "was trained on 1 of these 2 inputs" in caveat


def test_inputs_that_a_manifest_does_not_list_may_be_those_of_the_gate() -> None:
    many = trained("2023/12/part-0.parquet")
    many["record"]["data"]["objects"] = 20_000
    caveat = SEEN.caveat("m/v1", many)
    assert caveat is not None
    assert "20,000 inputs of the same place, of which its manifest lists 1" in caveat
    many["record"]["data"]["url"] = "file:///elsewhere"
    assert SEEN.caveat("m/v1", many) is None


@pytest.mark.parametrize("kind", ["file", "table"])
def test_a_file_or_a_frame_may_hold_the_same_series(kind: str) -> None:
    source = {"kind": "training", "record": {"data": {"kind": kind}, "settings": {}}}
    caveat = SEEN.caveat("m/v1", source)
    assert caveat is not None
    assert f"was trained on a {kind}" in caveat
    source["record"]["settings"] = {"hold_out": 48}  # type: ignore[index]
    assert SEEN.caveat("m/v1", source) is None


def test_a_portfolio_is_judged_by_what_chose_it() -> None:
    caveat = SEEN.caveat("mix/v1", {"kind": "portfolio", "selection": {"windows": 3}})
    assert caveat is not None
    assert "was chosen by a backtest of these inputs" in caveat


def test_steps_held_out_that_are_fewer_than_the_windows_are_one() -> None:
    assert SEEN.caveat("m/v1", trained(*INPUTS, hold_out=24)) is not None
    assert SEEN.caveat("m/v1", trained(*INPUTS, hold_out="all")) is not None
