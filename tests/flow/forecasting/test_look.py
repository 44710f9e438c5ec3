"""A plan says which columns do not exist, and which parts of a month share items."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import DataError
from gigacast.forecasting import look
from gigacast.storage.folder.store import FolderStore

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}
FLAGS = ["--horizon", "3", "--model", "seasonal-naive"]


def frame(*items: str, first: str = "2024-01-01") -> pd.DataFrame:
    times = pd.date_range(first, periods=10)
    parts = [
        pd.DataFrame({"item_id": item, "shop": "n", "timestamp": times, "target": range(10)})
        for item in items
    ]
    return pd.concat(parts)


def write(folder: Path, key: str, content: pd.DataFrame) -> str:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    if key.endswith(".csv"):
        content.to_csv(path, index=False)
    else:
        content.to_parquet(path, index=False)
    return f"file://{folder}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--item_column", "item"], "did you mean item_id"),
        (["--item_columns", "shops,item_id"], "did you mean shop"),
        (["--timestamp_column", "time_stamp"], "did you mean timestamp"),
        (["--targets", "targets"], "did you mean target"),
        (
            ["--known_covariates", "shope", "--unsupported_covariates", "ignore"],
            "did you mean shop",
        ),
    ],
)
@pytest.mark.parametrize("name", ["part-0.parquet", "part-0.csv"])
def test_columns_that_do_not_exist_are_known_before_a_run(
    name: str,
    flags: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = write(tmp_path, f"2024/01/{name}", frame("a"))
    assert run(["plan", "--bucket", url, *FLAGS, *flags, "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert message in problem
    assert run(["forecast", "--dry_run", "--bucket", url, *FLAGS, *flags]) == 1
    assert message in " ".join(capsys.readouterr().out.split())
    assert run(["plan", "--bucket", url, *FLAGS]) == 0


@pytest.mark.parametrize("name", ["part-0.parquet", "part-0.csv"])
@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("%d %b %Y", "no row of 10 has a readable timestamp in 'timestamp', such as '"),
        ("%G-W%V", "no row of 10 has a readable timestamp in 'timestamp', such as '"),
        ("%y%m%d", "yymmdd|six digits"),
    ],
)
def test_times_that_no_run_reads_are_known_before_it(
    times: str,
    message: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = frame("a", first="2024-01-10")
    content["timestamp"] = content["timestamp"].dt.strftime(times)
    url = write(tmp_path, f"2024/01/{name}", content)
    ((_, failure),) = gigacast.forecast(url, **OPTIONS).failures
    assert run(["plan", "--bucket", url, *FLAGS, "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert re.search(message, problem)
    assert problem.startswith(failure.message)
    monkeypatch.chdir(tmp_path)
    run(["init", "--bucket", url])
    assert re.search(message, " ".join(capsys.readouterr().out.split()))


def test_a_layout_without_the_column_is_named_while_others_are_sound(tmp_path: Path) -> None:
    write(tmp_path, "2024/01/part-0.parquet", frame("a"))
    url = write(tmp_path, "2024/02/part-0.csv", frame("a").drop(columns="shop"))
    report = gigacast.plan(url, item_column="shop", **OPTIONS)
    assert not report.look.impossible
    (problem,) = report.look.problems
    assert problem.startswith("2024/02/part-0.csv: there is no column 'shop'")


def test_items_that_span_the_parts_of_a_month_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, "2024/01/part-0.parquet", frame("a", "b"))
    url = write(tmp_path, "2024/01/part-1.parquet", frame("b", "c", first="2024-01-11"))
    with pytest.warns(UserWarning, match="such as 'b', and are forecast apart.*partition_by="):
        gigacast.forecast(url, **OPTIONS)
    result = gigacast.forecast(url, partition_by="month", **OPTIONS)
    assert (result.look.problems, result.totals.series) == ((), 3)


def test_folders_of_days_are_parts_of_a_month_and_not_columns_of_items(tmp_path: Path) -> None:
    write(tmp_path, "year=2024/month=01/day=01/part-0.parquet", frame("a"))
    url = write(
        tmp_path, "year=2024/month=01/day=02/part-0.parquet", frame("a", first="2024-01-11")
    )
    (problem,) = gigacast.plan(url, **OPTIONS).look.problems
    assert problem.endswith("forecast the parts of a month together by --partition_by month")
    assert gigacast.plan(url, partition_by="month", **OPTIONS).look.problems == ()


def test_parts_with_items_of_their_own_are_no_problem(tmp_path: Path) -> None:
    write(tmp_path, "2024/01/part-0.parquet", frame("a", "b"))
    write(tmp_path, "2024/02/part-0.parquet", frame("a", "b", first="2024-02-01"))
    url = write(tmp_path, "2024/01/part-1.parquet", frame("c", "d"))
    assert gigacast.forecast(url, **OPTIONS).look.problems == ()


def test_items_of_several_columns_span_parts_only_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path, "2024/01/part-0.parquet", frame("a").assign(shop="n"))
    url = write(tmp_path, "2024/01/part-1.parquet", frame("a").assign(shop="s"))
    assert gigacast.plan(url, item_columns="shop,item_id", **OPTIONS).look.problems == ()
    assert len(gigacast.plan(url, **OPTIONS).look.problems) == 1


def test_a_part_without_its_id_column_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, "2024/01/part-0.parquet", frame("a", "b"))
    url = write(tmp_path, "2024/01/part-1.parquet", frame("c").drop(columns=["item_id", "shop"]))
    with pytest.warns(UserWarning, match=r"part-1.parquet has no column of item ids, as 2024/01"):
        gigacast.forecast(url, **OPTIONS)


def test_two_spellings_of_a_month_are_noticed_and_refused_for_whole_months(
    tmp_path: Path,
) -> None:
    write(tmp_path, "year=2024/month=1/a.parquet", frame("a"))
    url = write(tmp_path, "year=2024/month=01/b.parquet", frame("b"))
    with pytest.warns(UserWarning, match="year=2024/month=01 and year=2024/month=1 are two"):
        gigacast.forecast(url, **OPTIONS)
    for option in ({"partition_by": "month"}, {"context_partitions": 1}):
        with pytest.raises(DataError, match="two spellings of one month"):
            gigacast.forecast(url, **OPTIONS, **option)
    both = write(tmp_path / "other", "year=2024/month=01/b.parquet", frame("b"))
    write(tmp_path / "other", "2024/01/part-0.parquet", frame("a"))
    assert gigacast.forecast(both, **OPTIONS).look.problems == ()


def test_no_more_is_read_of_a_large_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for month in range(1, 6):
        for part in range(9):
            write(tmp_path, f"2024/{month:02d}/part-{part}.parquet", frame(f"item {part}"))
    opened = []
    original = FolderStore.open_file

    def counted(self: FolderStore, key: str, **more: Any) -> Any:
        opened.append(key)
        return original(self, key, **more)

    monkeypatch.setattr(FolderStore, "open_file", counted)
    gigacast.plan(f"file://{tmp_path}", **OPTIONS)
    # A file is opened for its columns, and once more for its ids.
    most = look.MOST_LAYOUTS + 2 * look.MOST_MONTHS * look.MOST_PARTS
    assert 1 < len(opened) <= most
