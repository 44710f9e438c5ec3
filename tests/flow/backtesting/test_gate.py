"""A version goes live only if a backtest shows that it is better."""

from dataclasses import replace
from pathlib import Path

import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.models.api import ModelManager
from gigacast.models.gate import Gate, object_to
from gigacast.storage.store import Store
from tests.flow.backtesting.backtests import OPTIONS, backtest
from tests.support.panels import hourly_panel, put_frame, put_panels
from tests.support.tiny_models import session_folder, tiny_bolt

SHIPPED = Path(gigacast.__file__).parent / "forecasters/weights/gigacast-bolt-nano"

# -- the gate --------------------------------------------------------------------------------------


@pytest.fixture
def registry(folder: Store, tmp_path_factory: pytest.TempPathFactory, bolt: str) -> ModelManager:
    """A bucket of panels with a random model active, and one that repeats nothing better."""
    put_panels(folder)
    manager = ModelManager(bucket=folder.address.url)
    manager.publish_model(bolt, "tiny", "v1")
    shorter_model = tiny_bolt(session_folder(tmp_path_factory), context_length=256)
    manager.publish_model(shorter_model, "tiny", "v2")
    return manager


def test_a_version_worse_than_naive_does_not_go_live(registry: ModelManager, folder: Store) -> None:
    before = folder.get("models/tiny/ACTIVE")
    verdict = registry.promote_model("tiny", "v2", gate=Gate(partitions=2), **OPTIONS)
    assert not verdict.is_better
    assert any("seasonal-naive" in objection for objection in verdict.objections)
    assert folder.get("models/tiny/ACTIVE") == before


def test_a_better_version_goes_live_with_its_figures(
    registry: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gigacast.models.gate.object_to", lambda *_: [])
    verdict = registry.promote_model("tiny", "v2", why="weekends", gate=Gate(2, 10), **OPTIONS)
    assert verdict.is_better
    assert registry.active_version("tiny") == "v2"
    change = registry.show_model("tiny")[1].history[-1]
    assert change.why.startswith("weekends; WQL of a backtest of 2 partitions:")


def test_a_version_that_is_better_on_real_models_goes_live(folder: Store, bolt: str) -> None:
    put_frame(folder, "2024/01/part-0.parquet", hourly_panel(steps=240))
    manager = ModelManager(bucket=folder.address.url)
    manager.publish_model(bolt, "mine", "v1")
    manager.publish_model(SHIPPED, "mine", "v2")
    verdict = manager.promote_model("mine", "v2", **OPTIONS)
    assert verdict.objections == ()
    assert (verdict.active, manager.active_version("mine")) == ("v1", "v2")
    back = manager.promote_model("mine", "v1", **OPTIONS)
    assert any(
        "of mine/v2" in objection and "partition 2024/" in objection
        for objection in back.objections
    )
    assert manager.active_version("mine") == "v2"


def test_the_gate_tolerates_a_configured_share(folder: Store, bolt: str) -> None:
    put_panels(folder, months=["2024-01"], parts=1)
    board = backtest(folder, bolt).leaderboard
    naive = "seasonal-naive"
    (model,) = (s.model for s in board.standings if s.model != naive)
    (figures,) = board.segments.values()
    worse = figures[model].wql / figures[naive].wql - 1
    assert len(object_to(board, model, naive, worse + 0.01)) == 1
    assert len(object_to(board, model, naive, worse - 0.01)) == 2


def test_a_version_worse_than_a_perfect_one_is_reported_without_a_share(folder: Store) -> None:
    zeros = hourly_panel(items=("a",))
    zeros["target"] = 1.0
    put_frame(folder, "2024/01/part-0.parquet", zeros)
    board = backtest(folder).leaderboard
    label, models = next(iter(board.segments.items()))
    worse = replace(models["seasonal-naive"], wql=0.5)
    mine = replace(board.standings[0], model="m/v2", figures=worse)
    both = replace(
        board,
        standings=(*board.standings, mine),
        segments={label: {**models, "m/v2": worse}},
    )
    assert object_to(both, "m/v2", "seasonal-naive", 0.05)[-1] == (
        f"partition {label}: WQL 0.5 is worse than 0 of seasonal-naive"
    )


def test_objections_name_the_figure_and_the_segment(folder: Store, bolt: str) -> None:
    put_panels(folder)
    board = backtest(folder, bolt).leaderboard
    naive = "seasonal-naive"
    (model,) = (s.model for s in board.standings if s.model != naive)
    assert object_to(board, naive, model, 0.05) == []
    objections = object_to(board, model, naive, 0.05)
    assert f"of {naive}" in objections[0]
    assert sum(objection.startswith("partition 2024/") for objection in objections) == 4


def test_the_gate_ends_with_exit_code_1_and_the_table(
    registry: ModelManager, folder: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "switch", "tiny", "v2", "--if-better", "--bucket", folder.address.url]
    assert run([*words, "--horizon", "6"]) == 1
    output = capsys.readouterr().out
    assert "not switched to v2; stays active: tiny/v1" in output
    assert "seasonal-naive" in output
    assert run([*words[:4], "--windows", "2", *words[5:]]) == 2
