"""Fixtures that every test may use."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Set before anything imports numpy or torch, which read it then. Threads that wait for each other
# on the cores of other tests take three times the processor time of one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.support.moto_server import moto_server

# Shells start what runs in the background deaf to Ctrl-C, and so would be all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ["moto_server"]

# No test is timed: a busy machine makes no difference.
settings.register_profile("gigacast", deadline=None)
settings.load_profile("gigacast")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep variables and caches of the person who runs the tests out of them."""
    for name in [name for name in os.environ if name.upper().startswith("GIGACAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIGACAST_CACHE", str(tmp_path / "cache"))


def pytest_collection_finish() -> None:
    """Keep the collector from walking through everything that was collected, test after test."""
    gc.collect()
    gc.freeze()
