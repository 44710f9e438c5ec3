"""The documentation names what is there: packages, keys, libraries, settings, paths and links."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from gigacast.lake import feature_layout, layout
from gigacast.settings.model import Settings
from tests.unit.test_walls import WALLS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "lib" / "gigacast"
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.rglob("*.md")),
    *PACKAGE.rglob("README.md"),
]
SUPERSEDED = {"0003-layers.md"}
"""Records of what was: they are not edited, so they name modules that have moved."""
PLACES = (PACKAGE, ROOT, ROOT / "lib", DOCS)
FOLDERS = ("tests/", "handler/", "infra/", "docs/", "config/", "benchmarks/", "lib/", "tools/")


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def packages() -> list[str]:
    folders = [path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
    return sorted(str(folder.relative_to(PACKAGE)) for folder in folders)


@pytest.mark.parametrize("package", packages())
def test_the_architecture_names_every_package(package: str) -> None:
    if "/" in package:
        assert f"`{package}/`" in ARCHITECTURE
    else:
        assert re.search(rf"^    (.* \| )?{package}( |$)", ARCHITECTURE, flags=re.MULTILINE)


def test_the_architecture_draws_the_layers_that_are_checked() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:layers"]["layers"].split("\n")
    drawn = re.findall(r"^    (\w+(?: \| \w+)*)(?:  .*)?$", ARCHITECTURE, flags=re.MULTILINE)
    assert [layer for layer in drawn if layer in layers] == [layer for layer in layers if layer]


def key_roots() -> list[str]:
    names = [
        value
        for module in (layout, feature_layout)
        for name, value in vars(module).items()
        if name.isupper()
    ]
    texts = [value for value in names if isinstance(value, str)]
    return sorted({*texts, *layout.RESERVED, layout.lease_key()})


@pytest.mark.parametrize("root", key_roots())
def test_the_architecture_names_every_root_of_keys(root: str) -> None:
    assert re.search(rf"[`/]{re.escape(root)}", ARCHITECTURE)


@pytest.mark.parametrize("library", WALLS)
def test_the_architecture_says_where_a_library_may_be_imported(library: str) -> None:
    row = next(row for row in ARCHITECTURE.splitlines() if f"`{library}`" in row)
    named = re.findall(r"`([\w/]+(?:\.py|/))`", row)
    allowed = re.compile(WALLS[library])
    assert "$never" in WALLS[library] or any(allowed.match(path) for path in named)


def settings_keys(section: type[BaseModel] = Settings) -> Iterator[str]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_keys(kind)
        else:
            yield name


@pytest.mark.parametrize("key", sorted(set(settings_keys())))
def test_every_setting_is_in_the_guide(key: str) -> None:
    page = (DOCS / "guide" / "settings.md").read_text(encoding="utf-8")
    assert re.search(rf"[`.]{key}`", page)


def named_paths(text: str) -> set[str]:
    """Return the modules, and the folders of this repository, that a page names."""
    modules = re.findall(r"(?<![\w./{*-])[\w.-]+(?:/[\w.*-]+)*\.py\b(?!\w)", text)
    folders = re.findall(rf"`((?:{'|'.join(FOLDERS)})[\w./-]*)`", text)
    return {path for path in [*modules, *folders] if not re.search("[A-Z]{4,}/", path)}


def written_files(text: str) -> set[str]:
    """Return the files that the examples of a page write: those named in a block's first line."""
    return set(re.findall(r"^```python\n# ([\w./-]+\.py)$", text, flags=re.MULTILINE))


def is_there(path: str) -> bool:
    if "/" not in path and any(any(place.rglob(path)) for place in (PACKAGE, ROOT / "tests")):
        return True  # a module by its bare name, as "a slice with run.py and partition.py"
    return any(any(place.glob(path.rstrip("/"))) for place in PLACES)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in SUPERSEDED], ids=page_name
)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = named_paths(text) - written_files(text)
    assert sorted(path for path in paths if not is_there(path)) == []


def test_every_path_on_the_page_where_do_i_find_exists() -> None:
    text = (DOCS / "where.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in text.splitlines() if row.count("|") == 3]
    answers = [
        answer for _, question, answer, _ in rows if question.strip() not in {"question", "---"}
    ]
    assert len(answers) >= 20
    for answer in answers:
        paths = [
            path for path in re.findall(r"`([\w./]+)`", answer) if "/" in path or ".py" in path
        ]
        assert paths, answer
        assert [path for path in paths if not is_there(path)] == []


def test_every_decision_has_a_number_of_its_own_and_stands_in_the_index() -> None:
    records = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d{4}\]\((.*?)\)", index, flags=re.MULTILINE) == records
    assert [record[:4] for record in records] == [f"{n + 1:04}" for n in range(len(records))]


def heading_anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    broken = []
    for target in targets:
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in heading_anchors(path)):
            broken.append(target)
    assert broken == []
