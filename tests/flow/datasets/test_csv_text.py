"""Texts of CSV that name things come back from an import as they were written."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gigacast.datasets.csv_file import CsvReading
from gigacast.datasets.importing import open_local
from gigacast.errors import SchemaError
from gigacast.series.csv.number import NULL_WORDS

ODD = [
    *("007", "7", "1.10", "12E3", "NA", "null", "true", "12345678901234567890", "0x1A", "+49"),
    *("2024-01-01", "10:30", "nan", "1e+05", "0", "00", "-7", "x", "1e400", "Infinity"),
]


def rows_of(path: Path, reading: CsvReading | None = None) -> pa.Table:
    rows = open_local(path, reading)
    return pa.Table.from_batches(list(rows.batches), rows.schema)


def written(folder: Path, texts: list[str], name: str = "store_id") -> Path:
    path = folder / "rows.csv"
    path.write_text(f"{name},other\n" + "".join(f'"{text}",x\n' for text in texts))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.sampled_from(ODD) | st.from_regex(r"[0-9E+.x]{1,6}", fullmatch=True),
                      min_size=1, max_size=6))  # fmt: skip
def test_named_ids_come_back_as_they_were_written(folder: Path, texts: list[str]) -> None:
    path = written(folder, texts)
    table = rows_of(path, CsvReading(required=("store_id",)))
    assert table.column("store_id").to_pylist() == texts


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.sampled_from(ODD) | st.from_regex(r"[+-]?[0-9]{1,22}", fullmatch=True)
                      | st.from_regex(r"[0-9]{1,3}E[0-9]{1,2}", fullmatch=True),
                      min_size=1, max_size=6))  # fmt: skip
def test_a_column_is_text_unless_each_number_says_the_same_as_its_text(
    folder: Path, texts: list[str]
) -> None:
    column = rows_of(written(folder, texts)).column("store_id")
    if pa.types.is_string(column.type):
        assert column.to_pylist() == texts
    elif pa.types.is_integer(column.type):
        numbers = [None if text in NULL_WORDS else int(text) for text in texts]
        assert column.to_pylist() == numbers
        assert all(str(n) == t or t == "-0" for n, t in zip(numbers, texts, strict=True) if n)
    elif pa.types.is_floating(column.type):
        known = [text for text in texts if text not in NULL_WORDS]
        # A number with a decimal mark, a minus or a signed exponent makes a column of numbers.
        assert any(mark in text for text in known for mark in (".", "-", "e+", "e4", "inf", "Inf"))
        whole = [text.lstrip("+-") for text in known if text.lstrip("+-").isdigit()]
        assert not any(len(digits) > 1 and digits.startswith("0") for digits in whole)
        if len(whole) == len(known):
            assert max(map(len, whole)) < 16


@pytest.mark.parametrize(
    "texts",
    [
        ["007", "012"],
        ["7", "07"],
        ["12E3", "5E10"],
        ["12345678901234567890", "1"],
        ["0x1A", "0x2B"],
        ["+49", "+1"],
    ],
)
def test_codes_stay_text_without_a_flag(folder: Path, texts: list[str]) -> None:
    assert rows_of(written(folder, texts)).column("store_id").to_pylist() == texts


@pytest.mark.parametrize("texts", [["1.5", "0.10"], ["1e+05", "7"], ["-3", "+4"], ["0", "10"]])
def test_numbers_stay_numbers(folder: Path, texts: list[str]) -> None:
    assert rows_of(written(folder, texts)).column("store_id").to_pylist() == [*map(float, texts)]


def test_padded_numbers_of_a_target_are_numbers(folder: Path) -> None:
    table = rows_of(written(folder, ["007", "012"], name="target"))
    assert table.column("target").to_pylist() == [7, 12]


def test_a_code_beyond_the_first_rows_is_refused_with_its_column_and_the_remedy(
    folder: Path,
) -> None:
    path = written(folder, [*(str(n) for n in range(1, 200_000)), "007"])
    with pytest.raises(SchemaError) as caught:
        rows_of(path)
    assert f"{path}: '007' in column 'store_id' would become a number" in caught.value.message
    assert "--item_columns store_id" in str(caught.value.hint)
    table = rows_of(path, CsvReading(required=("store_id",)))
    assert table.column("store_id")[-1].as_py() == "007"


@pytest.mark.parametrize("first", [["1", "2"], ["001", "2"]])
def test_files_of_one_import_agree_on_texts(folder: Path, first: list[str]) -> None:
    several = folder / first[0]
    several.mkdir()
    for name, texts in {"a": first, "b": ["1.50", "2"], "c": ["007"]}.items():
        written(several, texts).rename(several / f"{name}.csv")
    if first == ["001", "2"]:
        texts = rows_of(several).column("store_id").to_pylist()
        assert texts == ["001", "2", "1.50", "2", "007"]
        return
    (several / "b.csv").unlink()
    with pytest.raises(SchemaError, match=r"c.csv: '007' in column 'store_id' would become"):
        rows_of(several)


def test_columns_keep_the_types_of_the_dataset_before(folder: Path) -> None:
    path = written(folder, ["7", "12"])
    text = CsvReading(stored=pa.schema({"store_id": pa.string()}))
    assert rows_of(path, text).column("store_id").to_pylist() == ["7", "12"]
    path = written(folder, ["007", "12"])
    number = CsvReading(stored=pa.schema({"store_id": pa.int64()}))
    assert rows_of(path, number).column("store_id").to_pylist() == [7, 12]
    (note,) = open_local(path, number).notes
    assert "'007' in column 'store_id' becomes a number" in note
    assert "--item_columns store_id" in note
    named = CsvReading(stored=pa.schema({"store_id": pa.int64()}), required=("store_id",))
    assert rows_of(path, named).column("store_id").to_pylist() == ["007", "12"]
    assert open_local(path, named).notes == ()


def test_a_misspelt_id_column_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        rows_of(written(folder, ["7"]), CsvReading(required=("storeid",)))
    assert "no column 'storeid'" in caught.value.message
    assert caught.value.hint == "did you mean store_id?"
