"""The cost of series that do not exist: measured on a sample, and scaled."""

import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.core.cost.price import PriceTable
from gigacast.forecasting.frame import load_chosen
from gigacast.forecasting.prospect import (
    SERIES_PER_PARTITION,
    measure_prospect,
    quote_prospect,
)
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import Method, ModelChoice
from gigacast.settings.load import load_prices


@pytest.fixture(scope="module")
def prospect():
    forecaster = load_chosen(ModelChoice(reference="seasonal-naive"))
    return measure_prospect(forecaster, Method(horizon=5), 1_000_000, 5_000)


def test_the_sample_is_bounded_and_the_rest_is_scaled(prospect):
    assert prospect.sample.series == 200
    assert prospect.share == 5_000
    work = prospect.workload
    assert work.tasks == 1_000_000 // SERIES_PER_PARTITION
    assert work.estimate.series == 1_000_000
    assert work.estimate.seconds == pytest.approx(prospect.sample.seconds["total"] * 5_000)
    assert work.size_bytes == prospect.sample.size_bytes * 5_000


def test_fewer_series_than_a_sample_are_measured_themselves():
    forecaster = load_chosen(ModelChoice(reference="seasonal-naive"))
    prospect = measure_prospect(forecaster, Method(horizon=2), 3, 10)
    assert (prospect.sample.series, prospect.share, prospect.workload.tasks) == (3, 1, 1)


def test_queues_are_quoted_with_the_start_apart(prospect):
    options = ArrayOptions(prices=load_prices())
    for quote in quote_prospect(prospect, options):
        assert quote.basis == ("measurement" if quote.queue == "cpu" else "assumed speed")
        machine = options.machine(quote.queue)
        assert quote.start_hours == pytest.approx(quote.machines * machine.startup_s / 3600)
        work_hours = prospect.workload.estimate.seconds / machine.speed / 3600
        assert quote.hours == pytest.approx(quote.start_hours + work_hours)
        hourly = quote.dollars / quote.hours
        # A million series are a million: the start of the machines is not part of them.
        assert quote.dollars_per_million == pytest.approx(hourly * work_hours)


def test_prices_come_with_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = load_prices()
    assert isinstance(table, PriceTable)
    assert table.has("c7i.4xlarge")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/prices.yaml").write_text(
        "as_of: 2026-01-01\nregion: eu\nsource: mine\n"
        "instances:\n  own.large: {vcpus: 2, on_demand: 1.0}\n"
    )
    assert load_prices().has("own.large")
    assert not load_prices().has("c7i.4xlarge")


def test_the_command_needs_no_bucket(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["plan", "--series", "50000", "--points", "50", "--horizon", "4"]
    assert run([*words, "--model", "seasonal-naive", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["series"], content["points"], content["horizon"]) == (50_000, 50, 4)
    assert content["cpu_s"] == pytest.approx(
        content["sample"]["seconds"]["total"] * 50_000 / content["sample"]["series"]
    )
    assert {entry["queue"] for entry in content["cost"]} == {"cpu", "gpu"}
    assert all(entry["dollars"] > 0 for entry in content["cost"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--series", "0"], ["--series", "5", "--points", "1"]])
def test_numbers_of_nothing_are_refused(capsys, words):
    assert run(["plan", *words]) == 2
    assert "is not in the range" in capsys.readouterr().err


def test_receipts_of_another_kind_of_partition_are_no_estimate(tmp_path):
    """A series in two parts counts twice in the parts' receipts, and once in a month of them."""
    folder = tmp_path / "2024/01"
    folder.mkdir(parents=True)
    for part in range(2):
        days = [date(2024, 1, 1 + day + 10 * part) for day in range(10)]
        table = pa.table({"item_id": ["a"] * 10, "timestamp": days, "target": [1.0] * 10})
        pq.write_table(table, folder / f"part-{part}.parquet")
    url, options = f"file://{tmp_path}", {"model": "seasonal-naive", "horizon": 2}
    with pytest.warns(UserWarning, match="share items"):
        gigacast.forecast(url, **options)
    assert gigacast.plan(url, **options, overwrite=True).estimate.series == 2
    assert gigacast.plan(url, **options, partition_by="month").estimate.series is None
    gigacast.forecast(url, **options, partition_by="month")
    assert gigacast.plan(url, **options, partition_by="month", overwrite=True).estimate.series == 1
