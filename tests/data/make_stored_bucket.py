"""Wrote ``tests/data/stored_bucket``: a record of how it was made, and no part of any test.

It was run with gigacast 0.1.0 as of commit b59b5af (2026-11-30), on Linux, Python 3.11, before the
modules of the package got new places:

    python -m tests.data.make_stored_bucket

A bucket that a later release writes proves nothing of the earlier one: leave what is there alone,
and put a second one beside it when there is something new to keep.
"""

import json
import os
import platform
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from gigacast import ModelManager, ParquetDataLoader
from gigacast.batch.aws import BatchService
from gigacast.batch.service import ArrayRequest, ArrayState
from gigacast.batch.submit import submit_run
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.bars import bars, parquet_bytes
from tests.support.covariate_panel import make_frame, make_items
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import put_frame
from tests.support.stored_bucket import (
    ARRAYS,
    BACKTEST,
    CLEAN,
    COVARIATES,
    DATA,
    DATASETS,
    EVALUATE,
    FEATURES,
    FOLDER,
    FORECASTS,
    GROUPED_SPECS,
    LOADER_CONFIG,
    MTIMES,
    NAIVE,
    OBJECTS,
    QUALITY,
    READINGS,
    RECIPE,
    S3_BUCKET,
    S3_URL,
    SPECS,
    STORED_URL,
    command_json,
    command_output,
    files_in,
    grouped_spec,
    numbers_of,
    placeless,
    rows_of,
    specs_of,
)

URL = STORED_URL
LAKE, WORK = Path(URL.removeprefix("file://")), Path("/tmp/stored-work")
PROGRAM = (
    "import os, platform, sys\n"
    "platform.node = lambda: 'host'\n"
    "from handler.batch import main\n"
    "sys.exit(main(sys.argv[1:], os.environ))"
)
A_CENTURY = timedelta(days=36_500)


# -- what lies in it -------------------------------------------------------------------------------


def sales(month: str, part: int, *, seed: int = 0) -> pd.DataFrame:
    """The days of a month of a few items; one of them has no value."""
    days = pd.date_range(f"{month}-01", periods=pd.Period(month).days_in_month, freq="D")
    rng = np.random.default_rng([seed, part, int(month.replace("-", ""))])
    week = np.sin(days.day_of_week.to_numpy() / 7 * 2 * np.pi)
    frames = [
        pd.DataFrame(
            {
                "item_id": f"{part}-{item}",
                "timestamp": days,
                "target": 10 + number + week + rng.normal(0, 0.1, len(days)),
            }
        )
        for number, item in enumerate("ab")
    ]
    frames.append(frames[0].iloc[:3].assign(item_id=f"{part}-empty", target=np.nan))
    return pd.concat(frames, ignore_index=True)


def put_sales(store: Store) -> None:
    for month, part in (("2024-01", 0), ("2024-02", 0), ("2024-02", 1)):
        key = f"sales/{month.replace('-', '/')}/part-{part:05d}.parquet"
        put_frame(store, key, sales(month, part))


def put_inputs(store: Store) -> None:
    put_sales(store)
    for month, digest in (("01", "769b531dbb2ff3cb"), ("02", "0000000000000001")):
        name = f"fx/2014/{month}/EURUSD_1min_h15_2014_{month}_{digest}"
        store.put(f"{name}.parquet", parquet_bytes(ticks(f"2014-{month}-03", 60)))
        store.put(f"{name}.json", json.dumps({"rows": 60}).encode())
    newer = "fx/2014/02/EURUSD_1min_h15_2014_02_ffff000000000002.parquet"
    store.put(newer, parquet_bytes(ticks("2014-02-03", 64)))
    put_frame(store, "shops/2024/02/part-00000.parquet", make_frame(make_items((40, 33), 8), 4))
    store.put("broken/2024/01/part-00000.parquet", b"no Parquet")


def ticks(start: str, rows: int) -> pd.DataFrame:
    frame = bars(rows, start=start, seed=rows)[["timestamp", "close", "volume"]]
    return frame.rename(columns={"timestamp": "ds", "close": "target_close"})


def dirty(start: str, seed: int) -> pd.DataFrame:
    """Bars with a gap, missing values, an outlier and a row that came twice."""
    frame = bars(60, start=start, seed=seed)
    frame.loc[20:21, "close"] = np.nan
    frame.loc[30, "volume"] = 1e7
    frame = frame.drop(index=range(40, 45))
    return pd.concat([frame, frame.iloc[[10]]], ignore_index=True)


def tiny_models(folder: Path) -> dict[str, Path]:
    """Two Chronos-Bolts and a Chronos-2 of a few kB."""
    import torch
    from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    shape = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    lengths = {
        "context_length": 64,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": [0.1, 0.5, 0.9],
        "use_reg_token": True,
    }
    bolt = T5Config(
        **shape,
        num_decoder_layers=1,
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=1.0,
        feed_forward_proj="relu",
        chronos_config={**lengths, "prediction_length": 8},
        chronos_pipeline_class="ChronosBoltPipeline",
        architectures=["ChronosBoltModelForForecasting"],
    )
    second = Chronos2CoreConfig(
        **shape,
        dropout_rate=0.1,
        chronos_config={
            **lengths,
            "output_patch_size": 8,
            "use_arcsinh": True,
            "max_output_patches": 1,
        },
        chronos_pipeline_class="Chronos2Pipeline",
        architectures=["Chronos2Model"],
    )
    folders = {}
    for seed, (name, model) in enumerate(
        {
            "tiny/v1.0": ChronosBoltModelForForecasting(bolt),
            "tiny/v1.1": ChronosBoltModelForForecasting(bolt),
            "tiny-2/v1": Chronos2Model(second),
        }.items()
    ):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    scale = 1.5 / parameter.shape[-1] ** 0.5
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        folders[name] = folder / name
        model.save_pretrained(folders[name])
    return folders


# -- the folder ------------------------------------------------------------------------------------


def write_folder() -> None:
    LAKE.mkdir()
    store = open_store(StoreAddress(URL))
    put_inputs(store)
    publish_models()
    for flags in [*FORECASTS.values()][:5]:
        command_output(f"forecast {flags}", URL)
    command_output(f"forecast {COVARIATES}", URL)
    command_output(f"forecast --prefix broken {NAIVE} --horizon 2", URL, code=1)
    command_output(BACKTEST, URL)
    command_output(EVALUATE, URL)
    keep_sessions()
    write_datasets()
    command_output(f"forecast {FORECASTS['dataset']}", URL)
    command_output(QUALITY["partitions"], URL)


def publish_models() -> None:
    models = tiny_models(Path("models"))
    manager = ModelManager(bucket=URL, prefix="sales")
    training = {"kind": "training", "steps": 20}
    manager.publish_model(models["tiny/v1.0"], metrics={"wql": 0.5}, source=training)
    manager.publish_model(models["tiny/v1.1"], license="apache-2.0", metrics={"wql": 0.4})
    manager.switch_model("tiny", "v1.1", why="better on weekends")
    ModelManager(bucket=URL, prefix="shops").publish_model(models["tiny-2/v1"])


def keep_sessions() -> None:
    """Keep a session of the loader, with one file that it has processed."""
    config = Path("loader.yaml")
    config.write_text(LOADER_CONFIG.format(url=URL))
    loader = ParquetDataLoader(config)
    session = loader.start_audit_session("EURUSD", (2014, 2014), (1, 2))
    first, *_ = loader.discover_files("EURUSD", year=2014)
    loader.load_training_data("EURUSD", year=2014)
    loader.mark_as_processed(first)
    loader.end_audit_session(session)


def write_datasets() -> None:
    dirty("2024-01-15", 1).to_parquet("first.parquet", index=False)
    dirty("2024-02-15", 2).to_csv("second.csv", index=False)
    for month in (1, 2):
        frame = bars(60, start=f"2024-{month:02d}-15", step="D", seed=month).iloc[:15]
        frame.to_parquet(f"quotes-{month}.parquet", index=False)
    Path("recipe.yaml").write_text(RECIPE)
    place = "--prefix lake --partition_by month"
    command_output(f"data import first.parquet raw/MES/2024-01-15 {place} --what first", URL)
    command_output(CLEAN, URL)
    command_output(f"data import second.csv raw/MES/2024-02-15 {place}", URL)
    command_output(CLEAN, URL)
    command_output(QUALITY["dataset"], URL, code=1)
    quotes = f"cleaned/QUOTES {place} --schema ohlcv"
    command_output(f"data publish quotes-1.parquet {quotes} --what january", URL)
    command_output(f"data publish quotes-2.parquet {quotes} --append --what february", URL)
    old = "cleaned/v1/QUOTES --prefix lake --why short --instead cleaned/v1.1/QUOTES"
    command_output(FEATURES["recipe"], URL, recipe="recipe.yaml")
    command_output(f"data deprecate {old}", URL)
    command_output(FEATURES["like"], URL)


# -- what lay in S3 --------------------------------------------------------------------------------


class Shelf:
    """An array service where nothing ever runs."""

    def submit(self, request: ArrayRequest) -> str:
        return "00000000-0000-0000-0000-000000000000"

    def describe(self, job_ids: Any) -> list[ArrayState]:
        return [ArrayState(job_id, "RUNNABLE") for job_id in job_ids]


def options_of(flags: str) -> dict[str, Any]:
    words = flags.replace("--", "").split()
    return {"bucket": S3_URL, **dict(zip(words[::2], words[1::2], strict=True))}


def write_objects() -> dict[str, list[str]]:
    """Write an array run that is done, and the plan of one that never began."""
    orders = {}
    with (
        MotoServer(S3_BUCKET),
        LocalBatch(program=(sys.executable, "-c", PROGRAM)) as batch,
    ):
        batch.provision()
        store = open_store(StoreAddress(S3_URL))
        put_sales(store)
        for name, flags in ARRAYS.items():
            settings = load_settings(nest_arguments({**options_of(flags), "children": 2}))
            options = replace(array_options_of(settings), valid_for=A_CENTURY)
            service: Any = BatchService("us-east-1") if name == "done" else Shelf()
            job = job_of(settings)
            submission = submit_run(job, options, service)
            plan = json.loads(store.get(f"sales/audit/{submission.run_id}.json"))["plan"]
            location = (f"{S3_URL}/sales", "-", "-")
            orders[name] = [*location, submission.run_id, plan["array"]["digest"], "0"]
            if name == "done":
                command_output(f"watch {submission.run_id} --prefix sales --quiet", S3_URL)
        for key in [entry.key for page in store.list("") for entry in page]:
            (OBJECTS / key).parent.mkdir(parents=True, exist_ok=True)
            (OBJECTS / key).write_bytes(store.get(key))
    return orders


# -- what is said of it ----------------------------------------------------------------------------


def tell_all(orders: dict[str, list[str]]) -> dict[str, Any]:
    forecasts = {**FORECASTS, "covariates": COVARIATES}
    specs = {name: spec_of_run(flags) for name, flags in forecasts.items()}
    return {
        "orders": orders,
        "chronos": version("chronos-forecasting"),
        "forecasts": {n: {"spec": s, **numbers_of(URL, forecasts[n], s)} for n, s in specs.items()},
        "datasets": {name: rows_of(URL, name) for name in DATASETS},
        "specs": {name: specs_of(options, URL) for name, options in SPECS.items()},
        "grouped": {name: grouped_spec(options) for name, options in GROUPED_SPECS.items()},
        "readings": {n: placeless(command_json(f, URL), URL) for n, f in READINGS.items()},
    }


def spec_of_run(flags: str) -> str:
    """Return the one spec of a forecast that is there."""
    (spec,) = command_json(f"forecast {flags} --dry_run", URL)["specs"]
    return str(spec)


def hide_places() -> None:
    """Take the traceback of the failure out: it names folders of this machine."""
    (audit,) = (LAKE / "broken" / "audit").iterdir()
    values = json.loads(audit.read_text())
    values["failures"][0]["traceback"] = "Traceback (most recent call last): ..."
    audit.write_text(json.dumps(values, indent=1, ensure_ascii=False))


def main() -> None:
    """Write everything anew."""
    for folder in (DATA, LAKE, WORK):
        shutil.rmtree(folder, ignore_errors=True)
    WORK.mkdir()
    os.chdir(WORK)
    os.environ.update(LOGNAME="somebody", GIGACAST_CACHE=str(WORK / "cache"))
    with mock.patch.object(platform, "node", return_value="host"):
        write_folder()
        orders = write_objects()
    hide_places()
    os.chdir(LAKE.parent)
    shutil.rmtree(WORK)
    mtimes = {key: path.stat().st_mtime_ns for key, path in files_in(LAKE)}
    for key, path in files_in(LAKE):
        (FOLDER / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, FOLDER / key)
    MTIMES.write_text(json.dumps(mtimes, indent=0) + "\n")
    sections = tell_all(orders)
    lines = [f"{json.dumps(name)}: {_lines_of(value)}" for name, value in sections.items()]
    (DATA / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _lines_of(section: Any) -> str:
    """Return a section as JSON with a line for each entry."""
    if not isinstance(section, dict):
        return json.dumps(section)
    entries = [
        f"  {json.dumps(n)}: {json.dumps(v, ensure_ascii=False)}" for n, v in section.items()
    ]
    return "{\n" + ",\n".join(entries) + "\n}"


if __name__ == "__main__":
    main()
