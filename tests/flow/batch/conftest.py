"""An S3 server and AWS Batch on this machine."""

from collections.abc import Iterator

import pytest

from gigacast.batch.aws import BatchService
from tests.support.local_batch import PROGRAM, LocalBatch
from tests.support.moto_server import MotoServer


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    with MotoServer() as server, LocalBatch() as batch:
        batch.provision()
        yield server


@pytest.fixture
def batch(server: MotoServer) -> Iterator[LocalBatch]:
    with LocalBatch(program=PROGRAM) as batch:
        yield batch


@pytest.fixture
def service() -> BatchService:
    return BatchService("us-east-1")
