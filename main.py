"""The command line from a checkout, installed or not. See `python main.py --help`."""

import sys
from pathlib import Path

try:
    from gigacast.__main__ import main
except ModuleNotFoundError as error:
    if error.name != "gigacast":
        raise
    sys.path.insert(0, str(Path(__file__).parent / "lib"))
    from gigacast.__main__ import main

if __name__ == "__main__":
    main()
