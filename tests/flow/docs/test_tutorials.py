"""The tutorials run as they are written, as pages and as notebooks."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flow.docs.page_data import PREPARATIONS
from tests.flow.docs.pages import Example, PageRunner
from tools.notebooks import TUTORIALS, cells_of, notebook_of

PAGES = sorted(TUTORIALS.glob("*.md"))


def test_there_is_a_tutorial_for_each_of_three_people() -> None:
    assert [page.stem for page in PAGES] == ["energy", "platform", "retail"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_notebook_is_its_page(page: Path) -> None:
    notebook = page.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert notebook == notebook_of(page.read_text(encoding="utf-8")), (
        "run `python -m tools.notebooks --write`"
    )


def test_blocks_become_cells() -> None:
    page = (
        "# A\n\n```sh\ngigacast plan \\\n  --json\nmkdir -p a\n```\n\nB\n\n```python\nx = 1\n```\n"
    )
    assert [*cells_of(page)] == [
        ("markdown", "# A"),
        ("code", "!gigacast plan   --json\n!mkdir -p a"),
        ("markdown", "B"),
        ("code", "x = 1"),
    ]
    marked = "A\n\n<!-- not run: needs AWS -->\n```sh\ngigacast submit\n```\n\nB\n"
    assert [*cells_of(marked)] == [("markdown", "A\n\n```sh\ngigacast submit\n```\n\nB")]


def examples_of(notebook: dict[str, Any]) -> list[Example]:
    """Return the cells of code of a notebook as examples of a page."""
    examples = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            is_shell = text.startswith("!")
            text = "\n".join(line.removeprefix("!") for line in text.splitlines()) + "\n"
            examples.append(Example("sh" if is_shell else "python", text, {}))
    return examples


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_cells_of_a_notebook_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    notebook = json.loads(page.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    for prepare in PREPARATIONS[page.stem]:
        prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    # The pages name no model. The shipped one takes most of a minute's processor time for them.
    monkeypatch.setenv("GIGACAST_MODEL__MODEL_PATH", "seasonal-naive")
    runner = PageRunner(tmp_path, capsys)
    try:
        for example in examples_of(notebook):
            runner.run(example)
    finally:
        runner.close()
