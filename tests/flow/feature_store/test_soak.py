"""Whatever events, uploads, streams, replays and kills come: what was served is the backfill."""

from pathlib import Path

import pytest

from tests.support.features.soak import HOUR, Soak, main


@pytest.mark.parametrize("seed", range(3))
def test_every_logged_answer_equals_its_backfill(tmp_path: Path, seed: int) -> None:
    soak = Soak(tmp_path / "lake", seed)
    result = soak.run(steps=16)
    assert result.different == 0, result.figures.to_pylist()
    assert sum(result.figures["total"].to_pylist()) > 0
    assert soak.kills > 0


def test_a_soak_finds_a_record_that_counts_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checker is no rubber stamp: without positions in values, replays count again."""
    monkeypatch.setattr("gigacast.feature_store.stream.apply.is_after", lambda *_: True)
    soak = Soak(tmp_path / "lake", 1)
    soak.now += 3 * HOUR
    soak.buy()
    soak.replay()
    soak.ask()
    assert soak.finish().different > 0


def test_the_longer_soak_prints_what_it_saw(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--minutes", "0.001", "--seed", "5", "--steps", "4"])
    assert "answers of features equal their backfill" in capsys.readouterr().out
