"""The functions of a deployment with nothing but their own packages, on a moto of this machine.

``make planner-alone``. A virtual environment gets what the image of the functions gets; planner,
arrival, closer and nightly run in it, the children in this one. Needs a package index.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any
from unittest import mock

from gigacast.job.location import reachable_inputs
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.flow.tables.table_formats import TableFormat, panel
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import put_panels

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".planner"
CALL = """
import importlib, json, sys
name, event = sys.argv[1], json.loads(sys.argv[2])
print(json.dumps(importlib.import_module(f"handler.{name}").handle(event, None)))
"""


def make_environment(place: Path = PLACE) -> Path:
    """Make the environment where it is missing; return its Python."""
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        install = [*pip, "--constraint", "constraints.txt"]
        subprocess.run(
            [*install, "--requirement", "infra/planner-requirements.txt"], cwd=ROOT, check=True
        )
        subprocess.run([*install, "--no-deps", "chronos-forecasting"], cwd=ROOT, check=True)
    return python


def call(python: Path, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call a handler in the environment; return its answer."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'lib'}{os.pathsep}{ROOT}"}
    command = [str(python), "-W", "error", "-c", CALL, name, json.dumps(event)]
    answer = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    sys.stdout.write(f"{name:<10} {answer.stdout.splitlines()[-1]}\n")
    return result


def put_table(server: MotoServer) -> str:
    """Write a table of Iceberg to a bucket; return its address without a catalog."""
    root = f"s3://{server.create_bucket()}/tables"
    with tempfile.TemporaryDirectory() as folder:
        tables = TableFormat("iceberg", root, Path(folder) / "catalog.db", {})
        with mock.patch.dict(os.environ, tables.variables):
            tables.append("sales", panel("2024-01"), ["month"])
            address = StoreAddress(tables.url("sales"), server.endpoint_url, "us-east-1")
            return reachable_inputs(address).url


def main() -> int:
    """Play the functions; return 0 if each did its part."""
    python = make_environment()
    ended: list[dict[str, Any]] = []
    with MotoServer() as server, LocalBatch(on_end=ended.append) as batch:
        batch.provision()
        address = server.new_address("sales")
        put_panels(open_store(address), ("2024-01",), parts=2)
        os.environ |= {
            "GIGACAST_RUN__BUCKET": address.url.removesuffix("/sales"),
            "GIGACAST_RUN__PREFIX": "sales",
            "GIGACAST_RUN__REGION": "us-east-1",
        }
        batch.pause()
        submitted = call(python, "schedule", {})
        key = "sales/2024/01/part-00000.parquet"
        body = json.dumps({"detail": {"object": {"key": key}}})
        waiting = call(python, "arrival", {"Records": [{"messageId": "0", "body": body}]})
        batch.resume()
        batch.wait()
        closed = call(python, "closing", ended.pop())
        idle = call(python, "schedule", {"arguments": {}})
        table = call(python, "schedule", {"arguments": {"input_prefix": put_table(server)}})
        batch.wait()
        of_table = call(python, "closing", ended.pop())
    outcomes = (submitted["outcome"], waiting["outcome"], closed["status"], idle["outcome"])
    outcomes += (table["outcome"], of_table["status"])
    expected = ("submitted", "another run is under way", "completed", "nothing pending")
    expected += ("submitted", "completed")
    return 0 if outcomes == expected else 1


if __name__ == "__main__":
    sys.exit(main())
