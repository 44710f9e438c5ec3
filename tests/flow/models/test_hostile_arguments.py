"""No error of a library leaves the methods of the public classes, whatever they are given."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gigacast
from gigacast.errors import ConfigError
from tests.support.hostile import FRAME, raw_errors
from tests.support.tiny_models import tiny_bolt

CLASSES = (
    gigacast.ModelManager,
    gigacast.ParquetDataLoader,
    gigacast.ChronosTrainer,
    gigacast.ChronosLoader,
)
SETTINGS = set(gigacast.Options.__annotations__) | set(gigacast.TrainOptions.__annotations__)
SYMBOL = "part-0"


class Objects:
    """The objects of a bucket with a model and two months of a series."""

    def __init__(self, root: Path) -> None:
        for month in ("01", "02"):
            (root / "2024" / month).mkdir(parents=True)
            FRAME.to_parquet(root / "2024" / month / f"{SYMBOL}.parquet")
        self.config = root / "settings.yaml"
        place = f'parquet_loader:\n  data_paths:\n    root_dir: "{root.as_uri()}"\n'
        self.config.write_text(place)
        self.model = tiny_bolt(root)
        self.url = root.as_uri()
        self.manager().publish_model(self.model, "demand", "v1")
        self.archive = root / "models.tar"
        self.manager().backup_models(self.archive)

    def manager(self) -> gigacast.ModelManager:
        return gigacast.ModelManager(bucket=self.url)

    def loader(self) -> gigacast.ParquetDataLoader:
        return gigacast.ParquetDataLoader(self.config)

    def trainer(self) -> gigacast.ChronosTrainer:
        return gigacast.ChronosTrainer(self.config, model=str(self.model))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    return Objects(tmp_path_factory.mktemp("bucket"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def usual_calls(objects: Objects) -> dict[str, tuple[Callable[[], Any], dict[str, Any]]]:
    """Return a way to the owner of each method, and arguments with which it succeeds."""
    rows = objects.loader().load_training_data(SYMBOL, year=2024)
    newer = objects.loader().load_incremental_data(SYMBOL, "2024-01-05")
    (file, *_) = objects.loader().discover_files(SYMBOL, year=2024)
    demand, year = {"name": "demand", "version": "v1"}, {"symbol": SYMBOL, "year": 2024}
    manager: dict[str, dict[str, Any]] = {
        "active_version": {"name": "demand"},
        "backup_models": {"archive": objects.archive},
        "delete_model": {**demand, "dry_run": True},
        "diff_versions": {"name": "demand", "first": "v1", "second": "no-such"},
        "download_model": {"model": "no/such"},
        "fetch_model": demand,
        "list_models": {},
        "promote_model": {"name": "demand", "version": "no-such"},
        "publish_model": {"folder": objects.model, **demand},
        "read_manifest": demand,
        "restore_models": {"archive": objects.archive},
        "rollback_model": {"name": "demand"},
        "show_model": {"name": "demand"},
        "switch_model": demand,
        "verify_model": {"name": "demand"},
    }
    loader: dict[str, dict[str, Any]] = {
        "check_context": {"data": rows},
        "check_data_quality": {"data": rows},
        "context_problems": {"data": rows},
        "create_splits": {"data": rows},
        "discover_files": year,
        "end_audit_session": {"session_id": "none"},
        "is_already_processed": {"file_info": file},
        "iterate_training_data": year,
        "load_incremental_data": {"symbol": SYMBOL, "last_timestamp": "2024-01-05"},
        "load_prediction_data": year,
        "load_training_data": year,
        "mark_as_processed": {"file_info": file},
        "merge_incremental_data": {"existing": rows, "new": newer},
        "read_audit_session": {"session_id": "none"},
        "read_metadata": {"file_info": file},
        "start_audit_session": {"symbol": SYMBOL},
        "validate_context_completeness": {"data": rows},
        "validate_data_quality": {"data": rows},
    }
    trainer: dict[str, dict[str, Any]] = {
        "load_training_data": {"data": FRAME},
        "load_training_data_from_parquet": {**year, "month": 1},
    }
    owners = ((objects.manager, manager), (objects.loader, loader), (objects.trainer, trainer))
    return {name: (own, usual) for own, methods in owners for name, usual in methods.items()}


def methods_of(kind: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"]


# Their own tests: `predict` and contexts in those of forecasts, `train` in those of training.
ELSEWHERE = {"predict", "load_context_from_parquet", "train"}
METHODS = [n for kind in CLASSES for n in methods_of(kind) if n not in ELSEWHERE]


@pytest.mark.parametrize("name", METHODS)
def test_arguments_of_methods_of_any_kind_raise_only_errors_of_gigacast(
    name: str, objects: Objects
) -> None:
    owner, usual = usual_calls(objects)[name]
    own = owner()
    parameters = inspect.signature(getattr(own, name)).parameters
    for parameter in parameters:
        if parameter in SETTINGS and parameter not in usual:
            continue

        def call(value: Any, parameter: str = parameter) -> None:
            result = getattr(own, name)(**{**usual, parameter: value})
            if inspect.isgenerator(result):
                list(result)

        assert raw_errors(call) == {}, parameter


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_made_with_anything_raise_only_errors_of_gigacast(
    kind: Callable[..., Any], objects: Objects
) -> None:
    usual = {"config_path": objects.config} if kind is gigacast.ParquetDataLoader else {}
    for parameter in inspect.signature(kind).parameters:
        call = lambda value, name=parameter: kind(**{**usual, name: value})  # noqa: E731
        assert raw_errors(call) == {}, parameter


@pytest.mark.parametrize("argument", ["models", "windows", "step", "segment", "season"])
def test_arguments_of_backtests_of_any_kind_raise_only_errors_of_gigacast(argument: str) -> None:
    usual = {"model": "seasonal-naive", "horizon": 2}
    call = lambda value: gigacast.backtest(FRAME, **{**usual, argument: value})  # noqa: E731
    assert raw_errors(call) == {}


def test_an_argument_of_another_type_is_named_with_what_is_expected(objects: Objects) -> None:
    with pytest.raises(ConfigError, match=r"^folder: expected a text or a path, got 3"):
        objects.manager().publish_model(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^year_range: expected a pair of whole numbers, got 7"):
        objects.loader().discover_files(SYMBOL, year_range=7)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^name: '\\x00' holds a character"):
        objects.manager().show_model("\0")
    with pytest.raises(ConfigError, match=r"^archive: a name in 'xxx.* is too long for a file"):
        objects.manager().restore_models("x" * 300)
    with pytest.raises(TypeError, match="show_model"):
        objects.manager().show_model()  # type: ignore[call-arg]
