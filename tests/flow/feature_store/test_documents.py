"""Results of the feature store: each number that people see is in the JSON, tables stay whole."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from gigacast.cli.program import run
from gigacast.feature_store.definition.place import Place
from gigacast.feature_store.definition.problem import Problem
from gigacast.feature_store.document import problems_document
from gigacast.feature_store.offline.document import failures_document
from gigacast.feature_store.served_document import stream_document
from gigacast.feature_store.stream.apply import StreamCounts
from gigacast.feature_store.stream.run import StreamReport
from gigacast.report.document import Table
from gigacast.report.terminal import render_terminal
from gigacast.runtime.executor import Failure
from tests.support.features.repository import write_repository
from tests.support.rendering import View, called_of, check_table, makers, shown_documents
from tests.support.stored_bucket import command_json, command_output

TRAINING_SET, RETURNS = "quickstart.training_set.v1", "quickstart.returns.v1"
COMMANDS = {
    "compilation": "compile {repository} --show",
    "names": "show",
    "definition": f"show {TRAINING_SET}",
    "analysis": f"analyze {TRAINING_SET}",
    "lineage": f"lineage {TRAINING_SET}",
    "backfill": f"backfill {TRAINING_SET} --start_ds 2023-11-30 --ds 2023-11-30 --dry_run",
    "upload": f"upload {RETURNS} --ds 2023-11-30 --overwrite",
    "answer": f"fetch {RETURNS} -k {{keys}} --at 1701388800000",
}
SERVED = {
    "consistency": "consistency quickstart.training_set.v2",
    "status": f"status {RETURNS}",
    "stats": f"stats {RETURNS} --drift 2023-11-30:2023-11-30",
    "compare": f"compare {RETURNS} {RETURNS} --keys user_id",
}
VIEWS = (*COMMANDS, *SERVED, "stream")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, View]:
    """Return the view of each command over the tables of a small shop."""
    folder = tmp_path_factory.mktemp("features")
    repository = write_repository(folder / "repository")
    rows = pd.DataFrame({"user_id": [5] * 1_234 + [7] * 11, "ts": range(1_245)})
    for table, column in (("purchases", "purchase_price"), ("returns", "refund_amt")):
        put(folder / f"lake/data/{table}/ds=2023-11-30", rows.assign(**{column: 10}))
    put(folder / "lake/data/checkouts/ds=2023-11-30", rows)
    users = {"user_id": [5, 7], "account_created_ds": "2020-01-01", "email_verified": 1}
    put(folder / "lake/data/users/ds=2023-11-29", pd.DataFrame(users))
    url = f"file://{folder}/lake"
    assert run(["feature-store", "compile", str(repository), "--bucket", url]) == 0
    texts = {"repository": repository, "keys": '{"user_id":5}'}
    views = {name: view(flags, url, **texts) for name, flags in COMMANDS.items()}
    # The day after, of which answers are logged and compared.
    put(folder / "lake/data/returns/ds=2023-12-01", rows.assign(refund_amt=10))
    served = "quickstart.training_set.v2"
    for words in (
        f"backfill {RETURNS} --ds 2023-11-30",
        f"upload {served} --ds 2023-11-30 --overwrite",
        f"fetch {served} -k {{keys}} --at 1701388800000 --log_share 1",
    ):
        command_output(f"feature-store {words}", url, **texts)
    # The batch of 2023 is too old, so the state ends with 1.
    views |= {
        name: view(flags, url, code=int(name == "status"), **texts)
        for name, flags in SERVED.items()
    }
    counts = StreamCounts(read=1_234, applied=1_200, repeated=30, garbage=4)
    report = StreamReport("a.b.v1", "events", counts, 1.25)
    with called_of(makers()) as calls:
        views["stream"] = View([stream_document(report)], report.to_json(), calls)
    return views


def put(folder: Path, rows: pd.DataFrame) -> None:
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "part-0.parquet", index=False)


def view(flags: str, url: str, *, code: int = 0, **texts: object) -> View:
    with called_of(makers()) as calls, shown_documents() as documents:
        command_output(f"feature-store {flags}", url, code=code, **texts)
    return View(documents, command_json(f"feature-store {flags}", url, code=code, **texts), calls)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", VIEWS)
def test_no_table_breaks_a_number_or_a_word(views: dict[str, View], name: str, width: int) -> None:
    assert views[name].documents
    for document in views[name].documents:
        for block in document.content:
            if isinstance(block, Table):
                check_table(block, width)


@pytest.mark.parametrize("name", VIEWS)
def test_every_number_that_is_shown_is_in_the_json(views: dict[str, View], name: str) -> None:
    assert not views[name].missing_numbers(), sorted(views[name].missing_numbers())


def test_refused_definitions_are_listed_with_their_remedies() -> None:
    text = render_terminal(
        problems_document([Problem("a window of 0", Place("a.py", 7), "write 1h"), "b"])
    )
    assert "a.py:7: a window of 0 (write 1h)" in text
    assert text.startswith("2 problems")


def test_failed_days_are_listed_with_their_hints() -> None:
    failure = Failure(error="DataError", message="3 of 7 rows", hint="write it again")
    result: Any = SimpleNamespace(all_failures=[(SimpleNamespace(partition="2023-11-30"), failure)])
    text = render_terminal(failures_document(result))
    assert "1 failed" in text
    for part in ("2023-11-30", "DataError: 3 of 7 rows", "write it again"):
        assert part in text


def test_every_maker_of_documents_is_seen_here(views: dict[str, View]) -> None:
    features = {name for name in makers().values() if name.startswith("feature_store/")}
    called = {label for shown in views.values() for label in shown.makers}
    assert features - called == {
        "feature_store/document.py:problems_document",
        "feature_store/offline/document.py:failures_document",
    }
