"""Draw the figures of `end_to_end.py`: speed and ratio, memory and stages, into docs/img.

    python benchmarks/plots.py [FILE ...] [--target docs/img] [--join FILE.json]

FILE is written by `--output`, or is the printed table; `benchmarks/results/end_to_end.json` by
default. Several files are joined; of two rows with the same way and size the later file's counts.
Draws `speed.png`, `memory.png` and `stages.png`.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

TARGET = Path(__file__).parents[1] / "docs" / "img"
RESULTS = Path(__file__).parent / "results" / "end_to_end.json"
WAYS = {
    "gigacast, auto": "#1f5fa8",
    "gigacast, float32": "#7fb0dc",
    "script, bfloat16": "#c98a1b",
    "script, best batch": "#b04a3a",
    "script, default batch": "#d9a49b",
}
STAGES = {
    "starting and rest": "#bbbbbb",
    "read": "#7fb0dc",
    "predict": "#1f5fa8",
    "write": "#c98a1b",
}
NUMBER = r"([\d,]+(?:\.\d+)?)"
HEAD = re.compile(rf"^{NUMBER} series\s+whole s")
LINE = re.compile(
    r"^(?P<name>(?:gigacast|script|AutoGluon).*?)\s+"
    + r"\s+".join([NUMBER] * 3 + [r"\|", *[NUMBER] * 3, r"\|", *[NUMBER] * 4, r"\|", NUMBER])
)

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a result file, JSON or printed."""
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text)["rows"] if path.suffix == ".json" else list(parse_table(text))
    if not rows:
        raise SystemExit(f"{path}: no rows of end_to_end.py in it")
    return [{**row, "way": way_of(row["name"])} for row in rows]


def parse_table(text: str) -> Iterator[Row]:
    """Yield the rows of printed tables."""
    series = 0
    for line in text.splitlines():
        if head := HEAD.match(line):
            series = int(head[1].replace(",", ""))
        elif row_match := LINE.match(line):
            values = [float(value.replace(",", "")) for value in row_match.groups()[1:]]
            whole_s, _, _, work, _, _, load, read, predict, write, peak = values
            stages = {"load": load, "read": read, "predict": predict, "write": write, "work": work}
            row = {
                "series": series,
                "name": row_match["name"],
                "whole_s": whole_s,
                "peak_mib": peak,
            }
            yield {**row, "stages": stages}


def way_of(name: str) -> str:
    """Return a way without its batch size or number of processes."""
    kind, _, details = name.partition(", ")
    if kind == "gigacast" or "bfloat16" in details:
        return f"{kind}, {details.split(',')[0]}"
    if "(default)" in details:
        return "script, default batch"
    return "script, best batch" if "(best)" in details else name


def with_best(rows: list[Row]) -> list[Row]:
    """Add the best batch where it is the default one, which was measured only once."""
    measured = {(row["way"], row["series"]) for row in rows}
    also = [
        {**row, "way": "script, best batch"}
        for row in rows
        if row["way"] == "script, default batch"
        and ("script, best batch", row["series"]) not in measured
    ]
    return rows + also


def by_way(rows: list[Row]) -> dict[str, dict[int, Row]]:
    """Return the rows by way and size, ways in the order of `WAYS`, sizes ascending."""
    rows_by_way: dict[str, dict[int, Row]] = {way: {} for way in WAYS}
    for row in sorted(rows, key=lambda row: row["series"]):
        rows_by_way.setdefault(row["way"], {})[row["series"]] = row
    return {way: sizes for way, sizes in rows_by_way.items() if sizes}


def ratios(ways: dict[str, dict[int, Row]], way: str) -> dict[int, float]:
    """Return the speed of each way from start to end, relative to the better float32 script."""
    scripts = [ways[name] for name in ways if name.endswith("batch")]
    best = {
        size: min(script[size]["whole_s"] for script in scripts if size in script)
        for size in ways[way]
        if any(size in script for script in scripts)
    }
    return {size: best[size] / ways[way][size]["whole_s"] for size in best}


def colour(way: str) -> str:
    return WAYS.get(way, "#666666")


def draw_speed(ways: dict[str, dict[int, Row]], target: Path) -> None:
    figure, (speed_panel, ratio_panel) = plt.subplots(1, 2, figsize=(9, 3.2))
    for way, sizes in ways.items():
        rate = [size / row["whole_s"] for size, row in sizes.items()]
        speed_panel.plot(list(sizes), rate, marker="o", color=colour(way), label=way)
    speed_panel.set(title="series/s, from start to end", xscale="log", ylim=(0, None))
    speed_panel.legend(fontsize=7, frameon=False)
    for way in [way for way in ways if not way.endswith("batch")]:
        speedups = ratios(ways, way)
        ratio_panel.plot(
            list(speedups), list(speedups.values()), marker="o", color=colour(way), label=way
        )
    ratio_panel.axhline(1, color=WAYS["script, best batch"], linewidth=1)
    ratio_panel.set(title="times the better float32 script", xscale="log", ylim=(0, None))
    finish(figure, (speed_panel, ratio_panel), target / "speed.png")


def draw_memory(ways: dict[str, dict[int, Row]], target: Path) -> None:
    figure, panel = plt.subplots(figsize=(4.5, 3.2))
    for way, sizes in ways.items():
        peaks = [row["peak_mib"] for row in sizes.values()]
        panel.plot(list(sizes), peaks, marker="o", color=colour(way), label=way)
    panel.set(title="peak MiB of the largest process", xscale="log", ylim=(0, None))
    panel.legend(fontsize=7, frameon=False)
    finish(figure, (panel,), target / "memory.png")


def draw_stages(ways: dict[str, dict[int, Row]], target: Path) -> None:
    """Draw seconds by stage at the largest size that all ways share."""
    shared = max(set.intersection(*(set(sizes) for sizes in ways.values())))
    figure, panel = plt.subplots(figsize=(6, 0.45 * len(ways) + 1.1))
    names = list(ways)[::-1]
    start = [0.0] * len(names)
    for stage, shade in STAGES.items():
        seconds = [stage_seconds(ways[way][shared])[stage] for way in names]
        panel.barh(names, seconds, left=start, color=shade, label=stage, height=0.6)
        start = [before + more for before, more in zip(start, seconds, strict=True)]
    panel.set(title=f"seconds by stage, {shared:,} series")
    panel.legend(fontsize=7, frameon=False, ncols=len(STAGES))
    finish(figure, (panel,), target / "stages.png", size_axis=False)


def stage_seconds(row: Row) -> dict[str, float]:
    """Return the seconds of each stage, and the rest of the whole: imports, loading, planning.

    Gigacast's stages overlap, so with more than one core the rest may be 0.
    """
    measured = {stage: row["stages"].get(stage, 0.0) for stage in ("read", "predict", "write")}
    remaining_s = max(0.0, row["whole_s"] - sum(measured.values()))
    return {"starting and rest": remaining_s, **measured}


def finish(figure: Any, panels: tuple[Any, ...], path: Path, *, size_axis: bool = True) -> None:
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.title.set_fontsize(10)
        if size_axis:
            panel.set_xlabel("series", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="*", default=[RESULTS])
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--join", type=Path, help="write the rows of all files there")
    options = parser.parse_args()
    rows = [row for path in options.files for row in read_rows(path)]
    ways = by_way(with_best(rows))
    if options.join:
        joined = [row for sizes in by_way(rows).values() for row in sizes.values()]
        options.join.write_text(json.dumps({"rows": joined}, indent=1) + "\n", encoding="utf-8")
    options.target.mkdir(parents=True, exist_ok=True)
    for draw in (draw_speed, draw_memory, draw_stages):
        draw(ways, options.target)


if __name__ == "__main__":
    main()
