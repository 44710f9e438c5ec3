"""What a release is made of: its bill of materials, known vulnerabilities, and hashes.

``make sbom``, ``make audit`` and ``make hashes`` run it by an environment of its own with the
standard tools, cyclonedx-py and pip-audit. Results are in ``dist/`` and name no address: where
packages come from is set on the machine that installs them.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = "constraints.txt"
DIST = ROOT / "dist"
AGAIN = 75
"""Exit code without a verdict: the same command gives one where the service can be reached."""

Call = Callable[[Sequence[str]], str]


def call(words: Sequence[str]) -> str:
    """Run a program in the project's folder and return its output, also of one that fails."""
    program = str(Path(sys.executable).parent / words[0])
    ended = subprocess.run(  # noqa: S603 - words of this module
        [program, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if ended.returncode and not ended.stdout:
        raise SystemExit(f"{words[0]}: {ended.stderr.strip()[-500:]}")
    return ended.stdout


def write_sbom(run: Call = call, folder: Path = DIST) -> int:
    """Write the bill of materials of the pinned packages in the form of CycloneDX."""
    words = ["cyclonedx-py", "requirements", CONSTRAINTS, "--pyproject", "pyproject.toml"]
    bill = json.loads(run([*words, "--output-reproducible", "--output-format", "JSON"]))
    for component in [bill.get("metadata", {}).get("component", {}), *bill["components"]]:
        component.pop("description", None)
    # Assumed addresses: the name and version of the package identify it. That of the schema names
    # the form.
    bill = {k: v if k == "$schema" else _without_addresses(v) for k, v in bill.items()}
    folder.mkdir(exist_ok=True)
    (folder / "sbom.json").write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")
    _say(f"dist/sbom.json: {len(bill['components'])} packages")
    return 0


def _without_addresses(value: Any) -> Any:
    """Return plain values without references and without texts that hold an address."""
    if isinstance(value, list):
        return [_without_addresses(child) for child in value if not _is_address(child)]
    if not isinstance(value, dict):
        return value
    kept = {k: v for k, v in value.items() if k != "externalReferences" and not _is_address(v)}
    return {name: _without_addresses(child) for name, child in kept.items()}


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and "://" in value


def audit(run: Call = call) -> int:
    """Look the pinned packages up among the known vulnerabilities.

    Returns
    -------
    int
        0 if all were looked up and none is known, 1 if one is known, 75 without a verdict.
    """
    words = ["pip-audit", "--requirement", CONSTRAINTS, "--no-deps", "--disable-pip"]
    report = json.loads(run([*words, "--format", "json", "--progress-spinner", "off"]))
    packages = report["dependencies"]
    vulnerable = [p for p in packages if p.get("vulns")]
    # pip-audit ends with 0 also if it could look up nothing.
    unknown = [p["name"] for p in packages if "skip_reason" in p]
    for package in vulnerable:
        for flaw in package["vulns"]:
            fixed = ", ".join(flaw["fix_versions"]) or "none yet"
            _say(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
    if vulnerable:
        return 1
    if unknown or not packages:
        _say(
            f"{len(unknown)} of {len(packages)} packages could not be looked up, as "
            f"{', '.join(unknown[:3])}: run it where the database of vulnerabilities is reachable"
        )
        return AGAIN
    _say(f"{len(packages)} packages without a known vulnerability")
    return 0


def write_hashes(run: Call = call, folder: Path = DIST) -> int:
    """Write the packages that the product needs, each with the hash of the file that pip chose.

    ``pip install --require-hashes -r dist/requirements.txt`` then takes no other file, from
    whichever index; ``pip install --no-deps`` adds the product itself.

    Returns
    -------
    int
        1 if the index gives no hash for a package.
    """
    words = ["pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = json.loads(run([*words, "--constraint", CONSTRAINTS, "."]))
    lines, without = [], []
    for entry in report["install"]:
        if entry["download_info"].get("dir_info") is not None:
            continue  # the product itself
        name = f"{entry['metadata']['name']}=={entry['metadata']['version']}"
        digest = _hash_of(entry["download_info"])
        lines.append(f"{name} --hash=sha256:{digest}")
        if digest is None:
            without.append(name)
    if without:
        _say(f"the index gives no SHA-256 for {', '.join(without)}: use another one")
        return 1
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in sorted(lines)))
    _say(f"dist/requirements.txt: {len(lines)} packages with their hashes")
    return 0


def _hash_of(download: dict[str, Any]) -> str | None:
    digest = download.get("archive_info", {}).get("hashes", {}).get("sha256")
    return None if digest is None else str(digest)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the three."""
    parser = argparse.ArgumentParser(prog="python -m tools.supply", description=__doc__)
    parser.add_argument("job", choices=("sbom", "audit", "hashes"))
    jobs = {"sbom": write_sbom, "audit": audit, "hashes": write_hashes}
    return jobs[parser.parse_args(arguments).job]()


if __name__ == "__main__":
    sys.exit(main())
