"""A live server on loopback: started by the command, asked by the client, ended by a signal."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.errors import (
    AccessDeniedError,
    ConfigError,
    DataNotFoundError,
    SchemaError,
    StorageError,
    TransientStorageError,
)
from gigacast.feature_store import Request, fetch_join, upload
from gigacast.feature_store.client import FeatureClient
from gigacast.feature_store.definition.window_edge import DAY
from tests.support.features.live_server import LiveServer, run_live
from tests.support.features.quickstart_store import compile_quickstart, write_table

JOIN, RETURNS = "quickstart.training_set.v2", "quickstart.returns.v1"
END = 19_693 * DAY  # 2023-12-02
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake whose join is served, of one user with a return and a purchase."""
    folder = tmp_path_factory.mktemp("shop")
    row = {"ds": "2023-12-01", "ts": END - 5000, "user_id": "5"}
    write_table(folder / "lake", "returns", [{**row, "refund_amt": 3}])
    write_table(folder / "lake", "purchases", [{**row, "purchase_price": 8}])
    compile_quickstart(folder / "lake", folder / "repository")
    upload(JOIN, "2023-12-01", bucket=folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[LiveServer]:
    with run_live(lake, GIGACAST_SERVE_TOKEN=TOKEN) as live:
        yield live


@pytest.fixture
def client(server: LiveServer) -> Iterator[FeatureClient]:
    with FeatureClient(server.url, token=TOKEN) as client:
        yield client


def test_the_client_gets_what_python_fetches(lake: Path, client: FeatureClient) -> None:
    keys = [{"user_id": "5"}, {"user_id": 6}, {}]

    over_http = client.fetch_join(JOIN, keys, at=END + 7)

    here = fetch_join([Request(JOIN, key, END + 7) for key in keys], bucket=lake)
    assert [entry.values for entry in over_http] == [entry.values for entry in here]
    assert [entry.errors for entry in over_http] == [entry.errors for entry in here]
    assert [entry.batch_age_ms for entry in over_http] == [7, 7, None]
    assert over_http[0].freshness_ms == 5007
    assert over_http[2].codes == dict.fromkeys(over_http[2].codes, "invalid_key")


def test_a_group_by_is_fetched_by_its_path(client: FeatureClient) -> None:
    [response] = client.fetch_group_by("group_bys/quickstart/returns.v1", [{"user_id": 5}], at=END)

    assert response.is_ok
    assert response.values["refund_amt_last2"] == [3]


def test_what_is_served_is_listed(client: FeatureClient) -> None:
    content = client.config()

    assert [entry["name"] for entry in content["joins"]] == [JOIN]
    assert {entry["name"] for entry in content["group_bys"]} == {
        RETURNS, "quickstart.purchases.v1"
    }  # fmt: skip


def test_errors_of_the_server_are_those_of_a_fetch(
    server: LiveServer, client: FeatureClient
) -> None:
    with pytest.raises(DataNotFoundError, match=r"nothing is uploaded|not uploaded"):
        client.fetch_join("quickstart.other.v1", [])
    with pytest.raises(SchemaError, match="at most 1000"):
        client.fetch_join(JOIN, [{}] * 1001)
    with FeatureClient(server.url, token="wrong") as stranger, pytest.raises(AccessDeniedError):
        stranger.config()


def test_threads_share_a_client(client: FeatureClient) -> None:
    def ask(user: int) -> Any:
        [response] = client.fetch_group_by(RETURNS, [{"user_id": user}], at=END)
        return response.request.keys["user_id"], response.values["refund_amt_sum_3d"]

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(ask, range(40))]

    assert answers == [(user, 3 if user == 5 else None) for user in range(40)]


def test_a_connection_that_the_server_closed_is_opened_again(lake: Path) -> None:
    with run_live(lake) as first:
        port = first.port
        client = FeatureClient(first.url)
        client.config()
        first.stop()
        with pytest.raises(TransientStorageError, match=f"127.0.0.1:{port}"):
            client.config()
    with run_live(lake, "--port", str(port)):
        assert client.config()["joins"]
    client.close()


def wait_until_closed(live: LiveServer) -> None:
    """Wait until a server takes no connections any more."""
    while True:
        try:
            socket.create_connection((live.host, live.port), timeout=10).close()
        except OSError:
            return
        time.sleep(0.01)


def test_a_request_in_flight_is_answered_before_sigterm_ends_the_server(lake: Path) -> None:
    body = json.dumps({"keys": [{"user_id": "5"}], "at": END}).encode()
    head = (
        f"POST /v1/features/join/{JOIN} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    with (
        run_live(lake, "--timeout", "60") as live,
        socket.create_connection((live.host, live.port)) as caller,
    ):
        caller.sendall(head.encode())
        # The server asks for the body: it has taken the request.
        assert caller.recv(65536).startswith(b"HTTP/1.1 100 ")
        codes: list[int] = []
        stopping = threading.Thread(target=lambda: codes.append(live.stop()))
        stopping.start()
        wait_until_closed(live)
        caller.sendall(body)
        answer = b""
        while piece := caller.recv(65536):
            answer += piece
        stopping.join(30)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["results"][0]["status"] == "ok"
    assert codes == [0]


def test_a_server_logs_the_share_of_answers_that_its_flag_says(lake: Path) -> None:
    with run_live(lake, "--log_share", "1") as live:
        with FeatureClient(live.url) as client:
            client.fetch_join(JOIN, [{"user_id": "5"}, {"user_id": 6}], at=END + 7)
            client.fetch_group_by(RETURNS, [{"user_id": 5}, {}], at=END + 7)
            with pytest.raises(DataNotFoundError):
                client.fetch_group_by("quickstart.none.v1", [{"user_id": 5}], at=END + 7)
        assert live.stop() == 0

    logs = lake / "feature_store" / "logs"
    folders = {file.parent.relative_to(logs).as_posix(): file for file in logs.rglob("*.parquet")}
    assert sorted(folders) == [
        f"group_bys/{RETURNS}/ds=2023-12-02/hr=00",
        f"{JOIN}/ds=2023-12-02/hr=00",
    ]
    rows = pq.read_table(folders[f"group_bys/{RETURNS}/ds=2023-12-02/hr=00"]).to_pylist()
    assert [json.loads(row["keys"]) for row in rows] == [{"user_id": "5"}, {}]
    assert json.loads(rows[0]["values"])["refund_amt_last2"] == [3]
    assert json.loads(rows[0]["batch_ends"]) == {RETURNS: END}
    assert list(json.loads(rows[1]["errors"])) == [""]


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v1/features/join/x HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_a_stream_of_garbage_is_refused_and_others_are_answered(
    server: LiveServer, raw: bytes
) -> None:
    with socket.create_connection((server.host, server.port), timeout=10) as caller:
        caller.sendall(raw)
        answer = caller.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert server.ask("GET", "/ping")[0] == 200


def test_a_head_that_does_not_end_is_refused_before_it_fills_memory(server: LiveServer) -> None:
    with socket.create_connection((server.host, server.port), timeout=10) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nx: ")
        answer = b""
        for _ in range(100):
            try:
                caller.sendall(b"y" * 4096)
            except OSError:
                break
            caller.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                answer = caller.recv(65536)
                break

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert server.ask("GET", "/ping")[0] == 200


def test_a_body_longer_than_the_longest_head_is_no_head(server: LiveServer) -> None:
    body = b" " * 200_000 + json.dumps({"keys": [{"user_id": "5"}], "at": END}).encode()
    connection = HTTPConnection(server.host, server.port, timeout=30)
    for _ in range(2):
        connection.request(
            "POST", f"/v1/features/join/{JOIN}", body, {"authorization": f"Bearer {TOKEN}"}
        )
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        assert json.loads(content)["results"][0]["status"] == "ok"
    connection.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port"),
        (["--host", "no such host"], "--host"),
        (["--timeout", "0"], "--timeout"),
    ],
)
def test_addresses_and_limits_that_are_none_are_refused(
    lake: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["feature-store", "serve", "--bucket", f"file://{lake}", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_named(
    lake: Path, server: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["feature-store", "serve", "--bucket", f"file://{lake}", "--port", str(server.port)]

    assert run(words) == 2
    assert f"--port {server.port}" in capsys.readouterr().err


def test_a_token_that_is_too_short_is_refused(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIGACAST_SERVE_TOKEN", "short")

    assert run(["feature-store", "serve", "--bucket", f"file://{lake}"]) == 2
    error = capsys.readouterr().err
    assert "GIGACAST_SERVE_TOKEN" in error
    assert "short" not in error


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://x:port"])
def test_the_client_refuses_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="url"):
        FeatureClient(url)


def test_the_client_starts_without_the_libraries_of_the_server() -> None:
    check = (
        "import sys, gigacast.feature_store.client\n"
        "assert not {'numpy', 'pyarrow', 'msgpack', 'pydantic', 'starlette'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_an_answer_of_something_else_is_a_fault_of_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            caller, _ = other.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<p>!")

        thread = threading.Thread(target=answer)
        thread.start()
        client = FeatureClient(f"http://127.0.0.1:{other.getsockname()[1]}")
        with client, pytest.raises(StorageError, match="without JSON"):
            client.config()
        thread.join()
