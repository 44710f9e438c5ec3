"""The bill of materials, the audit and the hashes of a release say what the tools found."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tools.supply import AGAIN, ROOT, audit, write_hashes, write_sbom


def answers(value: Any, commands: list[Sequence[str]] | None = None) -> Any:
    def run(words: Sequence[str]) -> str:
        if commands is not None:
            commands.append(words)
        return json.dumps(value)

    return run


def package(name: str, *flaws: str, **more: Any) -> dict[str, Any]:
    vulns = [{"id": flaw, "fix_versions": ["2.0"]} for flaw in flaws]
    return {"name": name, "version": "1.0", "vulns": vulns, **more}


SKIPPED = {"name": "b", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([package("a"), package("b")], 0, "2 packages without"),
        ([package("a", "CVE-1"), package("b")], 1, "a 1.0: CVE-1, fixed in 2.0"),
        ([package("a", "CVE-1"), SKIPPED], 1, "CVE-1"),
        ([package("a"), SKIPPED], AGAIN, "1 of 2 packages could not be looked up, as b"),
        ([], AGAIN, "0 of 0"),
    ],
)
def test_an_audit_passes_only_if_every_package_was_looked_up(
    packages: list[Any], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(answers({"dependencies": packages})) == code
    assert says in capsys.readouterr().out


def test_a_bill_names_packages_and_no_address(tmp_path: Path) -> None:
    references = [{"type": "distribution", "url": "https://index/a"}]
    component = {"name": "a", "version": "1", "purl": "pkg:pypi/a@1"}
    bill = {
        "bomFormat": "CycloneDX",
        "$schema": "http://schema",
        "metadata": {
            "component": {"name": "gigacast", "externalReferences": references},
            # Those of the tool itself, and those that a property or a licence quotes.
            "tools": {"components": [{"name": "tool", "externalReferences": references}]},
            "properties": [{"name": "index", "value": "https://index/simple"}],
        },
        "components": [{**component, "externalReferences": references, "description": "line 1"}],
    }
    commands: list[Sequence[str]] = []
    assert write_sbom(answers(bill, commands), tmp_path / "dist") == 0
    text = (tmp_path / "dist" / "sbom.json").read_text()
    assert text.count("://") == 1
    assert json.loads(text)["$schema"] == "http://schema"
    assert json.loads(text)["metadata"]["tools"] == {"components": [{"name": "tool"}]}
    assert json.loads(text)["components"] == [component]
    assert "constraints.txt" in commands[0]


def entry(name: str, info: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "version": "1"}, "download_info": {"url": "u://x", **info}}


def test_hashes_are_those_of_the_files_and_the_product_has_none(tmp_path: Path) -> None:
    own = entry("gigacast", {"dir_info": {}})
    files = [entry(n, {"archive_info": {"hashes": {"sha256": n * 64}}}) for n in "ba"]
    assert write_hashes(answers({"install": [own, *files]}), tmp_path) == 0
    assert (tmp_path / "requirements.txt").read_text().splitlines() == [
        f"{name}==1 --hash=sha256:{name * 64}" for name in "ab"
    ]


def test_a_package_without_a_hash_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [entry("a", {"archive_info": {}})]
    assert write_hashes(answers({"install": files}), tmp_path) == 1
    assert "no SHA-256 for a==1" in capsys.readouterr().out
    assert [*tmp_path.iterdir()] == []


def test_every_package_is_pinned_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    names = [line.partition("==")[0].lower() for line in lines if line.strip()]
    assert all(line.count("==") == 1 for line in lines if line.strip())
    assert len(names) == len(set(names)) > 100
