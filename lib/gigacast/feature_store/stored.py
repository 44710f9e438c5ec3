"""Compiled definitions in a store: list, read and write them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError, DataNotFoundError, ObjectNotFoundError
from gigacast.feature_store.definition.json import decode
from gigacast.feature_store.definition.name import (
    FOLDERS,
    Definition,
    name_of,
    parse_name,
    path_of,
    team_of,
)
from gigacast.lake.feature_layout import definition_key
from gigacast.storage.store import Store

_FORMS: Mapping[str, type] = {folder: kind for kind, folder in FOLDERS.items()}


@dataclass(frozen=True)
class StoredDefinition:
    """A compiled definition.

    Parameters
    ----------
    key : str
    etag : str
        Version of the object, for replacing it.
    content : bytes
    definition : GroupBy, Join or StagingQuery
    """

    key: str
    etag: str
    content: bytes
    definition: Any


def key_of(definition: Definition) -> str:
    """Return the key of a definition's compiled form."""
    return definition_key(path_of(definition))


def read_stored(store: Store, key: str) -> StoredDefinition | None:
    """Return the compiled definition under a key; None if there is none.

    Raises
    ------
    ConfigError
        If the object is no compiled definition.
    """
    try:
        # The ETag first: a change in between is found when it is compared at writing.
        etag = store.head(key).etag
        content = store.get(key)
    except ObjectNotFoundError:
        return None
    return StoredDefinition(key, etag, content, decode(content, key))


def list_names(store: Store) -> list[tuple[str, str]]:
    """Return folders (``joins``, ...) and names of all compiled definitions, sorted."""
    return sorted(
        (folder, parse_name(key))
        for folder in _FORMS
        for key in _keys(store, definition_key(f"{folder}/"))
    )


def stored_joins(store: Store) -> list[Definition]:
    """Return all compiled joins."""
    return all_stored(store, "joins/")


def all_stored(store: Store, folder: str = "") -> list[Definition]:
    """Return all compiled definitions, or those below a folder such as ``joins/``."""
    stored = [read_stored(store, key) for key in _keys(store, definition_key(folder))]
    return [entry.definition for entry in stored if entry is not None]


def find_stored(store: Store, text: str) -> StoredDefinition:
    """Return the compiled definition that a person names.

    Parameters
    ----------
    store : Store
    text : str
        Name in one of the forms of `parse_name`. If a join and a group-by have the same name, the
        path ``joins/team/file.variable`` tells them apart.

    Raises
    ------
    DataNotFoundError
        If there is none of that name; the hint names those that are spelt like it.
    ConfigError
        If there are several.
    """
    name = parse_name(text)
    path = f"{team_of(name)}/{name.removeprefix(f'{team_of(name)}.')}.json"
    folders = [folder for folder in _FORMS if f"{folder}/" in text] or list(_FORMS)
    stored = [read_stored(store, definition_key(f"{folder}/{path}")) for folder in folders]
    present = [entry for entry in stored if entry is not None]
    if not present:
        names = [stored_name for _, stored_name in list_names(store)]
        raise DataNotFoundError(
            f"{name}: no compiled definition of that name",
            hint=did_you_mean(name, names) or "gigacast feature-store compile writes definitions",
        )
    if len(present) > 1:
        raise ConfigError(
            f"{name} names {len(present)} definitions",
            hint=f"write {present[0].key.removesuffix('.json')}",
        )
    return present[0]


def label_of(definition: Definition) -> str:
    """Return the folder and name of a definition, as ``joins/quickstart.training_set.v1``."""
    return f"{FOLDERS[type(definition)]}/{name_of(definition)}"


def _keys(store: Store, prefix: str) -> Iterator[str]:
    for page in store.list(prefix):
        yield from (meta.key for meta in page if meta.key.endswith(".json"))
