"""Models pretrained from a recipe, and versions published from Python."""

import json
from pathlib import Path

import pytest

from gigacast import ModelManager
from gigacast.cli.program import run
from gigacast.storage.store import Store
from tests.flow.training.trainings import Capture
from tests.support.tiny_models import session_folder, tiny_bolt

# -- pretraining, and what a hand-made version carries ---------------------------------------------

RECIPE = {
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
    "steps": 3,
    "decay_steps": 0,
    "batch_size": 16,
    "context_lengths": {64: 1.0},
    "held_out_series": 32,
    "log_every": 1,
    "precision": "float32",
}


def test_a_recipe_becomes_a_model_in_the_registry(
    folder_bucket: Store, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    words = ["train", "pretrain", "--recipe", str(tmp_path / "recipe.yaml")]
    words += ["--output", str(tmp_path / "out"), "--bucket", folder_bucket.address.url]
    assert run([*words, "--max_minutes", "1e-9"]) == 1
    assert "not finished" in capsys.readouterr().out
    named = ["--name", "fresh", "--new_version", "v1", "--license", "apache-2.0"]
    assert run([*words, *named, "--threads", "1"]) == 0
    streams = capsys.readouterr()
    assert "3/3 steps" in streams.err
    assert "published      fresh/v1" in streams.out
    manager = ModelManager(bucket=folder_bucket.address.url)
    manifest = manager.read_manifest("fresh", "v1")
    assert manifest.source["parent"] is None
    assert manifest.source["record"]["settings"]["model"]["d_model"] == 32
    assert manifest.metrics["held_out_loss"] > 0
    assert run(["models", "show", "fresh/v1", "--bucket", folder_bucket.address.url]) == 0
    assert "trained from scratch" in capsys.readouterr().out
    assert (tmp_path / "out-checkpoints/latest.pt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "none.yaml"], "none.yaml: no such file"),
        (["--new_version", "v1"], "there is no --name"),
        (["--name", "gigacast-bolt-nano"], "ships with the package"),
        (["--max_minutes", "0"], "max_minutes: 0.0 is not above 0"),
    ],
)
def test_invalid_pretraining_options_are_refused(
    words: list[str], message: str, capsys: Capture
) -> None:
    Path("recipe.yaml").write_text("{}")
    options = ["train", "pretrain", "--recipe", "recipe.yaml", "--output", "out", *words]
    assert run(options) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_version_published_from_python_has_its_metrics_and_source(
    folder_bucket: Store,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: Capture,
) -> None:
    model_folder = tiny_bolt(session_folder(tmp_path_factory))
    (tmp_path / "metrics.json").write_text('{"wql": 0.031}')
    flags = ["--bucket", folder_bucket.address.url]
    words = ["models", "publish", str(model_folder), "--name", "m", *flags, "--json"]
    facts = ["--metrics", str(tmp_path / "metrics.json"), "--source", "distilled by hand in May"]
    assert run([*words, "--model_version", "v1", *facts]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["metrics"] == {"wql": 0.031}
    assert output["source"] == {"kind": "note", "note": "distilled by hand in May"}
    inline = ["--source", '{"kind": "folder", "path": "x"}', "--metrics", "good on weekends"]
    assert run([*words, "--model_version", "v2", *inline]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["metrics"] == {"note": "good on weekends"}
    assert output["source"] == {"kind": "folder", "path": "x"}
    assert run(["models", "show", "m/v1", *flags]) == 0
    assert "distilled by hand in May" in capsys.readouterr().out
    for wrong in ("{wql: 3}", "none.json"):
        assert run([*words, "--model_version", "v3", "--metrics", wrong]) == 2
        assert "metrics: " in capsys.readouterr().err
    assert len(ModelManager(bucket=folder_bucket.address.url).list_models()[0].versions) == 2
