"""A child of an array waits out an outage that meets any of its requests, that for its plan too."""

from pathlib import Path
from typing import Any

import pytest

from gigacast.batch import child
from gigacast.batch.child import Place, run_child
from gigacast.errors import OutageError, TransientStorageError
from gigacast.job.batch_options import ChildOrder
from gigacast.job.run import Silent
from gigacast.runtime.choice import InlineExecutor
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.campaign.plans import ORDER, put_plan
from tests.support.faulty_store import Fault, FaultyStore, transient
from tests.support.panels import put_panels

REQUESTS: Any = ("list", "list_folder", "head", "get", "put", "put_if_absent", "put_if_match")


class Heard(Silent):
    """Keeps what is said of waits."""

    def __init__(self) -> None:
        self.waits: list[str] = []

    def waiting(self, message: str) -> None:
        self.waits.append(message)


def order_in(folder: Path) -> ChildOrder:
    """Write a plan of two children over two partitions, and return the order of the first."""
    (folder / "bucket").mkdir(parents=True)
    put_panels(open_store(StoreAddress(f"file://{folder}/bucket")), ("2024-01",), 2)
    put_plan(folder)
    return ChildOrder.parse((folder / ORDER).read_text().split("\n"))


def attempt(
    order: ChildOrder, nth: int, times: int, number: int = 1
) -> tuple[int, FaultyStore, Heard]:
    """Run the first child, whose requests fail from one on, and let it look again at once."""
    store = FaultyStore(open_store(order.outputs), [Fault(REQUESTS, nth=nth, error=transient)])
    store.faults.append(Fault(("check",), times=times, error=transient))
    heard = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "open_store", lambda address: store)
        patch.setattr("gigacast.job.outage.time.sleep", lambda seconds: None)
        patch.setattr("gigacast.job.outage.PROBES", _AtOnce())
        code = run_child(order, Place(attempt=number), events=heard, executor=InlineExecutor())
    return code, store, heard


class _AtOnce:
    def delay_s(self, attempt: int, share: float) -> float:
        return 0.0


def test_an_outage_at_any_request_of_a_child_is_waited_out(tmp_path: Path) -> None:
    order = order_in(tmp_path / "0")
    code, store, heard = attempt(order, nth=1000, times=0)
    assert (code, heard.waits) == (0, [])
    requests = sum(store.counts[name] for name in REQUESTS)
    assert next(key for kind, key in store.log if kind in REQUESTS).startswith("plans/")
    for nth in range(1, requests + 1):
        # The second attempt has a summary and receipts of the first to read.
        code, _, heard = attempt(order, nth=nth, times=2, number=2)
        assert code == 0
        assert len(heard.waits) in (0, 2)  # a save in passing may fail
        if nth <= 2:
            assert heard.waits[1] == "the store answers again"


def test_a_child_without_patience_ends_at_the_first_request(tmp_path: Path) -> None:
    order = order_in(tmp_path)
    hasty = ChildOrder(order.outputs, order.run_id, order.digest, order.first, 0.0)
    with pytest.raises(TransientStorageError) as caught:
        attempt(hasty, nth=1, times=2)
    assert not isinstance(caught.value, OutageError)
