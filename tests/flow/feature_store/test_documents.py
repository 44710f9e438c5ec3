"""Results of the feature store: each number that people see is in the JSON, tables stay whole."""

from pathlib import Path

import pandas as pd
import pytest

from gigacast.cli.program import run
from gigacast.feature_store.definition.place import Place
from gigacast.feature_store.definition.problem import Problem
from gigacast.feature_store.document import problems_document
from gigacast.report.document import Table
from gigacast.report.terminal import render_terminal
from tests.support.features.repository import write_repository
from tests.support.rendering import View, called_of, check_table, makers, shown_documents
from tests.support.stored_bucket import command_json, command_output

TRAINING_SET = "quickstart.training_set.v1"
COMMANDS = {
    "compilation": "compile {repository} --show",
    "names": "show",
    "definition": f"show {TRAINING_SET}",
    "analysis": f"analyze {TRAINING_SET}",
    "lineage": f"lineage {TRAINING_SET}",
}


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
    return {
        name: view(f"feature-store {flags.format(repository=repository)}", url)
        for name, flags in COMMANDS.items()
    }


def put(folder: Path, rows: pd.DataFrame) -> None:
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "part-0.parquet", index=False)


def view(flags: str, url: str) -> View:
    with called_of(makers()) as calls, shown_documents() as documents:
        command_output(flags, url)
    return View(documents, command_json(flags, url), calls)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_table_breaks_a_number_or_a_word(views: dict[str, View], name: str, width: int) -> None:
    assert views[name].documents
    for document in views[name].documents:
        for block in document.content:
            if isinstance(block, Table):
                check_table(block, width)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_that_is_shown_is_in_the_json(views: dict[str, View], name: str) -> None:
    assert not views[name].missing_numbers(), sorted(views[name].missing_numbers())


def test_refused_definitions_are_listed_with_their_remedies() -> None:
    text = render_terminal(
        problems_document([Problem("a window of 0", Place("a.py", 7), "write 1h"), "b"])
    )
    assert "a.py:7: a window of 0 (write 1h)" in text
    assert text.startswith("2 problems")


def test_every_maker_of_documents_is_seen_here(views: dict[str, View]) -> None:
    features = {name for name in makers().values() if name.startswith("feature_store/")}
    called = {label for shown in views.values() for label in shown.makers}
    assert features - called == {"feature_store/document.py:problems_document"}
