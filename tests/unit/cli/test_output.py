"""Text to people has one way to the terminal, on which control characters are taken out."""

import ast
from pathlib import Path

import pytest

from gigacast.cli.program import run

ROOT = Path(__file__).resolve().parents[3] / "lib" / "gigacast"
# Help and scripts for shells are our own. JSON has a printer, since it leaves C1 and marks of
# direction as they are.
FOR_PROGRAMS = {"context.get_help", "complete.source"}
PRINTERS = {"report/terminal.py", "report/progress.py"}


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.stem)
def test_text_for_people_is_printed_only_by_the_terminal_module(path: Path) -> None:
    module = path.relative_to(ROOT).as_posix()
    for call in calls(path):
        name = ast.unparse(call.func)
        assert name != "print" or module in PRINTERS, f"{module}:{call.lineno} prints by itself"
        if name in {"click.echo", "click.secho"}:
            content = call.args[0]
            source = ast.unparse(content.func) if isinstance(content, ast.Call) else "text"
            assert source in FOR_PROGRAMS, f"{module}:{call.lineno}: use report.terminal.say"


def test_an_error_about_a_hostile_name_shows_its_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--bucket", "file:///nowhere/\x1b[2Jcleared"]) == 2
    err = capsys.readouterr().err
    assert r"\x1b[2Jcleared" in err
    assert "\x1b" not in err
