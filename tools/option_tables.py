"""Write the texts that are made from the table of options: keyword types, tables of the guide.

``python -m tools.option_tables --write`` brings them up to date; ``--check`` names the files that
are not, and exits with 1. In Markdown a table stands between two marks::

    <!-- options: which amount -->
    <!-- end -->

The words are groups or names of settings (see `gigacast.settings.options`), classes of options of
single commands, as ``clean-flags`` (see `gigacast.settings.commands`), or ``finetune-shared`` for
the settings that mean something else to a command. In a mark that begins with ``settings:`` the
words are sections of the settings, as ``model`` or ``parquet_loader.audit``; the table has their
settings without a flag.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gigacast.settings.command.texts import setting_for
from gigacast.settings.commands import CLASSES, TEXTS, TRAIN_KEYWORDS
from gigacast.settings.flag import rows_of
from gigacast.settings.option import GROUPS, Option
from gigacast.settings.options import ARGUMENTS, KEYWORDS, OPTIONS, names_of

_SHARED = "-shared"
ROOT = Path(__file__).resolve().parents[1]
_MARK = re.compile(
    r"(?P<open><!-- (?P<kind>options|settings): (?P<words>[^>]*?) -->\n).*?(?P<close><!-- end -->)",
    re.DOTALL,
)
_KEYWORDS = '''"""Types of keyword arguments. Written by tools/option_tables.py: do not edit."""

from collections.abc import Sequence
{paths}from typing import TypedDict


{head}

{fields}
'''
_FORECASTING = '''class Options(TypedDict, total=False):
    """Keyword arguments of `forecast` and `plan`: the flags of the command line, by name.

    The environment, the settings file given as ``config``, and then the defaults decide on options
    that are left out. ``help(gigacast.forecast)`` describes each one.
    """'''
_TRAINING = '''class TrainOptions(TypedDict, total=False):
    """Keyword arguments of `finetune` and `ChronosTrainer.train`: the command's flags, by name.

    ``help(gigacast.finetune)`` describes each one.
    """'''


def write_texts(root: Path) -> dict[Path, str]:
    """Return the current text of every file with generated text, by path."""
    package = root / "lib" / "gigacast"
    texts = {
        package / "settings" / "keywords.py": write_keywords(_FORECASTING, KEYWORDS),
        package / "training" / "keywords.py": write_keywords(_TRAINING, TRAIN_KEYWORDS),
    }
    for path in find_pages(root):
        text = path.read_text(encoding="utf-8")
        if _MARK.search(text):
            texts[path] = fill_tables(text)
    return texts


def find_pages(root: Path) -> Iterator[Path]:
    """Yield the Markdown files of the documentation."""
    yield root / "README.md"
    yield from sorted((root / "docs").rglob("*.md"))


def write_keywords(head: str, options: Iterable[Option]) -> str:
    """Return a module with the types of keyword arguments."""
    fields = "\n".join(f"    {option.name}: {option.annotation}" for option in options)
    paths = "from pathlib import Path\n" if "Path" in fields else ""
    return _KEYWORDS.format(paths=paths, head=head, fields=fields)


def fill_tables(text: str) -> str:
    """Return a Markdown text with the tables between its marks written anew.

    Raises
    ------
    ValueError
        If a mark names neither a group nor an option nor a section.
    """

    def table(match: re.Match[str]) -> str:
        words = match["words"].split()
        rows = flag_table(words) if match["kind"] == "options" else setting_table(words)
        return f"{match['open']}{rows}\n{match['close']}"

    return _MARK.sub(table, text)


def flag_table(words: Iterable[str]) -> str:
    """Return the Markdown table of the flags of groups and options."""
    options = [option for word in words for option in _find_options(word)]
    rows = [(_flags(o), _setting(o), _default(o), _meaning(o)) for o in options]
    if any(option.path for option in options):
        return _table(("flag", "setting", "default", "meaning"), rows)
    return _table(("flag", "default", "meaning"), [(flag, *rest) for flag, _, *rest in rows])


def _find_options(word: str) -> Iterable[Option]:
    if word in CLASSES:
        return rows_of(CLASSES[word])
    if word.endswith(_SHARED):
        command = word.removesuffix(_SHARED)
        return [setting_for(command, name) for name in TEXTS[command]]
    names = names_of(word) if word in GROUPS else (word,)
    if not names or names[0] not in ARGUMENTS:
        raise ValueError(f"{word}: neither a group nor an option")
    return [ARGUMENTS[name] for name in names]


def setting_table(sections: Iterable[str]) -> str:
    """Return the Markdown table of the settings without a flag in some sections."""
    rows = []
    for section in sections:
        options = [o for o in OPTIONS if f"{o.setting}.".startswith(f"{section}.") and not o.name]
        if not options:
            raise ValueError(f"{section}: no section with settings that have no flag")
        rows += [(_setting(o), _default(o), _meaning(o)) for o in options]
    return _table(("setting", "default", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("|" + "".join(f" {cell} |" if cell else " |" for cell in row) for row in lines)


def _flags(option: Option) -> str:
    names = [option.name, *option.aliases]
    if option.has_no_form:
        names.append(f"no_{option.name}")
    return ", ".join(f"`{'--' if name[1:] else '-'}{name}`" for name in names)


def _setting(option: Option) -> str:
    return f"`{option.setting}`" if option.path else ""


def _default(option: Option) -> str:
    text = option.default_text.replace("|", "\\|")
    # A pattern of names is longer than a row of a table can be.
    is_shown = text and len(text) < 80 and not option.without_effect
    return f"`{text}`" if is_shown else ""


def _meaning(option: Option) -> str:
    if option.without_effect:
        return _cell(f"No effect: {option.without_effect}.")
    choices = ""
    if len(option.choices) > 1:
        choices = f" Choices: {', '.join(f'`{choice}`' for choice in option.choices)}."
    required = " Required." if option.is_required else ""
    return _cell(f"{option.help}{required}{choices} {option.details}")


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")


def find_stale(texts: Mapping[Path, str]) -> list[Path]:
    """Return the files whose text is not the current one."""
    return [
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Check or write the files; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="Name files that are out of date.")
    action.add_argument("--write", action="store_true", help="Bring files up to date.")
    arguments = parser.parse_args()
    texts = write_texts(ROOT)
    stale = find_stale(texts)
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if arguments.write:
            path.write_text(texts[path], encoding="utf-8")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
