"""The error tree: whole, drawn as it is, and able to cross process borders."""

import pickle
import re

import pytest

from gigacast import errors
from gigacast.errors import GigacastError, as_keywords


def all_errors(root: type[GigacastError] = GigacastError) -> list[type[GigacastError]]:
    """Return an error class and those below it, but for those of other tests."""
    children = [kind for kind in root.__subclasses__() if not kind.__module__.startswith("tests.")]
    return [root, *(kind for child in children for kind in all_errors(child))]


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    drawn = re.findall(r"^\s+[│├└─ ]*(\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)
    assert sorted(drawn) == sorted({kind.__name__ for kind in all_errors()})


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_crosses_process_borders_whole(kind: type[GigacastError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what and where", hint="what to do")))
    assert type(error) is kind
    assert (error.message, error.hint) == ("what and where", "what to do")
    assert str(error) == "what and where (what to do)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("give --freq, such as W or MS", "give freq=, such as W or MS"),
        ("name it by --item_column (schema.x)", "name it by item_column= (schema.x)"),
        ("columns by --item_columns sku,store", 'columns by item_columns="sku,store"'),
        ("by --item_columns 'a b,c'", "by item_columns='a b,c'"),
        ("lower --horizon 64 or less", "lower horizon=64 or less"),
        ("by --partition_by month.", 'by partition_by="month".'),
        ("--duplicates mean, sum, last or first", 'duplicates="mean", sum, last or first'),
        ("--csv_dates day_first or --csv_dates month_first",
         'csv_dates="day_first" or csv_dates="month_first"'),
        ("--output: a.b ends with none", "output: a.b ends with none"),
        ("--spec names forecasts, and --horizon describes some",
         "spec names forecasts, and horizon= describes some"),
        ("backtest with --calibrate and the same --horizon",
         "backtest with calibrate=True and the same horizon="),
        ("leave out --item", "leave out items="),
        ("use --bucket NAME, s3://b", 'use bucket="NAME", s3://b'),
        ("run `gigacast backtest --calibrate` first", "run `gigacast backtest --calibrate` first"),
        ("part--freq/a--b.parquet: x", "part--freq/a--b.parquet: x"),
        ("no flag: - and -- and ---", "no flag: - and -- and ---"),
    ],
)  # fmt: skip
def test_python_reads_keywords_where_a_shell_has_flags(text: str, expected: str) -> None:
    assert as_keywords(text) == expected
    error = GigacastError("a", hint=text)
    assert (str(error), error.text, error.hint) == (f"a ({expected})", f"a ({text})", text)
