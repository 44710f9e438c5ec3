"""The server of pages: which keys it reads, for whom, and with which headers."""

import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest

from gigacast.errors import ConfigError
from gigacast.reporting.server import MAX_BYTES, key_of, make_server
from gigacast.storage.memory import MemoryStore, forget_memory


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("pages")
    store.put("reports/index.html", b"<p>index</p>")
    store.put("audit/run.json", b"{}")
    store.put("2024/01/part-00000.parquet", b"data")
    store.put("models/m/v/weights.json", b"secret")
    yield store
    forget_memory("pages")


@pytest.fixture
def port(store: MemoryStore) -> Iterator[int]:
    with make_server(store, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_the_index_is_shown_at_the_root_and_runs_nothing(port: int) -> None:
    redirected, _ = ask(port, "/")
    assert (redirected.status, redirected.getheader("Location")) == (302, "/reports/")
    answer, body = ask(port, "/reports/")
    assert (answer.status, body) == (200, b"<p>index</p>")
    policy = answer.getheader("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"


def test_objects_that_pages_link_are_shown_and_no_others(port: int) -> None:
    assert ask(port, "/audit/run.json")[1] == b"{}"
    for path in ("/2024/01/part-00000.parquet", "/models/m/v/weights.json", "/audit/none.json"):
        assert ask(port, path)[0].status == 404


def test_a_name_that_only_points_to_this_machine_gets_nothing(port: int) -> None:
    assert ask(port, "/reports/", host="attacker.example")[0].status == 403
    assert ask(port, "/reports/", host=f"localhost:{port}")[0].status == 200


def test_head_has_no_body_and_other_methods_are_refused(port: int) -> None:
    answer, body = ask(port, "/audit/run.json", "HEAD")
    assert (answer.status, answer.getheader("Content-Length"), body) == (200, "2", b"")
    assert ask(port, "/audit/run.json", "POST")[0].status == 501
    assert ask(port, "/audit/run.json", "DELETE")[0].status == 501


def test_an_object_that_is_too_large_is_not_read(
    store: MemoryStore, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_BYTES > 2**20
    monkeypatch.setattr("gigacast.reporting.server.MAX_BYTES", 1)
    assert ask(port, "/audit/run.json")[0].status == 413


def test_a_port_that_is_taken_is_refused(store: MemoryStore, port: int) -> None:
    with pytest.raises(ConfigError, match="port"):
        make_server(store, port)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/reports/../models/m/v/weights.json",
            "/reports/%2e%2e/audit/run.json",
            "//audit/x.json",
        ),
        *(
            "/reports/a%00.html",
            "/reports/a.exe",
            "/reports\\a.html",
            "/audit",
            "/x/reports/a.html",
        ),
    ],
)
def test_a_path_leads_nowhere_else(path: str) -> None:
    assert key_of(path) is None


def test_a_path_names_a_key_whatever_its_query() -> None:
    assert key_of("/reports/a%20b.html?x=../..#y") == "reports/a b.html"
