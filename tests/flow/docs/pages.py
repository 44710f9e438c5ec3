"""Pages of the documentation: their examples, and how an example is run.

An example is a fenced block. ``sh`` and ``python`` blocks are run in the order of the page; a
``yaml`` or ``python`` block whose first line is a comment with a file's name is written to that
file; the lines of a ``text`` block must be in the output of the block before it, ``*`` standing
for any text. A command that ends with ``&`` is a server, which runs until ``kill %1``.
A comment before a block changes this: ``<!-- not run: reason -->`` or ``<!-- exit: 1 -->``.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gigacast.cli.program import run

_BLOCK = re.compile(
    r"^((?:<!-- [^\n]* -->\n)*)```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)
_MARK = re.compile(r"<!-- (not run|exit): *([^\n]*?) *-->")
_PORT = 8080
ROOT = Path(__file__).parents[3]
_PROGRAMS = (["gigacast"], ["python", "main.py"])


class Example(NamedTuple):
    """A fenced block of a page and the marks before it."""

    language: str
    text: str
    marks: dict[str, str]


def read_examples(path: Path) -> list[Example]:
    """Return the fenced blocks of a page."""
    blocks = _BLOCK.findall(path.read_text(encoding="utf-8"))
    return [Example(language, text, dict(_MARK.findall(marks))) for marks, language, text in blocks]


def file_of(example: Example) -> str | None:
    """Return the name of the file that a block is the content of."""
    first = example.text.partition("\n")[0]
    name = re.fullmatch(r"# ([\w./-]+\.(?:yaml|py))", first)
    return name[1] if name is not None else None


def split_commands(text: str) -> list[list[str]]:
    """Return the words of each command of a shell block, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


class PageRunner:
    """Runs the examples of one page in the current folder.

    The name ``my-bucket`` becomes a folder, and several processes become one: nothing else of an
    example is changed.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self._names: dict[str, Any] = {}
        self._output = ""
        self._port = _free_port()
        self._server: subprocess.Popen[str] | None = None

    def run(self, example: Example) -> None:
        """Run one example, or check it against the output of the one before."""
        if example.language == "sh":
            self._run_commands(example)
        elif file_of(example) is not None or example.language == "yaml":
            self._write_file(example)
        elif example.language == "python":
            self._run_code(example.text)
        elif example.language == "text":
            self._compare_output(example.text)

    def _run_commands(self, example: Example) -> None:
        for words in split_commands(example.text):
            code = self._run_command([self._placed(word) for word in words])
            captured = self._capsys.readouterr()
            self._output = captured.out
            assert code == int(example.marks.get("exit", 0)), (words, captured.out, captured.err)

    def close(self) -> None:
        """End the server of the page, if it still runs."""
        if self._server is not None:
            self._end_server()

    def _run_command(self, words: list[str]) -> int:
        if words[-1] == "&":
            return self._start_server(words[:-1])
        if words == ["kill", "%1"]:
            return self._end_server()
        if words[0] == "curl":
            process = subprocess.run(words, capture_output=True, text=True, check=False)
            sys.stdout.write(process.stdout)
            return process.returncode
        for program in _PROGRAMS:
            if words[: len(program)] == program:
                return run(_one_process(words[len(program) :]))
        assert words[:2] == ["mkdir", "-p"], f"{words}: mark it as not run, and say why"
        Path(words[2]).mkdir(parents=True, exist_ok=True)
        return 0

    def _start_server(self, words: list[str]) -> int:
        assert words[0] == "gigacast", f"{words}: no other server is known"
        command = [sys.executable, "-m", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._server.stdout is not None
        sys.stdout.write(self._server.stdout.readline())
        return self._server.poll() or 0

    def _end_server(self) -> int:
        server, self._server = self._server, None
        assert server is not None
        assert server.stdout is not None
        server.terminate()
        server.stdout.close()
        return server.wait(30)

    def _run_code(self, text: str) -> None:
        code = text.replace('"my-bucket"', f'"{self._placed("my-bucket")}"')
        code = code.replace(f":{_PORT}", f":{self._port}")
        exec(compile(re.sub(r"n_jobs=\d+", "n_jobs=1", code), "page", "exec"), self._names)
        self._output = self._capsys.readouterr().out

    def _write_file(self, example: Example) -> None:
        name = file_of(example)
        if name is not None:
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(example.text, encoding="utf-8")

    def _compare_output(self, text: str) -> None:
        lines = [" ".join(line.split()) for line in self._output.splitlines()]
        for expected_line in text.splitlines():
            pattern = " ".join(expected_line.split())
            assert any(fnmatchcase(line, pattern) for line in lines), (expected_line, self._output)

    def _placed(self, word: str) -> str:
        word = word.replace("$PWD", str(self._folder))
        # The port of the page may be in use on the machine of the tests.
        word = re.sub(rf"(^|:){_PORT}\b", rf"\g<1>{self._port}", word)
        return f"file://{self._folder}/my-bucket" if word == "my-bucket" else word


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _one_process(words: list[str]) -> list[str]:
    jobs = [n + 1 for n, word in enumerate(words) if word == "--n_jobs"]
    return ["1" if n in jobs else word for n, word in enumerate(words)]
