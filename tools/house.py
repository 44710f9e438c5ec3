"""Measure the code: sizes, widths, circles, comments, places per option.

``make house`` prints the report. ``python -m tools.house --json`` prints it as JSON, and
``--compare FILE`` prints such a JSON beside the figures of today.
"""

import argparse
import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.imports import find_circles, find_claims, make_graph
from tools.options import find_options, find_places
from tools.source import (
    Source,
    count_line_kinds,
    count_widths,
    find_undocumented,
    measure_functions,
    median,
    percentile,
    read_sources,
)
from tools.wording import VAGUE_NAMES, count_local_names

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES = 400
SMALL_LINES = 60
FUNCTION_LINES = 45
FOLDER_MODULES = 25
# Options that users can set everywhere, and whose names mean nothing else in the code. Most names,
# as `version` or `prefix`, have namesakes that are no options and are counted with them.
PLAIN_OPTIONS = (
    "extrapolate_levels",
    "joint_targets",
    "missing_future",
    "non_negative",
    "series_per_partition",
    "unsupported_covariates",
)

Figure = int | float | dict[str, int] | list[str]
Report = dict[str, dict[str, Figure]]
"""Figures by title and label: a number, numbers by name, or names."""


def measure(root: Path, package: str = "gigacast") -> Report:
    """Return all figures of a checkout.

    Parameters
    ----------
    root : Path
        Folder with ``lib/`` and ``tests/``.
    package : str
        Package in ``lib/`` to be measured.
    """
    sources = read_sources(root / "lib", package)
    tests = read_sources(root, "tests")
    return {
        "modules": measure_modules(sources),
        "functions": measure_bodies(sources),
        "folders": measure_folders(sources, tests),
        "lines": measure_lines(sources),
        "circles": measure_circles(sources),
        "docstrings": measure_docstrings(sources),
        "options": measure_options(sources),
        "local names": measure_names(sources, tests),
    }


def measure_modules(sources: Sequence[Source]) -> dict[str, Figure]:
    """Return the sizes of modules; the list of small ones leaves out ``__init__`` and such."""
    sizes = {source.path: source.lines for source in sources}
    small = {
        source.path: source.lines
        for source in sources
        if source.lines < SMALL_LINES and not source.is_door
    }
    return {
        "count": len(sizes),
        "lines": sum(sizes.values()),
        **_spread(list(sizes.values()), "lines"),
        f"over {MODULE_LINES} lines": _above(sizes, MODULE_LINES),
        f"under {SMALL_LINES} lines": dict(sorted(small.items(), key=lambda pair: pair[1])),
    }


def measure_bodies(sources: Sequence[Source]) -> dict[str, Figure]:
    """Return the sizes of functions' bodies."""
    sizes = {
        f"{source.path}:{name}": lines
        for source in sources
        for name, lines in measure_functions(source.tree).items()
    }
    return {
        "count": len(sizes),
        **_spread(list(sizes.values()), "body lines"),
        f"over {FUNCTION_LINES} body lines": _above(sizes, FUNCTION_LINES),
    }


def measure_folders(sources: Sequence[Source], tests: Sequence[Source]) -> dict[str, Figure]:
    """Return the widths of folders of the package and of the tests."""
    figures: dict[str, Figure] = {}
    for name, modules in (("lib", sources), ("tests", tests)):
        widths = count_widths([source.path for source in modules])
        figures[f"{name}: folders"] = len(widths)
        figures[f"{name}: widest, modules"] = max(widths.values(), default=0)
        figures[f"{name}: over {FOLDER_MODULES} modules"] = _above(widths, FOLDER_MODULES)
    return figures


def measure_lines(sources: Sequence[Source]) -> dict[str, Figure]:
    """Return the number of lines of each kind, and the comments' share of all lines."""
    kinds: Counter[str] = Counter()
    for source in sources:
        kinds.update(count_line_kinds(source.text))
    trailing = kinds.pop("trailing", 0)
    return {
        **kinds,
        "comments behind code": trailing,
        "comment share, %": _share(kinds["comment"], kinds.total()),
    }


def measure_circles(sources: Sequence[Source]) -> dict[str, Figure]:
    """Return the groups of modules that import each other."""
    running = find_circles(make_graph(sources, typing=False))
    circles = find_circles(make_graph(sources))
    typed = [circle for circle in circles if circle not in running]
    return {
        "count": len(running),
        "modules in them": sum(map(len, running)),
        "circles": [" <-> ".join(circle) for circle in running],
        "with imports for type checkers": [" <-> ".join(circle) for circle in typed],
    }


def measure_docstrings(sources: Sequence[Source]) -> dict[str, Figure]:
    """Return the sentences that say what a module imports, and functions without a docstring."""
    claims = find_claims(sources)
    verdicts = Counter(claim.verdict for claim in claims)
    return {
        "sentences about imports": len(claims),
        "of these checkable": verdicts["true"] + verdicts["false"],
        "of these false": verdicts["false"],
        "false in": [claim.module for claim in claims if claim.verdict == "false"],
        "public functions without docstring": [
            f"{source.path}:{name}" for source in sources for name in find_undocumented(source.tree)
        ],
    }


def measure_options(sources: Sequence[Source]) -> dict[str, Figure]:
    """Return in how many files, and how often, the settings are declared."""
    places = find_places(sources, find_options(sources))
    files = {name: len(lines) for name, lines in places.items()}
    sites = {name: sum(map(len, lines.values())) for name, lines in places.items()}
    ranking = sorted(sites, key=lambda name: (-files[name], -sites[name]))
    plain = {name: sites[name] for name in PLAIN_OPTIONS if name in sites}
    return {
        "count": len(places),
        "files per option, median": median(list(files.values())),
        "files per option, max": max(files.values(), default=0),
        "places per option, median": median(list(sites.values())),
        "places per option, max": max(sites.values(), default=0),
        "most files": {name: files[name] for name in ranking[:10]},
        "places of these": {name: sites[name] for name in ranking[:10]},
        "unmistakable names: places, median": median(list(plain.values())),
        "unmistakable names: places": plain,
    }


def measure_names(sources: Sequence[Source], tests: Sequence[Source]) -> dict[str, Figure]:
    """Return how often local names of the package and of the tests are vague."""
    figures: dict[str, Figure] = {}
    for prefix, modules in (("", sources), ("tests: ", tests)):
        counts: Counter[str] = Counter()
        for source in modules:
            counts.update(count_local_names(source.tree))
        vague = {name: count for name, count in counts.most_common() if name in VAGUE_NAMES}
        figures[f"{prefix}assignments and parameters"] = counts.total()
        figures[f"{prefix}vague"] = sum(vague.values())
        figures[f"{prefix}vague share, %"] = _share(sum(vague.values()), counts.total())
        figures[f"{prefix}by name"] = vague
    return figures


def _spread(values: Sequence[int], unit: str) -> dict[str, Figure]:
    return {
        f"median {unit}": median(values),
        f"p90 {unit}": percentile(values, 90),
        f"max {unit}": max(values, default=0),
    }


def _above(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return what is larger than the limit, largest first."""
    large = [(name, size) for name, size in sizes.items() if size > limit]
    return dict(sorted(large, key=lambda pair: -pair[1]))


def _share(part: int, total: int) -> float:
    """Return a share in percent, to two digits behind the point."""
    return round(100 * part / total, 2) if total else 0.0


def format_report(report: Report) -> str:
    """Return the report as text of at most 100 columns; lists stand below their number."""
    lines: list[str] = []
    for title, figures in report.items():
        lines += ["", title]
        for label, figure in figures.items():
            lines.append(f"  {label:<36}{_size(figure):>10}")
            lines += _list_lines(figure)
    return "\n".join(lines[1:])


def _list_lines(figure: Figure) -> list[str]:
    """Return the entries of a figure, as many on a line as there is room for."""
    if isinstance(figure, int | float) or not figure:
        return []
    if isinstance(figure, dict):
        # A non-breaking space keeps a name and its number on the same line.
        text = ", ".join(f"{name}\xa0{number}" for name, number in figure.items())
    else:
        text = ", ".join(figure)
    margin = " " * 6
    wrapped = textwrap.wrap(
        text,
        100,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\xa0", " ") for line in wrapped]


def format_comparison(before: Report, after: Report) -> str:
    """Return the figures of two reports side by side; of lists only how long they are."""
    lines: list[str] = []
    for title in dict.fromkeys([*before, *after]):
        lines += ["", title]
        old, new = before.get(title, {}), after.get(title, {})
        for label in dict.fromkeys([*old, *new]):
            sides = _size(old.get(label)), _size(new.get(label))
            mark = "" if sides[0] == sides[1] else "  *"
            lines.append(f"  {label:<36}{sides[0]:>10} -> {sides[1]:>10}{mark}")
    return "\n".join(lines[1:])


def _size(figure: Figure | None) -> str:
    """Return a number as text, the length of a list, or a dash for what is missing."""
    if figure is None:
        return "-"
    if isinstance(figure, float):
        return f"{figure:.2f}"
    return f"{figure if isinstance(figure, int) else len(figure):,}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(prog="python -m tools.house", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="Checkout to be measured.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="Earlier figures, as JSON.")
    options = parser.parse_args(arguments)
    report = measure(options.root)
    if options.json:
        print(json.dumps(report, indent=1))
    elif options.compare:
        earlier = json.loads(options.compare.read_text(encoding="utf-8"))
        print(format_comparison(earlier, report))
    else:
        print(format_report(report))


if __name__ == "__main__":
    main()
