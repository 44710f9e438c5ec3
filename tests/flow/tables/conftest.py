"""Places of tables: a folder, and a bucket of an S3 on loopback."""

from pathlib import Path

import pytest

from tests.flow.tables.table_formats import TableFormat
from tests.support.moto_server import MotoServer


@pytest.fixture(params=["delta", "iceberg"])
def lake(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TableFormat:
    """A folder of tables of each format, with the catalog that pyiceberg is configured for."""
    (tmp_path / "tables").mkdir()
    return _configured(
        TableFormat(request.param, str(tmp_path / "tables"), tmp_path / "catalog.db", {}),
        monkeypatch,
    )


@pytest.fixture(params=["delta", "iceberg"])
def lake_on_s3(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moto_server: MotoServer,
) -> TableFormat:
    """A bucket of tables of each format."""
    storage = {
        "aws_endpoint_url": moto_server.endpoint_url,
        "aws_allow_http": "true",
        "aws_access_key_id": "testing",
        "aws_secret_access_key": "testing",
        "aws_region": "us-east-1",
    }
    root = f"s3://{moto_server.create_bucket()}/tables"
    tables = TableFormat(request.param, root, tmp_path / "catalog.db", storage)
    return _configured(tables, monkeypatch)


@pytest.fixture
def lake_in_glue(monkeypatch: pytest.MonkeyPatch, moto_server: MotoServer) -> TableFormat:
    """A bucket of tables of Iceberg in the catalog of AWS Glue, which tests of a session share."""
    bucket = moto_server.create_bucket()
    tables = TableFormat("iceberg", f"s3://{bucket}", None, {}, bucket.replace("-", "_"))
    return _configured(tables, monkeypatch)


def _configured(tables: TableFormat, monkeypatch: pytest.MonkeyPatch) -> TableFormat:
    for name, value in tables.variables.items():
        monkeypatch.setenv(name, value)
    return tables
