"""YAML whose aliases multiply it is refused at once, wherever YAML is read."""

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.cli.program import run
from gigacast.core.record import Source, decode_yaml, encode_yaml
from gigacast.errors import ConfigError

SOURCE = Source("x.yaml", ConfigError)


def doubled(value: str, levels: int = 60) -> str:
    lines = [f"a0: &a0 {value}"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


def merged(levels: int = 12) -> str:
    lines = ["a0: &a0 {k: v}"]
    for n in range(1, levels):
        ten = ", ".join([f"*a{n - 1}"] * 10)
        lines.append(f"a{n}: &a{n} {{<<: [{ten}]}}")
    return "\n".join(lines)


BOMBS = {
    "lists": doubled("[x]"),
    "texts": f"a: &a {'x' * 1000}\nb: &b [{', '.join(['*a'] * 1000)}]\n"
    f"c: [{', '.join(['*b'] * 1000)}]",
    "mappings": doubled("{k: v}"),
    "merge keys": merged(),
    "itself": "a: &a [*a]",
    "itself in a mapping": "&a {b: {c: *a}}",
    "keys": f"a: &a {'x' * 100_000}\nb: [{', '.join(['{*a : 1}'] * 1000)}]",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_in_little_time_and_memory(kind: str) -> None:
    tracemalloc.start()
    before = time.process_time()
    with pytest.raises(ConfigError, match=r"^x.yaml") as caught:
        decode_yaml(BOMBS[kind], SOURCE)
    assert len(caught.value.message) < 500
    assert time.process_time() - before < 5
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("data validate {rows} --schema {file}", "name"),
        ("data features {rows} features/v1/x --recipe {file} --bucket file://{folder}", "keep"),
        ("plan --config {file} --bucket file://{folder}", "run"),
        ("train pretrain --recipe {file} --output {folder}/out", "seed"),
    ],
)
def test_no_command_expands_a_bomb(
    command: str, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "bomb.yaml").write_text(f"{doubled('[x]')}\n{field}: *a59\n")
    text = command.format(rows=tmp_path / "rows.csv", file=tmp_path / "bomb.yaml", folder=tmp_path)
    assert run(text.split()) == 2
    err = capsys.readouterr().err
    assert "multiply" in err
    assert len(err) < 1000


letters = st.text("ab: -&*<", max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | letters,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(letters, inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_is_written_is_read_back(value: object) -> None:
    # The writer makes aliases for equal lists that are the same object.
    assert decode_yaml(encode_yaml([value, value]), SOURCE) == [value, value]


def test_aliases_and_merge_keys_of_settings_still_work() -> None:
    text = "base: &base {a: 1, b: [x, y]}\nmine: {<<: *base, a: 2}\nsame: *base\nempty: &e []\n"
    text += "more: [*e, *e]\n"
    assert decode_yaml(text, SOURCE) == {
        "base": {"a": 1, "b": ["x", "y"]},
        "mine": {"a": 2, "b": ["x", "y"]},
        "same": {"a": 1, "b": ["x", "y"]},
        "empty": [],
        "more": [[], []],
    }
    assert decode_yaml("", SOURCE) is None
    assert decode_yaml(b"a: 1", SOURCE) == {"a": 1}
