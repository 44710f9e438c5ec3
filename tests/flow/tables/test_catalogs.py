"""Catalogs over REST and of AWS Glue, by pyiceberg's own configuration."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gigacast.job.location import open_inputs
from gigacast.storage.store import StoreAddress
from tests.flow.tables.table_formats import TableFormat, panel

pytest.importorskip("pyiceberg", reason="tables of Iceberg need the extra iceberg")
pytest.importorskip("deltalake", reason="tables of Delta Lake need the extra delta")


class RestCatalog(BaseHTTPRequestHandler):
    """Answers the two requests by which a table is loaded, from the catalog behind it."""

    lake: TableFormat

    def do_GET(self) -> None:
        if self.path.startswith("/v1/config"):
            answer: dict[str, object] = {"defaults": {}, "overrides": {}}
        else:
            _, _, _, namespace, _, name = self.path.split("?")[0].split("/")
            with self.lake.open_catalog() as catalog:
                table = catalog.load_table(f"{namespace}.{name}")
                answer = {
                    "metadata-location": table.metadata_location,
                    "metadata": json.loads(table.metadata.model_dump_json()),
                    "config": {},
                }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def rest_url(lake: TableFormat) -> Iterator[str]:
    handler = type("Handler", (RestCatalog,), {"lake": lake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("lake", ["iceberg"], indirect=True)
def test_a_table_of_a_rest_catalog_is_read(
    lake: TableFormat, rest_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    monkeypatch.setenv("PYICEBERG_CATALOG__SERVED__TYPE", "rest")
    monkeypatch.setenv("PYICEBERG_CATALOG__SERVED__URI", rest_url)
    store = open_inputs(StoreAddress("iceberg://served/ns.sales"))
    keys = [entry.key for page in store.list() for entry in page]
    assert keys == ["2024/01/part-0.parquet"]
    assert len(store.get(keys[0])) > 0


def test_a_table_in_the_catalog_of_glue_is_read(lake_in_glue: TableFormat) -> None:
    lake_in_glue.append("sales", panel("2024-01"))
    store = open_inputs(StoreAddress(lake_in_glue.url("sales")))
    assert [entry.key for page in store.list() for entry in page] == ["2024/01/part-0.parquet"]
