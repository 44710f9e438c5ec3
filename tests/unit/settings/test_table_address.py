"""The tables that settings name: one spelling for each, and no options where rows are written."""

from pathlib import Path

import pytest

from gigacast.errors import ConfigError
from gigacast.settings.assembly import addresses, job_of
from gigacast.settings.load import load_settings


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("iceberg://lake/shop.sales?ref=audit", "iceberg://lake/shop.sales?ref=audit"),
        ("delta:///data/sales", "delta:///data/sales"),
        ("delta:///data/sales/?version=3", "delta:///data/sales?version=3"),
        ("delta://sales", "delta:///lake/in/sales"),
        ("delta://a/sales?by=month", "delta:///lake/in/a/sales?by=month"),
        ("delta://s3://other/sales", "delta://s3://other/sales"),
        ("delta://file:///my%20data/sales", "delta:///my data/sales"),
    ],
)
def test_an_input_table_has_one_spelling(written: str, url: str) -> None:
    run = {"bucket": "file:///lake", "prefix": "in", "input_prefix": written}
    inputs, outputs = addresses(load_settings({"run": run}).run)
    assert (inputs.url, outputs.url) == (url, "file:///lake/in")


def test_a_table_in_the_working_folder_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = {"bucket": "file:///lake", "input_prefix": "delta://./sales"}
    assert addresses(load_settings({"run": run}).run)[0].url == f"delta://{tmp_path}/sales"


def test_a_table_of_results_is_named_without_options() -> None:
    run = {"bucket": "s3://lake", "output_table": "delta://made", "endpoint_url": "http://x"}
    table = job_of(load_settings({"run": run})).table
    assert table is not None
    assert (table.address.url, table.address.endpoint_url, table.mode) == (
        *("delta://s3://lake/made", "http://x"),
        "replace",
    )
    with pytest.raises(ConfigError, match="options, which are for reading"):
        job_of(load_settings({"run": {**run, "output_table": "delta://made?version=1"}}))
