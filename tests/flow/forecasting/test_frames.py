"""Frames of every library are forecast alike, and the forecasts are a frame of that library."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, SchemaError
from gigacast.series.frame import give_back, table_of

NAIVE = {"model": "seasonal-naive", "horizon": 2}
DAYS = pd.date_range("2024-01-01", periods=10)
FRAME = pd.DataFrame(
    {
        "item_id": ["a"] * 10 + ["b"] * 10,
        "timestamp": [*DAYS, *DAYS],
        "target": np.arange(20.0),
    }
)
WANTED = gigacast.forecast(FRAME, **NAIVE)  # type: ignore[call-overload]


class Stream:
    """A frame of a library that pyarrow does not know."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def forecast(data: Any, **options: Any) -> Any:
    return gigacast.forecast(data, **{**NAIVE, **options})


def assert_wanted(table: pa.Table) -> None:
    assert table["item_id"].to_pylist() == WANTED["item_id"].tolist()
    times = [pd.Timestamp(time).tz_localize(None) for time in table["timestamp"].to_pylist()]
    assert times == WANTED["timestamp"].tolist()
    assert table["predictions"].to_pylist() == WANTED["predictions"].tolist()
    assert table["0.9"].to_pylist() == WANTED["0.9"].tolist()


TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)
VIEWS = TABLE.set_column(0, "item_id", TABLE["item_id"].cast(pa.string_view()))
CODES = TABLE.set_column(
    0,
    "item_id",
    pa.DictionaryArray.from_arrays(
        pa.array([0] * 10 + [1] * 10, pa.uint32()), pa.array(["a", "b"], pa.string_view())
    ),
)


@pytest.mark.parametrize("table", [TABLE, VIEWS, CODES], ids=["plain", "views", "codes"])
def test_arrow_data_comes_back_in_its_own_form(table: pa.Table) -> None:
    got = forecast(table)
    assert isinstance(got, pa.Table)
    assert_wanted(got)
    (batch,) = table.combine_chunks().to_batches()
    got = forecast(batch)
    assert isinstance(got, pa.RecordBatch)
    assert_wanted(pa.Table.from_batches([got]))
    got = forecast(table.to_reader(max_chunksize=3))
    assert isinstance(got, pa.RecordBatchReader)
    assert_wanted(got.read_all())
    got = forecast(Stream(table))
    assert isinstance(got, pa.Table)
    assert_wanted(got)


def test_polars_frames_come_back_as_polars_frames() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(TABLE)
    for data in (frame, frame.with_columns(polars.col("item_id").cast(polars.Categorical))):
        got = forecast(data)
        assert isinstance(got, polars.DataFrame)
        assert_wanted(got.to_arrow())
    with pytest.raises(ConfigError) as raised:
        forecast(frame.lazy())
    assert "collect" in str(raised.value.hint)


PANDAS = {
    "ids in the index": FRAME.set_index("item_id"),
    "ids and times in the index": FRAME.set_index(["item_id", "timestamp"]),
    "ids in the index and a column": FRAME.set_index("item_id", drop=False),
    "an index without meaning": FRAME.set_index(pd.Index(np.arange(20)[::-1])),
    "repeated labels": FRAME.set_index(pd.Index([0] * 20)),
    "texts of Arrow": FRAME.astype({"item_id": "string[pyarrow]"}),
    "objects": FRAME.astype({"item_id": object, "target": object}),
    "categories": FRAME.astype({"item_id": "category"}),
    "Float64": FRAME.astype({"target": "Float64"}),
    "Int32": FRAME.astype({"target": "Int32"}),
    "float16": FRAME.astype({"target": "float16"}),
    "Arrow types": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "sparse": FRAME.assign(target=pd.arrays.SparseArray(FRAME["target"])),
    "seconds": FRAME.astype({"timestamp": "datetime64[s]"}),
    "nanoseconds": FRAME.astype({"timestamp": "datetime64[ns]"}),
    "dates": FRAME.assign(timestamp=FRAME["timestamp"].dt.date),
    "Timestamps": FRAME.assign(timestamp=FRAME["timestamp"].astype(object)),
    "texts of times": FRAME.assign(timestamp=FRAME["timestamp"].astype(str)),
    "UTC": FRAME.assign(timestamp=FRAME["timestamp"].dt.tz_localize("UTC")),
    "periods": FRAME.assign(timestamp=FRAME["timestamp"].dt.to_period("D")),
    "from CSV": pd.read_csv(io.StringIO(FRAME.to_csv(index=False))),
}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas_frames_of_any_index_and_types_give_the_same_forecasts(name: str) -> None:
    got = forecast(PANDAS[name])
    assert isinstance(got, pd.DataFrame)
    assert_wanted(pa.Table.from_pandas(got, preserve_index=False))


def test_an_index_of_times_is_the_column_of_times() -> None:
    rows = FRAME[FRAME["item_id"] == "a"]
    expected = forecast(rows)["predictions"].tolist()
    values = rows[["target"]]
    for index in (DAYS, DAYS.rename("ds"), DAYS.to_period("D"), DAYS.tz_localize("UTC")):
        assert forecast(values.set_index(index))["predictions"].tolist() == expected
    # With a column of times an index without a name means nothing.
    shifted = rows.set_index(DAYS + pd.Timedelta("99D"))
    assert forecast(shifted)["timestamp"].tolist() == WANTED["timestamp"].tolist()[:2]


@pytest.mark.parametrize(
    ("data", "hint"),
    [(FRAME["target"], "to_frame"), ({"target": [1]}, "pyarrow"), ([1, 2], "pandas"), (None, "")],
    ids=["Series", "dict", "list", "None"],
)
def test_values_that_are_not_frames_are_refused_with_a_hint(data: Any, hint: str) -> None:
    with pytest.raises(ConfigError, match="expected a bucket or a DataFrame") as raised:
        forecast(data)
    assert hint in str(raised.value.hint)


@pytest.mark.parametrize("data", [FRAME, TABLE], ids=["pandas", "Arrow"])
def test_forecasts_may_have_the_names_of_nixtla(data: Any) -> None:
    got = forecast(data, names="nixtla", quantiles=[0.1, 0.975])
    own = forecast(data, quantiles=[0.1, 0.975])
    model = "seasonal-naive"
    names = ["unique_id", "ds", "target_name", model, f"{model}-q-10", f"{model}-q-97.5"]
    columns = list(got.columns if data is FRAME else got.column_names)
    assert columns == [*names, "fallback", "cutoff"]
    assert list(got[f"{model}-q-97.5"]) == list(own["0.975"])
    with pytest.raises(ConfigError, match="names: 'other' is not known"):
        forecast(data, names="other")
    with pytest.raises(ConfigError, match="names are for data frames"):
        forecast("bucket", names="nixtla")


def test_the_names_of_nixtla_may_be_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "some.yaml"
    config.write_text("report: {names: nixtla}")
    assert list(forecast(FRAME, config=config).columns[:2]) == ["unique_id", "ds"]
    assert list(forecast(FRAME, config=config, names="own").columns[:2]) == ["item_id", "timestamp"]
    monkeypatch.setenv("GIGACAST_REPORT__NAMES", "nixtla")
    assert forecast(TABLE).column_names[:2] == ["unique_id", "ds"]
    # A job stores the names of Gigacast; what is read, or written to a file, has the others.
    bucket = tmp_path / "lake"
    (bucket / "2024/01").mkdir(parents=True)
    pq.write_table(TABLE, bucket / "2024/01/part-0.parquet")
    flags = ["--model", "seasonal-naive", "--horizon", "2"]
    assert run(["forecast", "--bucket", bucket.as_uri(), *flags, "--quiet"]) == 0
    (stored,) = (bucket / "forecasts").rglob("part-0.parquet")
    assert pq.read_schema(stored).names[:2] == ["item_id", "timestamp"]
    assert list(gigacast.read_forecasts(bucket.as_uri()).columns[:2]) == ["unique_id", "ds"]
    output = tmp_path / "out.csv"
    assert run(["read", "--bucket", bucket.as_uri(), "--output", str(output)]) == 0
    assert output.read_text().startswith('"unique_id","ds",')
    source = str(bucket / "2024/01/part-0.parquet")
    assert run(["forecast", source, "-o", str(output), "--quiet", *flags]) == 0
    assert output.read_text().startswith('"unique_id","ds",')


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(SchemaError, match="more than one column 'target'"):
        table_of(pa.table([[1.0], [2.0]], names=["target", "target"]))


def test_a_result_without_rows_keeps_its_form() -> None:
    empty = TABLE.slice(0, 0)
    batch = pa.RecordBatch.from_pylist([], TABLE.schema)
    assert give_back(empty, batch, lambda table: table).schema == TABLE.schema
    assert give_back(empty, TABLE.to_reader(), lambda table: table).read_all().num_rows == 0


WAVE = np.sin(np.arange(50) * 2 * np.pi / 7)
HOLES = np.where(np.arange(50) == 20, np.nan, WAVE)
ARRAYS = {
    "list": WAVE.tolist(),
    "matrix": WAVE[None],
    "list of lists": [WAVE.tolist()],
    "Series": pd.Series(WAVE),
    "Series with dates": pd.Series(WAVE, index=pd.date_range("2024-01-01", periods=50)),
    "Series without a label 0": pd.Series(np.append([9.0], WAVE))[1:],
    "nullable Series": pd.Series(WAVE, dtype="Float64"),
    "list of Series": [pd.Series(WAVE, index=range(5, 55))],
    "Index": pd.Index(WAVE),
    "masked": np.ma.array(WAVE),
    "Arrow": pa.array(WAVE),
    "chunks": pa.chunked_array([WAVE[:10], WAVE[10:]]),
    "tensor": torch.tensor(WAVE),
    "tensor with gradients": torch.tensor(WAVE, requires_grad=True),
    "tensor of two dimensions": torch.tensor(WAVE)[None],
    "tuple of tensors": (torch.tensor(WAVE),),
}
WITH_HOLES = {
    "NaN": HOLES,
    "None": [None if np.isnan(value) else value for value in HOLES],
    "NA": pd.Series(HOLES, dtype="Float64"),
    "masked": np.ma.masked_equal(np.where(np.isnan(HOLES), 1e20, HOLES), 1e20),
    "masked beyond float32": np.ma.masked_equal(np.where(np.isnan(HOLES), 1e300, HOLES), 1e300),
    "list of masked": [np.ma.masked_invalid(HOLES)],
    "null": pa.array(HOLES, from_pandas=True),
}


@pytest.fixture(scope="module")
def loader() -> gigacast.ChronosLoader:
    return gigacast.ChronosLoader()


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_any_library_give_the_same_forecasts(
    name: str, loader: gigacast.ChronosLoader
) -> None:
    got, expected = (loader.predict(data, 3).quantiles for data in (ARRAYS[name], WAVE))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("name", WITH_HOLES)
def test_masked_and_null_values_are_missing(name: str, loader: gigacast.ChronosLoader) -> None:
    got, expected = (loader.predict(data, 3).quantiles for data in (WITH_HOLES[name], HOLES))
    assert np.array_equal(got, expected)
    assert np.abs(got).max() < 3


def test_a_tensor_in_bfloat16_is_read(loader: gigacast.ChronosLoader) -> None:
    short = torch.tensor([1.0, 2.0, 3.0] * 9, dtype=torch.bfloat16)
    assert np.array_equal(
        loader.predict(short, 3).quantiles, loader.predict([1.0, 2.0, 3.0] * 9, 3).quantiles
    )


@pytest.mark.parametrize(
    "context",
    [
        pd.Series(WAVE, index=pd.date_range("2024-01-01", periods=50)[::-1]),
        pd.date_range("2024-01-01", periods=5),
        pd.Series(pd.date_range("2024-01-01", periods=5)),
        np.array([1 + 1j]),
        np.zeros((2, 3, 4)),
        ["a", "b"],
        FRAME,
    ],
    ids=["descending dates", "dates", "Series of dates", "complex", "3-D", "texts", "frame"],
)
def test_values_that_are_not_numeric_series_are_refused(
    context: Any, loader: gigacast.ChronosLoader
) -> None:
    with pytest.raises(ConfigError, match="context"):
        loader.predict(context, 3)


def test_rows_without_a_time_or_an_id_are_left_out_with_a_warning() -> None:
    holes = FRAME.astype({"timestamp": object})
    holes.loc[holes.index[3], "timestamp"] = None
    with pytest.warns(UserWarning, match="a readable time are left out: 1"):
        assert len(forecast(holes)) == len(forecast(FRAME))
