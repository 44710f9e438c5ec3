"""Notebooks of the tutorials, made from their pages: ``python -m tools.notebooks --write``.

A page is the source: its text becomes cells of Markdown, its Python cells of code, and its commands
lines that begin with ``!``. Examples that are not run stay text.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
_BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^\n]*-->\n)?^```(?P<language>sh|python)\n(?P<text>.*?)^```\n",
    flags=re.DOTALL | re.MULTILINE,
)


def cells_of(page: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of each cell of a page."""
    place = 0
    text = ""
    for block in _BLOCK.finditer(page):
        text += page[place : block.start()]
        place = block.end()
        if block["mark"]:
            text += block[0].removeprefix(block["mark"])
            continue
        if text.strip():
            yield "markdown", text.strip()
        text = ""
        yield "code", _code(block["language"], block["text"].strip())
    text += page[place:]
    if text.strip():
        yield "markdown", text.strip()


def _code(language: str, text: str) -> str:
    if language == "python":
        return text
    return "\n".join(f"!{line}" for line in text.replace("\\\n", "").splitlines())


def notebook_of(page: str) -> str:
    """Return a page as a notebook (nbformat 4.5), without outputs."""
    cells: list[dict[str, Any]] = []
    for number, (kind, text) in enumerate(cells_of(page)):
        more: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
        source = text.splitlines(keepends=True)
        name = f"cell-{number}"
        cells.append({"cell_type": kind, "id": name, "metadata": {}, **more, "source": source})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the notebooks, or say which differ from their pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the notebooks")
    write = parser.parse_args().write
    different = []
    for page in sorted(TUTORIALS.glob("*.md")):
        notebook = page.with_suffix(".ipynb")
        text = notebook_of(page.read_text(encoding="utf-8"))
        if notebook.is_file() and notebook.read_text(encoding="utf-8") == text:
            continue
        different.append(notebook.name)
        if write:
            notebook.write_text(text, encoding="utf-8")
    sys.stdout.write("".join(f"{name}\n" for name in different))
    return int(bool(different) and not write)


if __name__ == "__main__":
    sys.exit(main())
