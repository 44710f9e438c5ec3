"""The simulation of benchmarks/scale.py in small, with many lost machines."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "scale.py"


def test_no_forecast_is_lost_when_machines_are_lost_and_others_help(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "1200", "--children", "12", "--seconds", "2"]
    accidents = ["--losses", "25", "--poisoned", "0.002", "--failing", "0.01", "--help_late"]
    process = subprocess.run(
        [*command, *accidents], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert process.returncode == 0, process.stderr
    assert "every partition is done but the 2 poisoned ones" in process.stdout
    assert "'lost': " in process.stdout
    assert "'asked to stop': " in process.stdout
