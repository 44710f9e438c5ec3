"""A job on buckets of other clouds, from the command line: the same as on a folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.clouds.azure import AzureServer
from tests.support.clouds.azurite import Azurite, azurite_program
from tests.support.clouds.gcs import GcsServer
from tests.support.panels import put_panels

NAIVE = ["--model", "seasonal-naive", "--horizon", "6"]
Server = GcsServer | AzureServer | Azurite


@pytest.fixture(params=["gs", "az", *(["azurite"] if azurite_program() else [])], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each wire."""
    program = azurite_program()
    if request.param == "azurite" and program:
        with Azurite(program) as emulator:
            yield emulator
        return
    with GcsServer() if request.param == "gs" else AzureServer() as started:
        yield started


@pytest.fixture
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    for name, text in server.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(tmp_path)
    store = open_store(server.new_address())
    put_panels(store)
    return store


def keys(store: Store) -> list[str]:
    return [entry.key for page in store.list() for entry in page]


def test_a_bucket_of_another_cloud_is_planned_forecast_listed_and_pruned(
    bucket: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = ["--bucket", bucket.address.url]
    assert run(["plan", *place, *NAIVE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pending"] == 4
    assert run(["forecast", *place, *NAIVE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"]["done"] == 4
    before = keys(bucket)
    assert run(["forecast", *place, *NAIVE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"]["skipped"] == 4
    assert [key for key in keys(bucket) if not key.startswith("audit/")] == [
        key for key in before if not key.startswith("audit/")
    ]
    assert run(["ls", *place]) == 0
    assert "seasonal-naive" in capsys.readouterr().out
    assert run(["status", *place, *NAIVE]) == 0
    assert run(["prune", *place, *NAIVE]) == 0
    capsys.readouterr()


def test_forecasts_are_those_of_a_folder(bucket: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    folder = open_store(StoreAddress(f"file://{tmp_path}/folder"))
    put_panels(folder)
    tables = []
    for store in (bucket, folder):
        gigacast.forecast(store.address.url, model="seasonal-naive", horizon=6)
        tables.append(gigacast.read_forecasts(store.address.url))
    assert tables[0].equals(tables[1])


def test_versions_of_datasets_and_cleaned_files_are_kept_there(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--bucket", bucket.address.url]
    assert run(["data", "quality", *place, "--json"]) == 0
    assert run(["data", "clean", "partitions", "cleaned/panels", *place]) == 0
    assert run(["data", "versions", *place, "--json"]) == 0
    assert "cleaned/panels" in capsys.readouterr().out


def test_an_array_of_aws_refuses_a_bucket_that_its_role_does_not_reach(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--bucket", bucket.address.url, "--executor", "batch"]
    assert run(["submit", *place[:2], *NAIVE]) == 2
    assert "out of reach of machines of AWS" in capsys.readouterr().err


def test_a_bucket_that_is_not_there_ends_with_two(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    scheme = bucket.address.url.partition("://")[0]
    assert run(["forecast", "--bucket", f"{scheme}://no-such-bucket", *NAIVE]) == 2
    assert "no bucket" in capsys.readouterr().err


def test_processes_open_their_own_connections(
    bucket: Store, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(server, GcsServer):
        pytest.skip("one cloud shows it: the way of an address to a process is the same")
    place = ["--bucket", bucket.address.url]
    assert run(["forecast", *place, *NAIVE, "--executor", "joblib", "--n_jobs", "2"]) == 0
    assert "4 done" in capsys.readouterr().out
