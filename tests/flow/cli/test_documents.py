"""Every result is one value: each number that people see is in the JSON, at any width unbroken."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gigacast
from gigacast import ModelManager
from gigacast.backtesting.leaderboard.result import Leaderboard, Standing
from gigacast.batch.document import (
    array_document,
    array_json,
    submission_document,
    submission_json,
)
from gigacast.batch.submit import Submission
from gigacast.datasets.document import file_document, lineage_document
from gigacast.forecasters.metric import Figures
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.estimate import Sample
from gigacast.forecasting.prospect import (
    Prospect,
    prospect_document,
    prospect_json,
    quote_prospect,
)
from gigacast.job.batch_options import ArrayOptions
from gigacast.lake.dataset.lineage import Lineage, Link
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.plan.audit import Audit
from gigacast.models.document import verdict_document, verdict_json
from gigacast.models.gate import Verdict
from gigacast.models.publish import Published
from gigacast.report.document import Document, Table
from gigacast.report.summary import FailedPartition, RunSummary, summary_document
from gigacast.report.terminal import render_terminal
from gigacast.settings.load import load_prices
from gigacast.storage.store import StoreAddress
from gigacast.trainers.finetuning.config import Finetuned
from gigacast.training.document import (
    finetune_document,
    finetune_json,
    pretrain_document,
    pretrain_json,
)
from gigacast.training.job import FinetuneResult
from gigacast.training.pretrain import PretrainReport
from tests.support.rendering import View, called_of, check_table, makers, shown_documents
from tests.support.stored_bucket import (
    BACKTEST,
    CLEAN,
    EVALUATE,
    FEATURES,
    FORECASTS,
    NAIVE,
    NANO,
    OBJECTS,
    QUALITY,
    RECIPE,
    command_json,
    command_output,
    restore_folder,
)

WIDTHS = (60, 80, 120, 200)
FRESH = "--warn stale_hours=never --fail stale_hours=never"
"""The age of the rows is another one in each run."""
SELECTED = "--model gigacast-bolt-nano --model_engine numpy --windows 2 --least_windows 2"
COMMANDS = {
    "plan": (f"plan --prefix sales {NAIVE} --horizon 12 --quantiles 0.5", 0),
    "settings": ("config show --limit 3", 0),
    "first look": ("init --prefix sales --output first.yaml --force", 0),
    "one file": ("forecast {rows} --model seasonal-naive --horizon 4", 0),
    "status": (f"status {FORECASTS['nano']}", 0),
    "status of failures": (f"status --prefix broken {NAIVE} --horizon 2", 0),
    "verify": (f"verify {FORECASTS['nano']}", 0),
    "prune": (f"prune {FORECASTS['symbol']}", 0),
    "forecasts": ("ls --prefix sales", 0),
    "buckets": ("data bucket --prefix sales --buckets 3", 0),
    "backtest": (BACKTEST, 0),
    "evaluate": (EVALUATE, 0),
    "anomalies": (f"anomalies {FORECASTS['nano']} --fail_above 1000", 0),
    "selection": (
        f"models select mix --prefix sales {SELECTED} --horizon 4 --overwrite",
        0,
    ),
    "sums": (f"reconcile --prefix sales {NAIVE} --horizon 4 --overwrite", 0),
    "report": ("report --prefix sales", 0),
    "quality of a dataset": (f"{QUALITY['dataset']} {FRESH}", 1),
    "quality of partitions": (f"{QUALITY['partitions']} {FRESH}", 0),
    "clean": (CLEAN, 0),
    "features": (FEATURES["recipe"], 0),
    "models": ("models list --prefix sales", 0),
    "model": ("models show tiny --prefix sales", 0),
    "version": ("models show tiny/v1.0 --prefix sales", 0),
    "comparison": (
        f"models diff tiny v1.0 v1.1 --prefix sales {NANO.split('eb', 1)[1]} --horizon 4",
        0,
    ),
    "datasets": ("data versions --prefix lake", 0),
    "dataset": ("data describe features/v2/mine --prefix lake", 0),
    "file": ("data describe {file} --prefix lake", 0),
    "lineage": ("data lineage cleaned/MES --prefix lake", 0),
    "changes": ("data diff cleaned/v1/QUOTES cleaned/v1.1/QUOTES --prefix lake", 0),
    "contract": ("data validate raw/MES/2024-01-15 --schema ohlcv --prefix lake", 1),
    "retirement": ("data retire cleaned/QUOTES --keep_last 1 --prefix lake", 0),
    "series": ("data discover --prefix fx", 0),
    "files": ("data discover --prefix fx --files", 0),
}
VALUES = ("summary", "prospect", "array", "submission", "finetuning", "pretraining", "verdict")
VIEWS = (*COMMANDS, *VALUES)
ADDRESS = StoreAddress("s3://bucket/sales")
ARRAY_AUDIT = "sales/audit/forecast_20261130_030945_f03f.json"
FAILED_CHILDREN = [{"child": 41, "reason": "exit 137", "log_stream": "default/77"}]
BILL = {
    "hours": 3.25,
    "dollars": 4.75,
    "dollars_per_million_series": 2.35,
    "unpriced_hours": 1.5,
    "prices_as_of": "2025-07-01",
    "machines": [],
}
SUMMARY = RunSummary(
    run_id="forecast_1",
    status="failed",
    elapsed_s=83.2,
    partitions={"done": 17, "failed": 12},
    series=4_321,
    quarantined={"too_short": 18},
    repairs={"duplicates": 19, "conflicts": 23},
    rows=64_815,
    read_bytes=1_250_000,
    written_bytes=380_000,
    seconds_by_stage={"read": 12.34, "predict": 56.78},
    cost={"actual": BILL},
    failures=tuple(FailedPartition(f"p{n}", "StorageError", f"{n} of 99") for n in range(12)),
)
PROSPECT = Prospect(
    SeasonalNaive().info,
    50_000_000,
    1_100,
    28,
    Sample(1_230_000, 900, {"total": 0.123}, "cpu"),
    456,
)
ARRAY = ArrayOptions(prices=load_prices())
FIGURES = Figures(
    654, 1962, 3, 4, 0.912, 0.1234, 0.2345, 3.456, 0.4567, -0.567, (0.125, 0.52, 0.89), (0.765,)
)
BOARD = Leaderboard(
    levels=(0.1, 0.5, 0.9),
    segment="month",
    standings=tuple(
        Standing(name, FIGURES, skill, skill / 3, 0.25)
        for name, skill in (("seasonal-naive", 0.0123), ("m" * 40, 0.0234))
    ),
    segments={f"2024/{n:02}": {"seasonal-naive": FIGURES, "m" * 40: FIGURES} for n in range(40)},
    partitions=987,
    left_out=["2024/13/part-00086"],
)


def values_of(url: str) -> dict[str, Callable[[], tuple[Document, Any]]]:
    """Return documents and JSON of results that no command gives without AWS, torch or a clock."""
    manager = ModelManager(bucket=url, prefix="sales")
    published = Published(manager.read_manifest("tiny", "v1.1"), new=True, activated=False)
    audit = Audit.from_json((OBJECTS / ARRAY_AUDIT).read_bytes(), ARRAY_AUDIT)
    audit.plan["array"] |= {"lost_s": 34.2, "failed_children": FAILED_CHILDREN}
    plan = gigacast.plan(url, prefix="sales", model="seasonal-naive", horizon=11).plan
    submission = Submission("forecast_7", plan, 1234, "gigacast-cpu", 56, ("a", "b"))
    tuned = Finetuned(70, 50, True, True, 0.71234, 0.61234, (), 83.4)
    parent = ResolvedModel("tiny", "v1.0", "0" * 64, None, "registry")
    result = FinetuneResult(
        parent, tuned, 12, 3456, {"too_short": 9}, 0.51234, 0.41234, published, False, Path("c")
    )
    pretrained = PretrainReport(600, 800, False, 0.31234, published)
    job: Any = SimpleNamespace(job=SimpleNamespace(outputs=ADDRESS), output_dir=Path("weights"))
    verdict = Verdict("tiny", "v1.1", "v1.0", ("worse in 2024/02: 1.17",), BOARD, "file:///b")
    return {
        "prospect": lambda: (
            prospect_document(PROSPECT, quote_prospect(PROSPECT, ARRAY)),
            prospect_json(PROSPECT, quote_prospect(PROSPECT, ARRAY)),
        ),
        "summary": lambda: (summary_document(SUMMARY), SUMMARY.to_json()),
        "array": lambda: (array_document(audit, ADDRESS), array_json(audit, ADDRESS)),
        "submission": lambda: (
            submission_document(submission, ADDRESS),
            submission_json(submission),
        ),
        "finetuning": lambda: (finetune_document(result, job), finetune_json(result)),
        "pretraining": lambda: (
            pretrain_document(pretrained, job, "file:///models"),
            pretrain_json(pretrained, job),
        ),
        "verdict": lambda: (verdict_document(verdict), verdict_json(verdict)),
    }


class Views(Mapping[str, View]):
    """Views by name; each command runs when its view is first read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._views: dict[str, View] = {}
        self._url = restore_folder(folder / "lake")
        (folder / "recipe.yaml").write_text(RECIPE)
        file = next((folder / "lake/lake/cleaned").rglob("*.parquet"))
        self._texts = {
            "recipe": folder / "recipe.yaml",
            "rows": next((folder / "lake/sales/2024/01").glob("*.parquet")),
            "file": file.relative_to(folder / "lake/lake").as_posix(),
        }
        self._makers = makers()

    def __iter__(self) -> Iterator[str]:
        return iter(VIEWS)

    def __len__(self) -> int:
        return len(VIEWS)

    def __getitem__(self, name: str) -> View:
        if name not in self._views:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self._folder)
                self._views[name] = self._shown(name) if name in COMMANDS else self._made(name)
        return self._views[name]

    def _shown(self, name: str) -> View:
        flags, code = COMMANDS[name]
        with called_of(self._makers) as calls, shown_documents() as documents:
            command_output(flags, self._url, code=code, **self._texts)
        content = command_json(flags, self._url, code=code, **self._texts)
        return View(documents, content, calls)

    def _made(self, name: str) -> View:
        with called_of(self._makers) as calls:
            document, content = values_of(self._url)[name]()
        return View([document], json.loads(json.dumps(content)), calls)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Views:
    return Views(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", VIEWS)
def test_no_table_breaks_a_number_or_a_word(views: Views, name: str, width: int) -> None:
    for document in views[name].documents:
        for block in document.content:
            if isinstance(block, Table):
                check_table(block, width)


@pytest.mark.parametrize("name", VIEWS)
def test_every_number_that_is_shown_is_in_the_json(views: Views, name: str) -> None:
    view = views[name]
    assert not view.missing_numbers(), sorted(view.missing_numbers())


def test_every_maker_of_documents_is_seen_here(views: Views) -> None:
    called = {label for view in views.values() for label in view.makers}
    # Those of the feature store and the pages of stored results have tests of their own folders;
    # the receipts of this bucket are older than the processor times that `report scale` adds up.
    pages = ("reporting/outcome.py", "reporting/result.py", "reporting/scale.py")
    elsewhere = ("feature_store/", *pages)
    own = {name for name in makers().values() if not name.startswith(elsewhere)}
    assert own - called == set()


def test_the_sources_of_a_source_stand_below_it() -> None:
    links = [
        link(1, "cleaned/v1/A", "start"),
        link(1, "raw/B/1", "start"),
        link(1, "raw/B/1", "start"),
        link(2, "raw/A/1", "cleaned/v1/A"),
        link(2, "b.csv", "raw/B/1"),
        link(3, "a.csv", "raw/A/1"),
    ]
    document = lineage_document(Lineage("start", tuple(links), ()))
    lines = render_terminal(document).splitlines()
    assert [line.split("  (")[0] for line in lines] == [
        *("start", "  made from:", "    cleaned/v1/A", "      raw/A/1", "        a.csv"),
        *("    raw/B/1", "    raw/B/1", "      b.csv", "  used by: nothing that is known"),
    ]


def link(depth: int, name: str, via: str) -> Link:
    return Link(depth, name, name, "", "made from", "as it was", via)


def test_a_plan_says_why_it_has_no_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = restore_folder(tmp_path / "lake")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/prices.yaml").write_text("as_of: today\n")
    shown = command_output(COMMANDS["plan"][0], url)
    assert "no prices: config/prices.yaml of the current folder has faults" in shown
    assert "no cost per million series" not in shown


def test_a_least_value_of_zero_has_no_sign() -> None:
    column = {"name": "x", "type": "double", "null_count": 0, "minimum": -0.0, "maximum": -0.5}
    footer: dict[str, Any] = {
        "columns": [column],
        "metadata": None,
        "custom": {},
        **dict.fromkeys(("file_size_bytes", "num_rows", "num_row_groups"), 1),
        **dict.fromkeys(("key", "compression", "created_by"), "k"),
    }
    (table,) = (b for b in file_document(footer).blocks if isinstance(b, Table))
    assert table.rows == (("x", "double", 0, "0.0", "-0.5"),)
