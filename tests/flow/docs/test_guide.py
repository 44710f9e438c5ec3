"""The examples of the documentation run as they are written, and no command is left out."""

import re
from pathlib import Path

import click
import pytest

from gigacast.cli.program import program
from tests.flow.docs.page_data import PREPARATIONS
from tests.flow.docs.pages import PageRunner, read_examples

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guide"
LIBRARY = ROOT / "lib" / "gigacast"
PAGES = [ROOT / "README.md", ROOT / "docs" / "synthetic.md", *sorted(GUIDE.glob("*.md"))]
RUNNABLE = {"sh", "python"}


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_examples_of_a_page_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for prepare in PREPARATIONS.get(page.stem, ()):
        prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    runner = PageRunner(tmp_path, capsys)
    try:
        for example in read_examples(page):
            if "not run" not in example.marks:
                runner.run(example)
    finally:
        runner.close()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_an_example_that_is_not_run_says_why(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    examples = read_examples(page)
    reasons = [example.marks["not run"] for example in examples if "not run" in example.marks]
    assert all(reasons)
    assert len(reasons) == text.count("<!-- not run")  # no mark that belongs to no example
    assert len(examples) * 2 == len(re.findall("^```", text, flags=re.MULTILINE))


def commands(group: click.Group = program, path: str = "") -> dict[str, click.Command]:
    """Return every command by the words that lead to it, those of groups included."""
    by_name: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        by_name[words] = command
        if isinstance(command, click.Group):
            by_name |= commands(command, words)
    return by_name


def test_every_command_and_flag_is_in_the_guide() -> None:
    guide = "\n".join(path.read_text(encoding="utf-8") for path in GUIDE.glob("*.md"))
    missing = [
        word
        for name, command in commands().items()
        for word in [name, *(o for p in command.params for o in p.opts if o.startswith("--"))]
        if f"`{word}" not in guide
    ]
    assert sorted(set(missing)) == []


def test_every_command_has_an_example() -> None:
    """Also the commands that need AWS or the hub: their examples are shown, but not run."""
    text = "\n".join(
        example.text.replace("\\\n", " ")
        for page in PAGES
        for example in read_examples(page)
        if example.language == "sh"
    )
    leaves = [name for name, command in commands().items() if not isinstance(command, click.Group)]
    assert [name for name in leaves if not re.search(rf"gigacast {name}\b", text)] == []


def test_messages_and_errors_on_the_page_of_troubles_are_in_the_code() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py"))
    rows = (GUIDE / "troubles.md").read_text(encoding="utf-8").splitlines()
    quoted = [re.match(r"\| `([^`]*)`", row) for row in rows]
    messages = [match[1].removeprefix("N ") for match in quoted if match is not None]
    assert len(messages) >= 7
    assert [message for message in messages if message not in source] == []
