"""Search all scenarios of the model, the deep ones too: ``make model``.

``python -m tests.model clean-up`` searches those whose name contains a text.
"""

import sys
import time

from tests.model.explorer import explore
from tests.model.scenarios import DEEP, QUICK, law_of

MOST_STATES = 6_000_000


def main(texts: list[str]) -> int:
    """Print the size of each search; return 1 when one was too large to be whole."""
    whole = True
    for name, scenario in {**QUICK, **DEEP}.items():
        if texts and not any(text in name for text in texts):
            continue
        start = time.monotonic()
        search = explore(scenario, law_of(scenario).check, most_states=MOST_STATES)
        whole &= search.is_whole
        size = f"{search.states} states, {search.worlds} buckets, {search.places} places of code"
        end = "" if search.is_whole else " (cut short)"
        print(f"{name}: {size}, {time.monotonic() - start:.0f} s{end}", flush=True)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
