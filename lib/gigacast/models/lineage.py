"""Why the figures of a version flatter it: it was made from what it is judged by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigacast.errors import ConfigError, ModelError
from gigacast.lake.model.registry import Registry

MOST_PARENTS = 32
"""Versions of a line that are looked at; nobody tunes a version more often than that."""
PORTFOLIO = "portfolio"
"""Kind of the source of versions that a selection has published."""
_TABLES = ("file", "table")
"""Kinds of training data without keys of a bucket."""


@dataclass(frozen=True)
class Seen:
    """What versions are judged by, to be compared with what they were trained on.

    Parameters
    ----------
    url : str
        Place of the inputs.
    inputs : frozenset of str
        Keys of the inputs.
    steps : int
        Steps at the end of each series that they are judged by.
    """

    url: str
    inputs: frozenset[str]
    steps: int

    def caveat(self, name: str, source: Mapping[str, Any]) -> str | None:
        """Return why the figures of a version flatter it; ``None`` if they do not.

        Parameters
        ----------
        name : str
            Model and version.
        source : mapping
            Origin of the version, see `ModelManifest`. It is read from the bucket: what is not of
            the form that training writes is no lineage.
        """
        if source.get("kind") == PORTFOLIO:
            return self._of_selection(name, source)
        record = _mapping(source.get("record"))
        data, settings = _mapping(record.get("data")), _mapping(record.get("settings"))
        unseen = settings.get("hold_out", 0)
        if source.get("kind") != "training" or (isinstance(unseen, int) and unseen >= self.steps):
            return None
        reason = _table_of(data) if data.get("kind") in _TABLES else self._of_inputs(data)
        if reason is None:
            return None
        remedy = f"train with --hold_out {self.steps} to judge it by what it has not seen"
        return f"{name} was trained on {reason}: {remedy}"

    def _of_inputs(self, data: Mapping[str, Any]) -> str | None:
        """Return what of the inputs a version was trained on; ``None`` for other inputs."""
        listed, url = data.get("inputs"), data.get("url")
        entries = listed if isinstance(listed, list) else []
        # A prefix may be a part of the place in one run and of the keys in another.
        places = {f"{url}/{_mapping(entry).get('key')}" for entry in entries}
        shared = sum(f"{self.url}/{key}" in places for key in self.inputs)
        if shared:
            return f"{shared} of these {len(self.inputs)} inputs, and its figures flatter it"
        count = data.get("objects")
        if url != self.url or not isinstance(count, int) or count <= len(entries):
            return None
        # Manifests list the first inputs only.
        return (
            f"{count:,} inputs of the same place, of which its manifest lists {len(entries):,}, "
            "and its figures flatter it if these are among them"
        )

    def _of_selection(self, name: str, source: Mapping[str, Any]) -> str | None:
        """Return that a portfolio is judged by what chose it; ``None`` for other inputs."""
        if source.get("inputs", self.url) != self.url:
            return None
        return (
            f"{name} was chosen by a backtest of these inputs, and its figures flatter it unless "
            f"{self.steps} steps have come since: the line `checked` of its selection does not"
        )


def find_caveats(
    registry: Registry, model: str, versions: Sequence[str], seen: Seen
) -> tuple[str, ...]:
    """Return why figures of versions flatter them, one reason for each at most.

    Parameters
    ----------
    registry : Registry
    model : str
    versions : sequence of str
    seen : Seen

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
    """
    lineages = (_lineage(registry, model, name) for name in dict.fromkeys(versions))
    texts_of = ((seen.caveat(name, source) for name, source in lineage) for lineage in lineages)
    # What a parent has seen, a version knows as well; the first of a line says enough.
    firsts = (next(filter(None, texts), None) for texts in texts_of)
    return tuple(text for text in firsts if text)


def _lineage(
    registry: Registry, model: str, version: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a version, the one that it was tuned from, and so on, each with its origin."""
    source: Mapping[str, Any] = registry.read(model, version).source
    name = own = f"{model}/{version}"
    for _ in range(MOST_PARENTS):
        yield (name if name == own else f"{own} comes from {name}, which"), source
        parent = _mapping(source.get("parent"))
        named = parent.get("model"), parent.get("version")
        try:
            manifest = registry.find(str(named[0]), str(named[1])) if all(named) else None
        # It may have been deleted since, or be a model of the package.
        except (ConfigError, ModelError):
            manifest = None
        if manifest is None:
            return
        name, source = f"{named[0]}/{named[1]}", manifest.source


def _table_of(data: Mapping[str, Any]) -> str:
    return f"a {data['kind']}, and its figures flatter it if that holds the ends of these inputs"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
