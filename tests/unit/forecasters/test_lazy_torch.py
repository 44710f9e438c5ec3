"""Torch, which takes a second to load, is loaded with the models that need it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["", ".naive", ".batching", ".levels", ".options"])
def test_torch_is_not_imported_without_a_model(module: str):
    code = f"import sys, gigacast.forecasters{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
