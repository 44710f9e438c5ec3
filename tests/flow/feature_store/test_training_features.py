"""Features of a join as covariates of training: the numbers of a file that has them as columns."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gigacast.cli.program import run
from tests.flow.feature_store.test_covariates import enriched, lake, write_join
from tests.support.features.lake import Lake
from tests.support.tiny_models import tiny_bolt, tiny_chronos2

__all__ = ["lake"]  # the fixture: two shops and their visits
SCORES = ("before", "after", "wql_before", "wql_after")
FEATURE = "shop_visits_people_sum_6h"
QUICK = [
    *("--horizon", "6", "--context_length", "32", "--steps", "2", "--batch_size", "8"),
    *("--validate_every", "1", "--checkpoint_every", "2", "--learning_rate", "0.002"),
    *("--precision", "float32", "--device", "cpu", "--name", "shop-model", "--json"),
]


def put_frame(lake: Lake, frame: pd.DataFrame) -> None:
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False)
    lake.store.put("2024/02/part-00000.parquet", sink.getvalue())


class Runs:
    """Runs of the command over a bucket."""

    def __init__(self, lake: Lake, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._place = ["--bucket", lake.address.url]
        self._model = ["--model", str(model)]
        self._capsys = capsys

    def train(self, *options: str, checkpoints: Path) -> dict[str, Any]:
        command = ["train", "finetune", *self._place, *self._model, *QUICK]
        assert run([*command, "--checkpoints", str(checkpoints), *options]) == 0
        content: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return content

    def refuse(self, *options: str) -> str:
        assert run(["train", "finetune", *self._place, *self._model, *QUICK, *options]) == 2
        return self._capsys.readouterr().err


def test_features_train_the_weights_that_a_file_with_these_columns_trains(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["feature-store", "compile", str(write_join(tmp_path)), "--bucket", lake.address.url]) == 0  # fmt: skip  # noqa: E501
    capsys.readouterr()
    runs = Runs(lake, tiny_chronos2(tmp_path), capsys)
    plain = runs.train(checkpoints=tmp_path / "plain")
    joined = runs.train("--features", "shop.series.v1", checkpoints=tmp_path / "joined")
    # The columns as somebody else would write them: from the events, row by row.
    frame = enriched(lake)
    put_frame(lake, frame)
    written = runs.train("--past_covariates", FEATURE, checkpoints=tmp_path / "written")
    known = runs.train("--known_covariates", FEATURE, checkpoints=tmp_path / "known")
    digests = [result["published"]["digest"] for result in (plain, joined, written, known)]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3
    assert [joined[name] for name in SCORES] == [written[name] for name in SCORES]
    assert [joined[name] for name in SCORES] != [plain[name] for name in SCORES]


def test_the_values_of_a_past_covariate_over_the_held_out_end_are_never_seen(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_parquet(io.BytesIO(lake.store.get("2024/02/part-00000.parquet")))
    frame["load"] = np.sin(np.arange(len(frame)))
    runs = Runs(lake, tiny_chronos2(tmp_path), capsys)
    place = frame.groupby("item_id").cumcount(ascending=False)
    results = []
    for number, ends in enumerate((0.0, 1000.0)):
        put_frame(lake, frame.assign(load=frame["load"].where(place >= 6, ends)))
        results.append(runs.train("--past_covariates", "load", checkpoints=tmp_path / str(number)))
    first, second = results
    assert first["published"]["digest"] == second["published"]["digest"]
    assert [first[name] for name in SCORES] == [second[name] for name in SCORES]


def test_a_model_without_covariates_is_refused_unless_they_are_to_be_ignored(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_parquet(io.BytesIO(lake.store.get("2024/02/part-00000.parquet")))
    runs = Runs(lake, tiny_bolt(tmp_path), capsys)
    plain = runs.train(checkpoints=tmp_path / "plain")
    put_frame(lake, frame.assign(load=1.0))
    text = runs.refuse("--past_covariates", "load")
    assert "learns from each series alone: it has no use for load" in text
    assert "start from a Chronos-2 model" in text
    ignored = ["--unsupported_covariates", "ignore"]
    result = runs.train("--known_covariates", "load", *ignored, checkpoints=tmp_path / "ignored")
    assert result["published"]["digest"] == plain["published"]["digest"]


def test_features_do_not_go_with_a_single_file(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_parquet(io.BytesIO(lake.store.get("2024/02/part-00000.parquet")))
    runs = Runs(lake, tiny_chronos2(tmp_path), capsys)
    file = tmp_path / "series.parquet"
    frame.to_parquet(file)
    text = runs.refuse("--features", "shop.series.v1", "--data", str(file))
    assert "leave --data out" in text
