"""The setup that children of an array share: the same job, by names valid on every machine."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gigacast.batch import setup as batch_setup
from gigacast.batch.setup import (
    ForecastWork,
    dump_setup,
    fetch_model,
    fill_cores,
    load_setup,
)
from gigacast.batch.submit import queue_for, requests_of
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError, ModelIntegrityError, PlanError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.timegpt.forecaster import describe_timegpt
from gigacast.forecasting.estimate import Workload
from gigacast.forecasting.prepare import Prepared, portable_choice, prepare_array, with_queue
from gigacast.job.batch_options import ArrayOptions, ChildOrder
from gigacast.job.covariates import fit_method
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.job.outage import Patience
from gigacast.job.spec import make_spec
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.plan.plan_file import PlanFile, Share
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.processes import PROCESS_BYTES
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import StoreAddress

BOLT = ForecasterInfo("bolt", "v1", "d" * 64, "engine-1", "cpu", "float32", 512, 64, (0.1, 0.5))


def job(**options: object) -> ForecastJob:
    return job_of(load_settings(nest_arguments({"bucket": "bucket", **options})))


def prepared(job: ForecastJob, info: ForecasterInfo = BOLT, source: str = "hub o/n@c") -> Prepared:
    store = MemoryStore("x")
    model = ResolvedModel(info.name, info.version, info.digest, Path("/cache"), source)
    return Prepared(job, store, store, model, info, make_spec(info, job.method, job.selection))


def plan_of(setup: object) -> PlanFile:
    return PlanFile("run", "", "", json.loads(json.dumps(setup)), ())


def test_a_job_survives_the_round_trip_through_the_plan_file() -> None:
    chosen = job(
        years="2014:2016",
        symbol="A,B",
        quantiles="0.1,0.9",
        freq="15min",
        item_column="id",
        memory_limit="2GB",
        overwrite=True,
        endpoint_url="http://127.0.0.1:1",
    )
    setup = load_setup(plan_of(dump_setup(prepared(chosen))))
    assert (setup.job, setup.info, setup.digest) == (chosen, BOLT, "d" * 64)
    assert setup.job.method.frequency == Frequency.parse("15min")


def test_a_setup_of_another_version_is_refused_and_its_field_named() -> None:
    values = dict(dump_setup(prepared(job())))
    values["info"] = {**values["info"], "context_length": "long"}
    with pytest.raises(PlanError, match=r"can't be read: info\.context_length"):
        load_setup(plan_of(values))


@pytest.mark.parametrize(
    ("source", "reference", "version"),
    [
        ("built in", "bolt", "v1"),
        ("ships with the package", "bolt", "v1"),
        ("hub amazon/bolt@abc", "amazon/bolt@abc", "v1"),
        ("s3://b/models/bolt/v1/ (active, verified, fetched)", "bolt/v1", "v1"),
        ("cache /home/me/.cache", f"sha256:{'d' * 64}", None),
    ],
)
def test_a_model_is_named_so_that_another_machine_finds_the_same_files(
    source: str, reference: str, version: str | None
) -> None:
    model = ResolvedModel("bolt", "v1", "d" * 64, Path("/x"), source)
    choice = portable_choice(ModelChoice("whatever", otherwise="else"), model)
    assert (choice.reference, choice.version, choice.otherwise) == (reference, version, None)


def test_a_model_in_a_folder_of_this_machine_is_refused_with_a_hint() -> None:
    model = ResolvedModel("bolt", "v1", "d" * 64, Path("/x"), "/home/me/bolt")
    with pytest.raises(ConfigError, match="/home/me/bolt is a folder of this machine") as caught:
        portable_choice(ModelChoice("/home/me/bolt"), model)
    assert "models publish" in str(caught.value.hint)


def test_a_model_at_a_url_is_found_there_by_other_machines_too() -> None:
    url = "s3://other/models/bolt/v1"
    model = ResolvedModel("bolt", "v1", "d" * 64, Path("/x"), f"{url} (verified, fetched)")
    chosen = portable_choice(ModelChoice(url), model)
    assert (chosen.reference, chosen.version) == (url, "v1")
    registered = portable_choice(ModelChoice("bolt"), model)
    assert registered.reference == "bolt/v1"
    with pytest.raises(ConfigError, match="out of reach of machines of AWS"):
        portable_choice(ModelChoice("gs://other/models/bolt/v1"), model)


def test_a_model_that_differs_from_the_planned_one_is_refused() -> None:
    naive = job(model="seasonal-naive")
    setup = load_setup(plan_of(dump_setup(prepared(naive))))
    with pytest.raises(ModelIntegrityError, match="the plan was made for dddddddddddd"):
        fetch_model(setup, MemoryStore("x"))


def test_a_bucket_that_other_machines_cannot_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="out of reach of other machines"):
        prepare_array(job(bucket=f"file://{tmp_path}"))


def test_an_endpoint_with_credentials_never_becomes_the_command_of_a_job() -> None:
    with pytest.raises(ConfigError, match="the URL holds credentials") as caught:
        prepare_array(job(bucket="s3://bucket", endpoint_url="http://ann:hunter2@127.0.0.1:9"))
    assert "hunter2" not in str(caught.value)


def test_the_queue_decides_the_device_and_leaves_the_spec_as_it_is() -> None:
    ready = prepared(job())
    on_gpu = with_queue(ready, "gpu")
    assert (on_gpu.info.device, on_gpu.job.model.device) == ("cuda", "cuda")
    assert with_queue(on_gpu, "cpu").info == BOLT
    assert on_gpu.spec == ready.spec


# -- which queue -----------------------------------------------------------------------------------


def receipt(seconds: float, device: str) -> Receipt:
    inputs: list[dict[str, object]] = [{"key": "k", "etag": "e", "size_bytes": 1000}]
    return Receipt(
        "forecast", "p", "r", "t", inputs, {}, 1, 1, {"total": seconds}, {}, "m", "v", "d", "s", 1,
        device=device,
    )  # fmt: skip


def work(size: int) -> Workload:
    return Workload(10, size, (receipt(1.0, "cpu"),))


def test_by_default_little_work_goes_to_cpus_and_much_to_gpus() -> None:
    options = ArrayOptions()
    auto, little, much = prepared(job()), work(1000), work(10**7)
    assert [queue_for(auto, size, options) for size in (little, much)] == ["cpu", "gpu"]
    assert queue_for(auto, little, replace(options, queue="gpu")) == "gpu"
    assert queue_for(prepared(job(device="cpu")), work(10**9), options) == "cpu"
    assert queue_for(prepared(job(device="cuda")), little, options) == "gpu"


def test_prices_and_start_up_come_from_the_settings_and_the_price_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    settings = load_settings({"batch": {"gpu_instance": "g5.xlarge", "gpu_startup_s": 60}})
    options = array_options_of(settings)
    assert (options.gpu.dollars_per_hour, options.gpu.startup_s) == (0.45, 60)
    with pytest.raises(ConfigError, match="no price of 'x9'"):
        array_options_of(load_settings({"batch": {"cpu_instance": "x9"}}))


def test_an_order_survives_the_round_trip_through_its_command() -> None:
    for address in (StoreAddress("s3://b/p"), StoreAddress("s3://b", "http://h:1", "eu-west-1")):
        for minutes in (10.0, 0.0, 0.02, 90.0):
            order = ChildOrder(address, "run", "digest", 5000, minutes)
            assert ChildOrder.parse(list(order.command())) == order
            # Children of earlier releases know six words.
            assert len(order.command()) == (6 if minutes == 10 else 7)
    six = ["s3://b", "-", "-", "run", "digest", "0"]
    for wrong in ([], six[:5], [*six[:5], "x"], [*six, "x"], [*six, "-1"], [*six, "1", "1"]):
        with pytest.raises(ConfigError, match="not the arguments of a child"):
            ChildOrder.parse(wrong)


def test_an_array_of_more_than_ten_thousand_is_submitted_in_parts() -> None:
    shares = (Share("", 1, 1),) * 10_001
    requests = requests_of(
        PlanFile("run", "", "", {}, shares, "digest"),
        job().outputs,
        ArrayOptions(),
        "gpu",
        Patience(),
    )
    assert [(r.name, r.size, r.queue) for r in requests] == [
        ("run-0", 5001, "gigacast-gpu"),
        ("run-1", 5000, "gigacast-gpu"),
    ]
    assert [ChildOrder.parse(list(r.command)).first for r in requests] == [0, 5001]


def test_a_plan_is_valid_for_a_week_and_a_child_for_six_hours() -> None:
    options = array_options_of(load_settings())
    assert (options.valid_for, options.timeout_s) == (timedelta(days=7), 6 * 3600)


def test_days_of_holidays_travel_with_the_plan() -> None:
    pytest.importorskip("holidays")
    chosen = {"known_holidays": "GB,US-CA", "known_calendar": True, "covariate_regressor": "ridge"}
    named = job(quantiles="0.1,0.5", **chosen)
    method, _ = fit_method(named.method, BOLT)
    fitted = replace(named, method=method)
    setup = load_setup(plan_of(dump_setup(prepared(fitted))))
    assert setup.job == fitted
    # A child finds the planned days, whatever package its machine has.
    assert prepared(setup.job).spec == prepared(fitted).spec
    assert set(dump_setup(prepared(job()))["job"]["method"]).isdisjoint(
        {"holiday_tables", "holidays", "calendar", "covariate_regressor"}
    )


def test_a_model_behind_an_api_is_refused_as_other_machines_have_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIXTLA_API_KEY", "a-key")

    def timegpt(chosen: ForecastJob, **_: object) -> Prepared:
        return prepared(chosen, describe_timegpt("timegpt"))

    monkeypatch.setattr("gigacast.forecasting.prepare.prepare", timegpt)
    with pytest.raises(ConfigError, match="timegpt is asked over its API"):
        prepare_array(job(model="timegpt"))


def test_a_child_has_as_many_processes_as_hold_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_setup, "this_machine", lambda: SimpleNamespace(vcpus=16))
    monkeypatch.setattr(batch_setup, "free_memory", lambda: 10 * 2 * PROCESS_BYTES)
    (tmp_path / "model.safetensors").touch()
    os.truncate(tmp_path / "model.safetensors", PROCESS_BYTES // 3)
    small = prepared(job())
    large = replace(small, model=replace(small.model, folder=tmp_path))
    counts = [fill_cores(entry, 100).job.resources.n_jobs for entry in (small, large)]
    assert counts == [16, 10]


def test_the_executor_of_a_child_knows_the_model_that_its_worker_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its files, nobody knows how many processes share a GPU."""
    model = ResolvedModel("bolt", "v1", "d" * 64, tmp_path, "fetched")
    chosen = replace(job(), inputs=StoreAddress("memory://x"), outputs=StoreAddress("memory://x"))
    setup = load_setup(plan_of(dump_setup(prepared(chosen))))
    monkeypatch.setattr(batch_setup, "fetch_model", lambda *_: model)
    models = []
    monkeypatch.setattr(
        batch_setup, "make_executor_for", lambda *args: models.append(args[0].model)
    )
    monkeypatch.setattr(batch_setup, "prepared_of", lambda _: prepared(chosen))
    work = ForecastWork(setup)
    pending: Any = [object()]
    work.worker(MemoryStore("x"), "run", pending)
    work.executor(1)
    assert models == [model]
