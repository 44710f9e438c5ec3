"""Verdicts of earlier runs, which hold until the module or its tests change."""

import hashlib
import json
from dataclasses import astuple
from pathlib import Path

from tools.mutants.mutate import Mutant
from tools.mutants.targets import Target


class Memory:
    """Verdicts in a file of JSON, which is written after each.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: dict[str, str] = {}
        self._verdicts: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def find(self, target: Target, mutant: Mutant) -> str | None:
        """Return the verdict of an earlier run, if module and tests are as they were."""
        return self._verdicts.get(self._key(target, mutant))

    def add(self, target: Target, mutant: Mutant, verdict: str) -> None:
        """Keep a verdict."""
        self._verdicts[self._key(target, mutant)] = verdict
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._verdicts, indent=0, sort_keys=True))
        # A run that is killed here leaves the former file.
        draft.replace(self._path)

    def _key(self, target: Target, mutant: Mutant) -> str:
        if target.module not in self._digests:
            texts = [target.source, *(Path(test).read_text() for test in target.tests)]
            self._digests[target.module] = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        return json.dumps([*astuple(mutant), self._digests[target.module]])
