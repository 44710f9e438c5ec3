"""The cost of a workload, against sums by hand."""

from datetime import date

import pytest

from gigacast.core.cost.array_plan import Machine
from gigacast.core.cost.bill import Rental
from gigacast.core.cost.price import Instance, PriceTable
from gigacast.forecasting.estimate import Workload
from gigacast.forecasting.quote import expected_cpu_s, quote_here, quote_queues
from gigacast.job.batch_options import ArrayOptions
from gigacast.lake.plan.receipt import Receipt

PRICES = PriceTable(
    date(2025, 7, 1),
    "us-east-1",
    "a list",
    (Instance("c", 16, 0, 0.72, 0.36), Instance("g", 4, 1, 1.0)),
)
OPTIONS = ArrayOptions(
    cpu=Machine(100, 8, 0.36),
    gpu=Machine(200, 60, 1.0),
    cpu_instance="c",
    gpu_instance="g",
    prices=PRICES,
    target_s=1000,
)


def receipt(seconds: float, device: str) -> Receipt:
    inputs: list[dict[str, object]] = [{"key": "k", "etag": "e", "size_bytes": 1000}]
    return Receipt(
        "forecast", "p", "r", "t", inputs, {}, 1, 50, {"total": seconds}, {}, "m", "v", "d", "s", 1,
        device=device,
    )  # fmt: skip


def work(size: int, *receipts: Receipt, tasks: int = 100) -> Workload:
    return Workload(tasks, size, receipts)


def test_work_is_estimated_from_receipts_of_both_devices_or_else_from_bytes() -> None:
    assert expected_cpu_s(work(10_000, receipt(2.0, "cpu")), OPTIONS) == 20.0
    assert expected_cpu_s(work(10_000, receipt(2.0, "cuda:1")), OPTIONS) == 1200.0
    mixed = [receipt(2.0, "cpu"), receipt(2.0, "cuda")]
    assert expected_cpu_s(work(10_000, *mixed), OPTIONS) == 610.0
    assert expected_cpu_s(work(4_000_000), OPTIONS) == 2.0


def test_each_queue_has_a_spot_and_an_on_demand_quote_that_include_the_start_of_children() -> None:
    # 16,000 s of a process: 2,000 s of CPU machines, which are 3 children of 1,000 s or less.
    quotes = quote_queues(work(8_000_000, receipt(2.0, "cpu")), OPTIONS)
    assert [(q.queue, q.purchase) for q in quotes] == [
        ("cpu", "on_demand"), ("cpu", "spot"), ("gpu", "on_demand"), ("gpu", "spot"),
    ]  # fmt: skip
    spot = quotes[1]
    assert (spot.machines, spot.hours) == (3, pytest.approx((3 * 100 + 2000) / 3600))
    assert spot.elapsed_s == pytest.approx(100 + 2000 / 3)
    assert spot.dollars == pytest.approx(0.36 * 2300 / 3600)
    # 8,000 times the 50 series of the receipt; the start of machines is not part of a million.
    assert spot.dollars_per_million == pytest.approx(0.36 * 2000 / 3600 / 400_000 * 1e6)
    assert (spot.basis, quotes[2].basis) == ("receipts", "assumed speed")
    assert quotes[3].dollars is None  # nobody noted its spot price


def test_a_gpu_with_receipts_is_quoted_by_them() -> None:
    gpu = quote_queues(work(10_000, receipt(7.0, "cuda")), OPTIONS)[2]
    assert gpu.hours == pytest.approx((200 + 70) / 3600)
    assert gpu.basis == "receipts"


def test_without_receipts_bytes_count_and_the_price_per_million_series_is_unknown() -> None:
    quotes = quote_queues(work(4_000_000), OPTIONS)
    assert {q.basis for q in quotes} == {"bytes"}
    assert {q.dollars_per_million for q in quotes} == {None}


def test_without_a_task_there_is_no_quote() -> None:
    assert quote_queues(work(0, receipt(1.0, "cpu"), tasks=0), OPTIONS) == []


def test_there_are_never_more_children_than_partitions() -> None:
    assert quote_queues(work(10**10, receipt(2.0, "cpu"), tasks=7), OPTIONS)[0].machines == 7


def test_this_machine_is_quoted_where_its_type_and_price_are_known() -> None:
    load = work(10_000, receipt(7.2, "cpu"))
    quote = quote_here(load, 2, Rental("c", "spot"), PRICES)
    assert quote is not None
    assert (quote.elapsed_s, quote.dollars) == (36.0, pytest.approx(0.0036))
    assert quote_here(load, 2, Rental("c"), PRICES) is None
    assert quote_here(load, 2, Rental("c", "spot"), None) is None
    assert quote_here(work(10_000), 2, Rental("c", "spot"), PRICES) is None
