"""One file in, one file out: the forecasts are those of the same rows in a frame or a bucket."""

import io
import json
import math
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.core.local_file import write_whole
from gigacast.forecasting.file import open_file

START = datetime(2024, 1, 1)  # noqa: DTZ001 - wall time, as in most files
NAIVE = ["--model", "seasonal-naive", "--horizon", "3", "--quantiles", "0.1,0.5,0.9"]
OPTIONS = {"model": "seasonal-naive", "horizon": 3, "quantiles": [0.1, 0.5, 0.9]}


def series_table(**columns: list[object]) -> pa.Table:
    """Return two items over 100 hours; columns replace or add to the usual ones."""
    hours = range(100)
    values = {
        "item_id": ["007"] * 100 + ["NA"] * 100,
        "timestamp": [START + timedelta(hours=hour) for hour in hours] * 2,
        "target": [math.sin(hour / 4) + shift for shift in (1, 50) for hour in hours],
    }
    return pa.table(values | columns)


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        path.write_text(json.dumps(table.to_pylist(), default=str))
    return path


def same(frame: pd.DataFrame, other: pd.DataFrame) -> None:
    """Check that two sets of forecasts are equal, except for the types that a format gives."""
    assert list(frame.columns) == list(other.columns)
    assert [*map(str, frame["item_id"])] == [*map(str, other["item_id"])]
    assert (pd.to_datetime(frame["timestamp"]) == pd.to_datetime(other["timestamp"])).all()
    for name in ("predictions", "0.1", "0.5", "0.9"):
        assert frame[name].astype("float32").tolist() == other[name].astype("float32").tolist()
    assert frame["fallback"].isna().tolist() == other["fallback"].isna().tolist()


@pytest.fixture
def expected():
    return gigacast.forecast(series_table().to_pandas(), **OPTIONS)


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_a_file_has_the_forecasts_of_its_rows_in_a_frame(tmp_path, expected, kind):
    file = write(series_table(), tmp_path / f"meters.{kind}")
    output = tmp_path / "out/forecasts.parquet"
    assert run(["forecast", str(file), *NAIVE, "--output", str(output)]) == 0
    same(pq.read_table(output).to_pandas(), expected)
    assert [path.name for path in output.parent.iterdir()] == ["forecasts.parquet"]


def test_a_file_has_the_forecasts_of_the_same_object_in_a_bucket(tmp_path, expected):
    folder = tmp_path / "lake/2024/01"
    folder.mkdir(parents=True)
    file = write(series_table(), folder / "part-00000.parquet")
    assert run(["forecast", "--bucket", f"file://{tmp_path}/lake", *NAIVE, "--quiet"]) == 0
    stored = gigacast.read_forecasts(f"file://{tmp_path}/lake")
    output = tmp_path / "forecasts.parquet"
    assert run(["forecast", str(file), *NAIVE, "-o", str(output)]) == 0
    same(pq.read_table(output).to_pandas(), stored)


@pytest.mark.parametrize("name", ["meters.csv", "../meters.csv", "link.csv"])
def test_the_file_itself_is_no_output(tmp_path, capsys, name):
    (tmp_path / "in").mkdir()
    file = write(series_table(), tmp_path / "meters.csv")
    (tmp_path / "in/link.csv").symlink_to(file)
    before = file.read_bytes()
    output = tmp_path / ("in" if name != "meters.csv" else "") / name
    assert run(["forecast", str(file), *NAIVE, "-o", str(output)]) == 2
    assert "is the file that is forecast" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_an_index_of_times_without_a_name_is_read_from_files_as_from_frames(tmp_path):
    frame = pd.DataFrame(
        {"target": [float(n) for n in range(20)]}, index=pd.date_range("2024-01-01", periods=20)
    )
    expected = gigacast.forecast(frame, **OPTIONS)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    for name in ("a.parquet", "a.csv"):
        assert (
            run(["forecast", str(tmp_path / name), *NAIVE, "-o", str(tmp_path / "o.parquet")]) == 0
        )
        same(pq.read_table(tmp_path / "o.parquet").to_pandas(), expected)


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_text_outputs_hold_the_same_values(tmp_path, expected, ending):
    file = write(series_table(), tmp_path / "meters.csv")
    output = tmp_path / f"forecasts.{ending}"
    assert run(["forecast", str(file), *NAIVE, "-o", str(output)]) == 0
    if ending == "csv":
        text = pd.read_csv(output, dtype={"item_id": str}, keep_default_na=False)
        same(text.assign(fallback=text["fallback"].replace("", None)), expected)
    else:
        same(pd.DataFrame(json.loads(output.read_text())), expected)


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_standard_input_is_a_file_of_any_format(tmp_path, monkeypatch, capfdbinary, expected, kind):
    content = write(series_table(), tmp_path / f"meters.{kind}").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert run(["forecast", "-", *NAIVE, "--output", "-"]) == 0
    text = capfdbinary.readouterr().out
    shown = pd.read_csv(io.BytesIO(text), dtype={"item_id": str}, keep_default_na=False)
    assert shown["item_id"].tolist() == ["007"] * 3 + ["NA"] * 3
    assert shown["predictions"].astype("float32").tolist() == expected["predictions"].tolist()


def test_without_an_output_a_plot_and_the_first_rows_are_shown(tmp_path, capsys):
    file = write(series_table(), tmp_path / "meters.csv")
    assert run(["forecast", str(file), *NAIVE[:2], "--horizon", "24"]) == 0
    shown = capsys.readouterr().out
    assert "007 · target" in shown
    assert "2024-01-05 04:00:00" in shown
    assert "48 rows in all: --output FILE writes them" in shown


def test_json_has_the_forecasts_unless_a_file_has_them(tmp_path, capsys, expected):
    file = write(series_table(), tmp_path / "meters.csv")
    assert run(["forecast", str(file), *NAIVE, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["series"], content["rows"], content["output"]) == (2, 6, None)
    same(pd.DataFrame(content["forecasts"]), expected)
    output = str(tmp_path / "out.csv")
    assert run(["forecast", str(file), *NAIVE, "--json", "-o", output]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["output"] == output
    assert "forecasts" not in content


def test_series_that_the_model_does_not_forecast_are_counted(tmp_path, capsys):
    table = series_table(target=[None] * 100 + [1.0] * 100)
    file = write(table, tmp_path / "meters.parquet")
    assert run(["forecast", str(file), *NAIVE, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["fallbacks"] == {"all_null": 1}
    assert {row["fallback"] for row in content["forecasts"]} == {None, "all_null"}


def test_rows_that_differ_are_said(tmp_path, capsys):
    table = pa.concat_tables([series_table(), series_table().slice(199).set_column(
        2, "target", [[7.0]])])  # fmt: skip
    file = write(table, tmp_path / "meters.parquet")
    assert run(["forecast", str(file), *NAIVE, "--quiet"]) == 0
    assert "1 row with the series and the time of another row" in capsys.readouterr().err


def test_a_table_without_rows_has_no_forecast(tmp_path, capsys):
    file = write(series_table().slice(0, 0), tmp_path / "meters.parquet")
    assert run(["forecast", str(file), *NAIVE]) == 1
    assert "series   0" in capsys.readouterr().out


def test_a_series_without_a_frequency_is_shown_without_a_plot(tmp_path, capsys):
    file = write(series_table().slice(0, 2), tmp_path / "meters.parquet")
    assert run(["forecast", str(file), *NAIVE]) == 0
    shown = capsys.readouterr().out
    assert "no_frequency" in shown
    assert "┤" not in shown


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nowhere.csv"], "nowhere.csv: No such file"),
        (["folder"], "forecast it by --bucket file:///"),
        (["packed.csv"], "packed.csv: the file is compressed"),
        (["meters.csv", "-o", "out.xlsx"], "out.xlsx ends with none of .parquet, .csv, .json"),
        (["meters.csv", "-o", "meters.csv/out.csv"], "out.csv can't be written"),
        (["meters.csv", "-o", "out.csv", "--layout", "wide"], "CSV has no lists"),
        (["meters.csv", "--years", "2024"], "--years is about the partitions of a bucket"),
        (["meters.csv", "--n_jobs", "2"], "--n_jobs is about the partitions of a bucket"),
        (["meters.csv", "--dry_run"], "--dry_run is about the partitions of a bucket"),
        (["meters.csv", "--features", "j"], "--features is about the partitions of a bucket"),
        (["meters.csv", "--targets", "kwh"], "kwh"),
        (["-o", "out.csv"], "--output is for a file"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, monkeypatch, capsys, words, error):
    monkeypatch.chdir(tmp_path)
    write(series_table(), tmp_path / "meters.csv")
    (tmp_path / "packed.csv").write_bytes(b"\x1f\x8b\x08\x00 packed")
    (tmp_path / "folder").mkdir()
    assert run(["forecast", *words, *NAIVE]) == 2
    assert error in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_failure_leaves_the_former_output(tmp_path):
    path = tmp_path / "out.csv"
    path.write_bytes(b"former")
    with pytest.raises(TypeError):
        write_whole(path, "text")
    assert path.read_bytes() == b"former"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", b"PAR1", "csv"),
        ("a.dat", b"PAR1....", "parquet"),
        ("a", b"\xef\xbb\xbf [1]", "json"),
        ("a", b'\n{"a": 1}', "json"),
        ("a", b"a,b\n1,2\n", "csv"),
        ("A.TSV", b"a\tb\n", "csv"),
    ],
)
def test_the_ending_and_then_the_first_bytes_say_the_format(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    assert open_file(str(path)).format == kind


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_backtest_of_a_file_has_the_figures_of_its_frame(tmp_path, capsys, kind):
    file = write(series_table(), tmp_path / f"meters.{kind}")
    words = ["--model", "seasonal-naive", "--horizon", "3", "--windows", "2", "--json"]
    assert run(["backtest", str(file), *words]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["location"] is None
    (standing,) = content["leaderboard"]["standings"]
    frame = gigacast.backtest(
        series_table().to_pandas(), models=["seasonal-naive"], horizon=3, windows=2
    )
    assert standing["figures"]["wql"] == pytest.approx(frame["wql"].iloc[0])
    assert standing["figures"]["mase"] == pytest.approx(frame["mase"].iloc[0])


def test_a_backtest_of_a_file_refuses_the_flags_of_a_bucket(tmp_path, capsys):
    file = write(series_table(), tmp_path / "meters.csv")
    assert run(["backtest", str(file), "--limit", "1"]) == 2
    assert "--limit is about the partitions of a bucket" in capsys.readouterr().err
    assert run(["backtest", str(file), "--segment", "symbol"]) == 2
    assert "has no 'symbol'" in capsys.readouterr().err
