"""`verify` compares the forecasts of every engine and precision with the stock pipeline."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.forecasting.verify import VerifyReport, verify
from gigacast.lake.layout import parse_receipt_key, receipt_key
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.folder.store import FolderStore
from tests.support.panels import put_panels
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2, tiny_t5

pytest.importorskip("torch")
SHIPPED = "gigacast-bolt-nano"
ENGINES = {
    "numpy": ("bolt", "numpy", "float32", "gigacast-bolt-numpy-"),
    "torch": ("bolt", "torch", "float32", "gigacast-bolt-r"),
    "torch in bfloat16": ("bolt", "torch", "bfloat16", "gigacast-bolt-r"),
    "openvino in bfloat16": ("bolt", "openvino", "bfloat16", "gigacast-bolt-openvino-"),
    "openvino in int8": (SHIPPED, "openvino", "int8", "gigacast-bolt-openvino-r1-int8-"),
    "stock bolt": ("bolt", "stock", "float32", "chronos-"),
    "chronos2": ("chronos2", "torch", "float32", "gigacast-chronos2-r"),
    "chronos2 in bfloat16": ("chronos2", "torch", "bfloat16", "gigacast-chronos2-r"),
    "t5": ("t5", "auto", "float32", "chronos-"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = session_folder(tmp_path_factory)
    tiny = {"bolt": tiny_bolt, "chronos2": tiny_chronos2, "t5": tiny_t5}
    return {SHIPPED: SHIPPED, **{name: str(build(root)) for name, build in tiny.items()}}


def change_the_forecast(store: FolderStore) -> None:
    """Write other numbers into a forecast, with a receipt that covers it up."""
    (receipt,) = [entry.key for page in store.list("timings/") for entry in page]
    named = parse_receipt_key(receipt)
    assert named is not None
    table = pq.read_table(io.BytesIO(store.get(named.output_key)))
    place = table.schema.get_field_index("0.9")
    wrong = pa.array(np.full(len(table), 1e3, np.float32))
    sink = io.BytesIO()
    pq.write_table(table.set_column(place, table.schema.field("0.9"), wrong), sink)
    etag = store.put(named.output_key, sink.getvalue())
    store.put(receipt_key(named.output_key, named.input_id, etag), store.get(receipt))


@pytest.mark.parametrize("case", ENGINES)
def test_forecasts_of_every_engine_are_verified_and_changed_ones_are_found(
    case: str,
    models: dict[str, str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, engine, precision, stored = ENGINES[case]
    if engine == "openvino":
        pytest.importorskip("openvino")
    # Scales of int8 take a second or two, and are the same for all tests of the session.
    monkeypatch.setenv("GIGACAST_CACHE", str(session_folder(tmp_path_factory) / "cache"))
    store = FolderStore(tmp_path / "lake")
    put_panels(store, months=["2024-01"], parts=1)
    options: dict[str, Any] = {
        "model": models[name],
        "model_engine": engine,
        "precision": precision,
        "device": "cpu",
        "horizon": 5,
        "n_jobs": 1,
    }
    run = gigacast.forecast(store.address.url, **options)
    assert (run.status, run.info.engine[: len(stored)]) == ("completed", stored)

    def verified() -> VerifyReport:
        arguments = {"bucket": store.address.url, **options}
        return verify(job_of(load_settings(nest_arguments(arguments))))

    report = verified()
    assert (report.series, report.differences) == (3, [])
    # One of each tolerance.
    if case in ("numpy", "chronos2 in bfloat16", "openvino in int8"):
        change_the_forecast(store)
        assert len(verified().differences) == 3
