"""Hours and dollars, predicted and actual, for a local run and for an array."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gigacast.batch.aws import BatchService
from gigacast.batch.submit import submit_run
from gigacast.batch.watch import watch_run
from gigacast.cli.program import run
from gigacast.lake.plan.audit import read_audit
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.instance import VARIABLES, this_machine
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import put_panels

ROOT = Path(__file__).parents[3]
RENTED = {"GIGACAST_INSTANCE": "c7i.large", "GIGACAST_PURCHASE": "spot"}


@pytest.fixture
def server() -> Iterator[MotoServer]:
    with MotoServer() as server, LocalBatch() as batch:
        batch.provision()
        yield server


@pytest.fixture(autouse=True)
def beside_the_price_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    this_machine.cache_clear()
    yield
    this_machine.cache_clear()


def rent(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    for name, value in {**RENTED, **more}.items():
        monkeypatch.setenv(name, value)
    this_machine.cache_clear()


@pytest.fixture
def gigacast(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def invoke(*arguments: str) -> Any:
        code = run(list(arguments))
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out) if "--json" in arguments else printed.out

    return invoke


def receipts(store: Store) -> list[Receipt]:
    keys = [e.key for page in store.list("timings/") for e in page]
    return [Receipt.from_json(store.get(key), key) for key in keys]


def test_a_run_on_a_rented_machine_has_its_price_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigacast: Callable[..., Any]
) -> None:
    rent(monkeypatch)
    store = FolderStore(tmp_path)
    put_panels(store, ["2024-01"])
    flags = ("--bucket", f"file://{tmp_path}", "--model", "seasonal-naive", "--horizon", "3")
    assert {cost["queue"] for cost in gigacast("plan", *flags, "--json")["cost"]} == {"cpu", "gpu"}
    first = gigacast(*flags, "--json")
    assert "predicted" not in first["cost"]  # there was nothing to go by
    assert {(r.instance, r.purchase) for r in receipts(store)} == {("c7i.large", "spot")}
    put_panels(store, ["2024-02"])
    local_cost = gigacast("plan", *flags, "--json")["cost"][0]
    assert (local_cost["queue"], local_cost["instance"], local_cost["basis"]) == (
        "here",
        "c7i.large",
        "receipts",
    )
    second = gigacast(*flags, "--json")
    predicted, actual = second["cost"]["predicted"][0], second["cost"]["actual"]
    assert predicted["dollars"] == pytest.approx(local_cost["dollars"])
    audit = read_audit(store, second["run_id"])
    assert audit.cost["actual"] == actual
    assert actual["hours"] == pytest.approx(audit.elapsed_s / 3600, abs=1e-6)
    assert actual["dollars"] == pytest.approx(audit.elapsed_s / 3600 * 0.04, abs=1e-6)
    assert actual["dollars_per_million_series"] > 0
    assert "dollars" in gigacast("status", *flags)


@pytest.mark.parametrize("table", ["instances: [", "as_of: 2025-07-01\nregion: r\nsource: s\n"])
def test_a_broken_price_table_leaves_an_audit_without_dollars_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigacast: Callable[..., Any], table: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "prices.yaml").write_text(table, encoding="utf-8")
    (tmp_path / "lake").mkdir()
    put_panels(FolderStore(tmp_path / "lake"), ["2024-01"])
    monkeypatch.chdir(tmp_path)
    flags = ("--bucket", f"file://{tmp_path}/lake", "--model", "seasonal-naive", "--horizon", "3")
    assert gigacast("plan", *flags, "--json")["pending"] > 0
    assert gigacast(*flags, "--json")["status"] == "completed"


def test_a_machine_without_a_price_is_not_billed(
    tmp_path: Path, gigacast: Callable[..., Any]
) -> None:
    put_panels(FolderStore(tmp_path), ["2024-01"])
    flags = ("--bucket", f"file://{tmp_path}", "--model", "seasonal-naive", "--horizon", "3")
    assert gigacast(*flags, "--json")["cost"] == {}
    assert "cost" not in gigacast(*flags)


def test_the_audit_of_an_array_bills_every_attempt_of_its_children(
    server: MotoServer,
) -> None:
    store = open_store(server.new_address())
    put_panels(store, ("2024-01",), 4)
    named = {"model": "seasonal-naive", "horizon": 3, "children": 2, "bucket": store.address.url}
    settings = load_settings(nest_arguments(named))
    service = BatchService("us-east-1")
    with LocalBatch(environment={**RENTED, "GIGACAST_VCPUS": "2"}):
        submission = submit_run(job_of(settings), array_options_of(settings), service)
        audit = watch_run(store, submission.run_id, service)
    assert (audit.status, audit.files_processed) == ("completed", 4)
    predicted: Any = audit.cost["predicted"]
    assert [(p["queue"], p["machines"]) for p in predicted] == [("cpu", 2), ("cpu", 2)]
    actual: Any = audit.cost["actual"]
    (machine,) = actual["machines"]
    assert (machine["instance"], machine["purchase"], machine["vcpus"]) == ("c7i.large", "spot", 2)
    children = [read_audit(store, f"{submission.run_id}/{n}") for n in (0, 1)]
    assert actual["hours"] == pytest.approx(sum(c.elapsed_s for c in children) / 3600, rel=0.05)
    assert actual["dollars"] == pytest.approx(actual["hours"] * 0.04, rel=0.01)
    assert {r.instance for r in receipts(store)} == {"c7i.large"}
    # Two cores, two partitions: each child worked in two processes of its own.
    assert len({(r.host["name"], r.host["pid"]) for r in receipts(store)}) == 4
