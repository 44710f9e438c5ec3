"""The large matrix of forms: `make forms`, or ``python -m tests.forms --seed 5 --forms 20000``.

Every pair of entries of any two axes is in some form, and random forms of random panels come on
top. The seed is printed: the same seed draws the same forms.
"""

import argparse
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random

from tests.forms.files import FILES
from tests.forms.form import AXES, FILE_DOORS, FRAME_DOORS, Form, is_possible
from tests.forms.law import Outcome, count_entries, covering_forms, draw, try_form
from tests.forms.panel import SHAPES, STEPS, Panel, draw_panel
from tests.forms.results import MOTO
from tests.forms.tables import FRAMES
from tests.support.moto_server import MotoServer

Drawn = tuple[Form, Panel | None]
_SHOWN = 5
_SLOW = ("job on S3",)
"""Doors of which only a sample is tried."""


_PAIRED = ("forecast", "job")
"""Doors through which all pairs of entries go."""


def large_matrix(seed: int, count: int, paired: Sequence[str] = _PAIRED) -> Iterator[Drawn]:
    """Yield the forms that cover all pairs of axes by some doors, then ``count`` random ones."""
    doors = [door for door in dict.fromkeys((*FRAME_DOORS, *FILE_DOORS)) if door not in _SLOW]
    pairs = list(combinations([name for name in AXES if name != "door"], 2))
    for door in paired:
        yield from (
            (form, None) for form in covering_forms(seed, pairs, {"door": door}, mixed=True)
        )
    chance = Random(seed)
    for number in range(count):
        door = _SLOW[0] if number % 100 == 0 else chance.choice(doors)
        takes = [*(FRAMES if door in FRAME_DOORS else ()), *(FILES if door in FILE_DOORS else ())]
        # Few ids, times and values can be spelt as text: of CSV and JSON most draws are impossible.
        form = draw(chance, {"door": door, "carrier": chance.choice(takes)}, attempts=2000)
        if form is None:
            continue
        step, shape = chance.choice(list(STEPS.values())), chance.choice(SHAPES)
        panel = draw_panel(step, chance.randrange(10**6), shape=shape, items=chance.randint(1, 4))
        yield form, panel if is_possible(form, panel) else None


def main() -> int:
    """Try the forms, print what became of them, and return 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.forms", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--forms", type=int, default=5000, help="random forms besides all pairs")
    parser.add_argument(
        "--pairs", nargs="*", default=_PAIRED, metavar="DOOR", help="try all pairs by these doors"
    )
    parser.add_argument("--minutes", type=float, default=None, help="stop after these minutes")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    warnings.simplefilter("error")
    started, clock = time.process_time(), time.monotonic()
    outcomes = []
    with MotoServer() as server:
        MOTO.append(server)
        for form, panel in large_matrix(options.seed, options.forms, options.pairs):
            outcomes.append(try_form(form, panel))
            if options.minutes and time.monotonic() - clock > options.minutes * 60:
                print("stopped: the minutes are over")
                break
    _report(outcomes, time.process_time() - started)
    return int(any(outcome.kind == "fault" for outcome in outcomes))


def _report(outcomes: list[Outcome], seconds: float) -> None:
    kinds = Counter(outcome.kind for outcome in outcomes)
    print(f"{len(outcomes)} forms in {seconds:.0f} CPU seconds: {dict(kinds)}")
    for name, counts in count_entries(outcome.form for outcome in outcomes).items():
        print(f"{name}: {len(counts)} of {len(AXES[name])} entries")
    faults = defaultdict(list)
    for outcome in outcomes:
        if outcome.kind == "fault":
            faults[outcome.detail.split(": ")[0][:60]].append(outcome)
    for kind, faults_of_kind in sorted(faults.items(), key=lambda entry: -len(entry[1])):
        print(f"\n{len(faults_of_kind)} x {kind}")
        for outcome in faults_of_kind[:_SHOWN]:
            print(f"  {outcome.form}\n    {outcome.detail[:500]}")


if __name__ == "__main__":
    raise SystemExit(main())
