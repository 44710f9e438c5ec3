"""The runner of examples: what it reads of a page, and what it refuses."""

from pathlib import Path

import pytest

from tests.flow.docs.pages import Example, PageRunner, read_examples, split_commands

PAGE = """
# Page

<!-- exit: 2 -->
```sh
gigacast plan
```

Text with `code`.

<!-- not run: needs the hub -->
```python
fetch()
```

```text
done
```
"""


@pytest.fixture
def runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> PageRunner:
    monkeypatch.chdir(tmp_path)
    return PageRunner(tmp_path, capsys)


def example(language: str, text: str, **marks: str) -> Example:
    return Example(language, text, marks)


def test_examples_are_read_with_the_marks_before_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert read_examples(page) == [
        example("sh", "gigacast plan\n", exit="2"),
        Example("python", "fetch()\n", {"not run": "needs the hub"}),
        example("text", "done\n"),
    ]


def test_commands_go_on_after_a_backslash_and_end_at_a_comment() -> None:
    text = "gigacast plan \\\n  --years 2024   # what is left\n# a comment\nmkdir -p 'a b'\n"
    assert split_commands(text) == [["gigacast", "plan", "--years", "2024"], ["mkdir", "-p", "a b"]]


@pytest.mark.parametrize(
    "wrong",
    [
        example("sh", "gigacast plan --no_such_flag\n"),
        example("sh", "gigacast --version\n", exit="2"),
        example("sh", "curl https://example.com\n"),
        example("python", "assert False\n"),
    ],
)
def test_an_example_that_does_not_do_as_the_page_says_fails(
    runner: PageRunner, wrong: Example
) -> None:
    with pytest.raises(AssertionError):
        runner.run(wrong)


def test_the_shown_output_must_be_in_the_output(runner: PageRunner) -> None:
    runner.run(example("python", "print('partitions  2 done')\n"))
    runner.run(example("text", "partitions * done\n"))
    with pytest.raises(AssertionError):
        runner.run(example("text", "partitions 3 done\n"))


def test_a_block_of_yaml_that_names_a_file_is_written_to_it(
    runner: PageRunner, tmp_path: Path
) -> None:
    runner.run(example("yaml", "# config/a.yaml\nkey: 1\n"))
    assert (tmp_path / "config" / "a.yaml").read_text() == "# config/a.yaml\nkey: 1\n"
